from dataclasses import replace

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingestgate.blocklists.signals import signal_types
from ingestgate.fingerprints.imagehashes import FAMILY, colorhash
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.resizing import resize, resize_nearly
from ingestgate.fingerprints.views import Picture
from tests.fingerprints.conftest import Distance, Make

REFERENCES = {
    "phash": imagehash.phash,
    "phash16": lambda image: imagehash.phash(image, hash_size=16),
    "dhash": imagehash.dhash,
    "ahash": imagehash.average_hash,
    "whash": imagehash.whash,
    "colorhash": imagehash.colorhash,
}
TURNS = (
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)


@st.composite
def colours(draw: st.DrawFn) -> Image.Image:
    """Noise, blobs, and flat halves (whose values tie with the median)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    kind = draw(st.sampled_from(["noise", "blobs", "halves"]))
    if kind == "noise":
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    if kind == "blobs":
        small = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))
        return small.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.full((height, width, 3), rng.integers(256, size=3), np.uint8)
    pixels[: height // 2] = rng.integers(256, size=3)
    return Image.fromarray(pixels)


def picture(image: Image.Image) -> Picture:
    return Picture(0, "", np.asarray(image.convert("L")), image)


def hashes(name: str, shown: Picture) -> list[str]:
    scheme = perceptual_hashes()[name]
    (view,) = scheme.compute(shown)
    width = scheme.bits // 8
    return [view.hashes[start : start + width].hex() for start in range(0, len(view.hashes), width)]


@settings(deadline=None, max_examples=80)
@given(colours())
def test_equal_to_imagehash_in_every_bit(image: Image.Image) -> None:
    for name, reference in REFERENCES.items():
        found = hashes(name, picture(image))
        assert int(found[0], 16) == int(str(reference(image)), 16), name


@pytest.mark.parametrize("name", ["phash", "phash16", "dhash", "ahash", "whash"])
def test_the_turned_picture_is_found_under_its_orientation(
    make: Make, distance: Distance, name: str
) -> None:
    image = make(7, 640, 480)
    found = hashes(name, picture(image))
    assert len(found) == 8
    for turn, turned in zip(TURNS, found[1:], strict=True):
        expected = hashes(name, picture(image.transpose(turn)))[0]
        assert distance(bytes.fromhex(turned), bytes.fromhex(expected)) <= (
            6 if name == "phash16" else 2
        )


def test_what_a_view_holds(make: Make) -> None:
    for scheme in FAMILY:
        (view,) = scheme.compute(replace(picture(make(8, 700, 500)), frame=2))
        assert view[:3] == (2, "full", -1)
        assert len(view.hashes) == scheme.orientations * scheme.bits // 8
        assert scheme.bits % 64 == 0


def test_lists_agree_on_width_and_threshold() -> None:
    for name, scheme in perceptual_hashes().items():
        signal = signal_types()[name]
        assert (signal.bits, signal.threshold) == (scheme.bits, scheme.default_threshold)


def test_colorhash_is_the_number_that_imagehash_prints(make: Make) -> None:
    image = make(9)
    text = str(imagehash.colorhash(image))
    assert hashes("colorhash", picture(image)) == [text.zfill(16)]


def test_colorhash_without_colours_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="with its colours"):
        colorhash(replace(picture(make(10)), colour=None))


@settings(deadline=None, max_examples=100)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 500), st.integers(1, 500)),
    st.sampled_from([(8, 8), (9, 8), (8, 9), (32, 32), (64, 64)]),
)
def test_resized_as_pillow_resizes(seed: int, size: tuple[int, int], to: tuple[int, int]) -> None:
    luma = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    expected = Image.fromarray(luma).resize((to[1], to[0]), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(resize(luma, *to), np.asarray(expected))


@pytest.mark.parametrize("size", [(65535, 2), (2, 65535), (301, 3)])
def test_resized_as_pillow_resizes_extreme_shapes(size: tuple[int, int]) -> None:
    luma = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    expected = Image.fromarray(luma).resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(resize(luma, 32, 32), np.asarray(expected))


@pytest.mark.parametrize("size", [(511, 2000), (2000, 511), (300, 300)])
def test_small_pictures_are_not_halved(size: tuple[int, int]) -> None:
    luma = np.random.default_rng(2).integers(0, 256, size, np.uint8)
    np.testing.assert_array_equal(resize_nearly(Picture(0, "", luma), 32), resize(luma, 32, 32))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(512, 1500), st.integers(512, 1500)))
def test_a_halved_picture_is_neither_moved_nor_stretched(seed: int, size: tuple[int, int]) -> None:
    """Odd sides, several times over: in steep slopes, a shift by a pixel would show."""
    coarse = np.random.default_rng(seed).integers(0, 256, (20, 20), np.uint8)
    small = Image.fromarray(coarse)
    luma = np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))
    near = resize_nearly(Picture(0, "", luma), 32).astype(int)
    np.testing.assert_allclose(near, resize(luma, 32, 32), atol=3)


def test_the_mean_of_a_halved_picture_is_the_pictures() -> None:
    luma = np.random.default_rng(3).integers(0, 256, (512, 512), np.uint8)
    luma[:256] //= 4
    near = resize_nearly(Picture(0, "", luma), 32).astype(float)
    np.testing.assert_allclose(near.mean(), luma.mean(), atol=0.5)
    np.testing.assert_allclose(near[:14].mean(), luma[:224].mean(), atol=1)
