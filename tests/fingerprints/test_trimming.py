import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ingestgate.fingerprints.trimming import content_box, layers, trimmed
from ingestgate.fingerprints.views import Picture
from tests.fingerprints.conftest import Make

Luma = NDArray[np.uint8]


def framed(
    inner: Luma, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0, level: int = 0
) -> Luma:
    return np.pad(inner, ((top, bottom), (left, right)), constant_values=level)


def noise(seed: int, height: int, width: int) -> Luma:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


sides = st.integers(0, 40)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), sides, sides, sides, sides, st.integers(0, 255))
def test_what_was_added_is_found(
    seed: int, top: int, bottom: int, left: int, right: int, level: int
) -> None:
    inner = noise(seed, 60, 80)
    luma = framed(inner, top, bottom, left, right, level)
    assert content_box(luma) == (top, top + 60, left, left + 80)


def test_borders_are_taken_off_one_by_one() -> None:
    inner = noise(1, 50, 70)
    middle = framed(inner, left=6, right=3, level=250)
    outer = framed(framed(middle, top=8, bottom=4, level=9), left=5, level=9)
    found = list(layers(Picture(0, "", outer)))
    assert [picture.variant for picture in found] == ["", "trimmed", "trimmed/trimmed"]
    for picture, expected in zip(found, (outer, middle, inner), strict=True):
        np.testing.assert_array_equal(picture.luma, expected)


def test_at_most_three_borders_are_taken_off() -> None:
    luma = noise(2, 60, 60)
    for level in (0, 255, 0, 255, 0):
        luma = framed(luma, 5, 5, 5, 5, level)
    shown = [picture.variant for picture in layers(Picture(0, "", luma))]
    assert shown[-1] == "trimmed/trimmed/trimmed"
    assert len(shown) == 6


@pytest.mark.parametrize("level", [0, 255, 90])
@pytest.mark.parametrize("border", [0.01, 0.02, 0.03, 0.04, 0.05])
def test_where_a_border_cannot_be_seen_some_of_it_is_taken_off(border: float, level: int) -> None:
    """What is left is off by at most 2 % of a side."""
    height, width = 300, 400
    drawing = np.full((height, width), level, np.uint8)
    drawing[100:180, 150:230] = noise(9, 80, 80)
    down, across = round(height * border), round(width * border)
    luma = framed(drawing, down, down, across, across, level)
    cut = [
        (height + 2 * down - picture.luma.shape[0]) / 2 for picture in layers(Picture(0, "", luma))
    ]
    assert min(abs(rows - down) for rows in cut) <= 0.015 * height


def test_insets_are_of_one_level() -> None:
    luma = framed(noise(10, 200, 300), 6, 6, 9, 9, 255)  # 2.8 %
    names = [picture.variant for picture in layers(Picture(0, "on-black", luma))]
    assert names == ["on-black", "on-black/inset-2", "on-black/trimmed"]
    luma[0:2, 100:200] = 0  # no longer plain at the top
    names = [picture.variant for picture in layers(Picture(0, "", luma))]
    assert "inset-2" not in names
    luma = framed(noise(10, 200, 300), 20, 20, 30, 0, 255)
    assert [p.variant for p in layers(Picture(0, "", luma))] == ["", "trimmed"]


def test_an_inset_is_cut_out_of_the_colours_too() -> None:
    luma = framed(noise(11, 184, 276), 8, 8, 12, 12, 3)
    colour = Image.fromarray(luma).convert("RGB")
    (inset,) = [p for p in layers(Picture(0, "", luma, colour)) if p.variant == "inset-4"]
    np.testing.assert_array_equal(inset.luma, luma[8:-8, 12:-12])
    np.testing.assert_array_equal(np.asarray(inset.colour)[:, :, 1], inset.luma)
    assert not inset.luma.flags.writeable


def test_the_sides_of_a_border_have_one_level() -> None:
    luma = framed(framed(noise(2, 50, 70), left=9, level=255), right=7, level=40)
    assert content_box(luma) == (0, 50, 9, 86)
    assert content_box(luma[:, 9:]) == (0, 50, 0, 70)


def test_a_sky_that_fades_is_no_border() -> None:
    sky = np.repeat(np.arange(0, 60, 1, dtype=np.uint8)[:, None], 80, axis=1)
    assert content_box(np.concatenate([sky, noise(3, 40, 80)])) == (0, 100, 0, 80)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("level", [0, 255, 97])
def test_noise_of_recompression_is_borne(make: Make, quality: int, level: int) -> None:
    image = make(3, 400, 300).convert("L")
    sink = io.BytesIO()
    bordered = Image.fromarray(framed(np.asarray(image), 11, 9, 21, 13, level))
    bordered.save(sink, "JPEG", quality=quality)
    top, bottom, left, right = content_box(np.asarray(Image.open(sink)))
    for found, expected in ((top, 11), (bottom, 311), (left, 21), (right, 421)):
        assert abs(found - expected) <= 2


@pytest.mark.parametrize(
    "luma",
    [
        noise(4, 40, 50),
        np.full((40, 50), 7, np.uint8),
        framed(noise(5, 600, 600), top=1, left=1),  # too little to matter
        framed(noise(6, 12, 200), top=60, bottom=60),  # too little is left
        framed(noise(7, 30, 30), 200, 200, 0, 0),
        np.zeros((1, 1), np.uint8),
    ],
)
def test_nothing_to_trim(luma: Luma) -> None:
    assert trimmed(Picture(0, "", luma)) is None


@pytest.mark.parametrize(("variant", "name"), [("", "trimmed"), ("on-black", "on-black/trimmed")])
def test_the_trimmed_picture(variant: str, name: str) -> None:
    inner = noise(8, 60, 80)
    luma = framed(inner, 4, 5, 6, 7, 255)
    colour = Image.fromarray(luma).convert("RGB")
    found, plain = trimmed(Picture(3, variant, luma, colour)), trimmed(Picture(3, variant, luma))
    assert found is not None
    assert plain is not None
    assert (found.frame, found.variant, found.view("full")) == (3, name, f"{name}/full")
    np.testing.assert_array_equal(found.luma, inner)
    assert not found.luma.flags.writeable
    assert found.colour is not None
    assert found.colour.size == (80, 60)
    assert plain.colour is None
