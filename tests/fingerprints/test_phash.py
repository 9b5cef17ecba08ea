import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingestgate.fingerprints.phash import PHash, phash, shrink
from ingestgate.fingerprints.views import Picture

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
def lumas(draw):
    """Noise, blobs, and flat halves (whose coefficients tie with the median)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.tuples(st.integers(1, 400), st.integers(1, 400)))
    kind = draw(st.sampled_from(["noise", "blobs", "halves"]))
    if kind == "noise":
        return rng.integers(0, 256, (height, width), np.uint8)
    if kind == "blobs":
        small = Image.fromarray(rng.integers(0, 256, (9, 11), np.uint8))
        return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    luma = np.full((height, width), int(rng.integers(256)), np.uint8)
    luma[: height // 2] = rng.integers(256)
    return luma


@settings(deadline=None, max_examples=150)
@given(lumas())
def test_equal_to_imagehash_in_every_bit(luma) -> None:
    image = Image.fromarray(luma)
    small = image.resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(shrink(luma), np.asarray(small))
    hashes = phash(luma)
    assert hashes[0].tobytes().hex() == str(imagehash.phash(image))
    for turn, oriented in zip(TURNS, hashes[1:], strict=True):
        assert oriented.tobytes().hex() == str(imagehash.phash(small.transpose(turn)))


@pytest.mark.parametrize("orientation", range(1, 8))
def test_turning_the_full_picture_moves_two_bits_at_most(make, distance, orientation) -> None:
    image = make(7, 640, 480).convert("L")
    turned = np.ascontiguousarray(image.transpose(TURNS[orientation - 1]))
    assert distance(phash(np.asarray(image))[orientation].tobytes(), phash(turned)[0]) <= 2


def test_one_view_without_quality(make) -> None:
    image = make(8, 700, 500).convert("L")
    (view,) = PHash().compute(Picture(2, "", image, np.asarray(image)))
    assert (view.frame, view.view, view.quality, len(view.hashes)) == (2, "full", -1, 64)
