import gc
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ingestgate.fingerprints import image_memory
from ingestgate.fingerprints.image_memory import levels, levels_of_colours, luma_of_colours


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (641, 479), (5000, 9000)])
def test_levels_are_the_pixels(size: tuple[int, int]) -> None:
    image = Image.effect_noise(size, 90)  # the last one lies in several blocks
    found = levels(image)
    assert found.shape == (size[1], size[0])
    assert np.array_equal(found, np.asarray(image))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert not found.flags.writeable


def test_nothing_is_copied() -> None:
    image = Image.new("L", (100, 80), 7)
    found = levels(image)
    image.putpixel((99, 79), 200)
    assert found[79, 99] == 200


def test_levels_outlive_their_picture() -> None:
    kept = [levels(Image.new("L", (700, 500), shade)) for shade in range(0, 250, 5)]
    gc.collect()
    others = [Image.new("L", (700, 500), 255) for _ in range(50)]
    assert [int(one.min()) for one in kept] == list(range(0, 250, 5))
    assert [int(one.max()) for one in kept] == list(range(0, 250, 5))
    assert len(others) == 50


def test_memory_is_given_back() -> None:
    found = [levels(Image.new("L", (10, 10))) for _ in range(3)]
    assert len(_lent()) == len(found)
    found.clear()
    assert _lent() == []


def _lent() -> list[object]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, image_memory._Memory)]


def test_memory_of_a_buffer_is_copied() -> None:
    image = Image.frombuffer("L", (40, 30), bytes(range(40)) * 30, "raw", "L", 0, 1)
    assert np.array_equal(levels(image), np.asarray(image))


def test_a_decoded_picture() -> None:
    sink = io.BytesIO()
    Image.effect_noise((90, 70), 90).save(sink, "JPEG")
    with Image.open(sink) as image:
        image.load()
        assert np.array_equal(levels(image), np.asarray(image))


def colours(seed: int, size: tuple[int, int]) -> Image.Image:
    shape = (size[1], size[0], 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def check_luma(image: Image.Image) -> None:
    found, fine = levels_of_colours(image), luma_of_colours(image)
    np.testing.assert_array_equal(found, np.asarray(image.convert("L")))
    np.testing.assert_array_equal(fine, np.asarray(image.convert("F")))
    assert found.dtype == np.uint8
    assert fine.dtype == np.float32
    assert found.flags.c_contiguous
    assert (found.flags.writeable, fine.flags.writeable) == (False, False)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (641, 479), (3000, 4000)])
def test_luma_is_pillows(size: tuple[int, int]) -> None:
    check_luma(colours(1, size))  # the last one lies in several blocks


def test_luma_is_pillows_for_every_level_of_two_colours() -> None:
    for third in (0, 127, 255):
        levels_of_two = np.indices((256, 256)).transpose(1, 2, 0)
        pixels = np.dstack([levels_of_two, np.full((256, 256), third)]).astype(np.uint8)
        for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            check_luma(Image.fromarray(np.ascontiguousarray(pixels[:, :, order])))


@pytest.mark.parametrize(
    ("take", "mode"), [(levels, "L"), (levels_of_colours, "RGB"), (luma_of_colours, "RGB")]
)
def test_another_mode_is_refused(take: Callable[[Image.Image], object], mode: str) -> None:
    with pytest.raises(ValueError, match=f"mode {mode} "):
        take(Image.new("RGBA", (4, 4)))


def test_another_layout_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        @staticmethod
        def from_address(address: int) -> object:
            array = image_memory_array.from_address(address)
            copy = image_memory_array()
            for name, _ in image_memory_array._fields_:
                setattr(copy, name, getattr(array, name))
            copy.offset = 1
            return copy

    image_memory_array = image_memory._ArrowArray
    monkeypatch.setattr(image_memory, "_ArrowArray", Elsewhere)
    image = Image.effect_noise((40, 30), 90)
    assert np.array_equal(levels(image), np.asarray(image))
    check_luma(colours(3, (40, 30)))
