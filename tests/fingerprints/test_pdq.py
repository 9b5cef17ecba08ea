import numpy as np
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ingestgate.fingerprints.pdq import Pdq, pdq, pdq_nearly
from ingestgate.fingerprints.views import FULL, ORIENTATIONS, SQUARE, THUMBNAIL, Picture
from tests.fingerprints.conftest import Distance, Make

Pixels = NDArray[np.uint8]  # of a picture in mode RGB or L

TURNS = (
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)


def turned(pixels: Pixels) -> list[Pixels]:
    """Returns the pixels in all orientations."""
    image = Image.fromarray(pixels)
    images = [image, *(image.transpose(turn) for turn in TURNS)]
    return [np.ascontiguousarray(each) for each in images]


def reference(rgb: Pixels) -> tuple[NDArray[np.uint8], int]:
    """Returns pdqhash's hashes of the turned pixels, uint8[8, 32], and the upright's quality."""
    found = [pdqhash.compute(each) for each in turned(rgb)]
    return np.array([np.packbits(bits.astype(np.uint8)) for bits, _ in found]), found[0][1]


def luma_of(rgb: Pixels) -> NDArray[np.float32]:
    """Returns luma as pdqhash computes it."""
    luma: NDArray[np.float64] = rgb[:, :, 0] * 0.299 + rgb[:, :, 1] * 0.587 + rgb[:, :, 2] * 0.114
    return luma.astype(np.float32)


def undecided(rgb: Pixels) -> NDArray[np.int64]:
    """Returns, for each orientation, how many coefficients float32 cannot tell from the median."""
    counts = []
    for each in turned(rgb):
        coefficients = np.sort(pdqhash.compute_float(each)[0])
        counts.append(int((np.abs(coefficients - coefficients[127]) < 1e-3).sum()))
    return np.array(counts)


@st.composite
def rgb_pictures(draw: st.DrawFn) -> Pixels:
    """Noise, and noise scaled up to smooth blobs, of any size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.tuples(st.integers(1, 400), st.integers(1, 400)))
    if draw(st.booleans()):
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    small = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@settings(deadline=None, max_examples=60)
@given(rgb_pictures())
def test_equal_to_the_reference_in_every_bit_and_orientation(rgb: Pixels) -> None:
    expected, expected_quality = reference(rgb)
    hashes, quality = pdq(luma_of(rgb))
    differing = np.bitwise_count(hashes ^ expected).sum(axis=1)
    if differing.any():
        assert (differing <= undecided(rgb)).all()
    assert abs(quality - expected_quality) <= 1


@pytest.mark.parametrize("side", [512, 1024, 1500])
def test_equal_to_the_reference_on_large_pictures(make: Make, side: int) -> None:
    rgb = np.asarray(make(side, side, side * 3 // 4))
    expected, quality = reference(rgb)
    hashes, own_quality = pdq(luma_of(rgb))
    np.testing.assert_array_equal(hashes, expected)
    assert own_quality == quality


def test_bytes_are_in_the_order_of_the_hex_notation(make: Make) -> None:
    rgb = np.asarray(make(1))
    bits, _ = pdqhash.compute(np.ascontiguousarray(rgb))
    # ThreatExchange prints the bits of pdqhash's vector from first to last.
    assert pdq(luma_of(rgb))[0][0].tobytes().hex() == f"{int(''.join(map(str, bits)), 2):064x}"


def test_8_bit_and_float_luma_give_the_same(make: Make) -> None:
    luma = np.asarray(make(2).convert("L"))
    np.testing.assert_array_equal(pdq(luma)[0], pdq(luma.astype(np.float32))[0])


def test_the_first_hash_is_the_references_own_upright_one(make: Make) -> None:
    rgb = np.ascontiguousarray(make(3))
    hashes, quality = pdqhash.compute_dihedral(rgb)
    found, own_quality = pdq(luma_of(rgb))
    np.testing.assert_array_equal(np.unpackbits(found[0]), hashes[0])
    assert own_quality == quality
    assert len(ORIENTATIONS) == len(found)


@pytest.mark.parametrize("scaling", [FULL, THUMBNAIL, SQUARE])
def test_every_view_of_a_turned_picture_is_found_again(
    make: Make, distance: Distance, scaling: str
) -> None:
    luma = np.asarray(make(3, 900, 641).convert("L"))
    hashes, _ = pdq(luma, scaling)
    for hash_bytes, other in zip(hashes, turned(luma), strict=True):
        assert distance(hash_bytes.tobytes(), pdq(other, scaling)[0][0].tobytes()) == 0


def test_thumbnail_view_is_the_hash_of_the_thumbnail(make: Make, distance: Distance) -> None:
    image = make(4, 1300, 900).convert("L")
    thumbnail = image.copy()
    thumbnail.thumbnail((512, 512))
    expected, _ = pdq(np.asarray(thumbnail))
    found, _ = pdq(np.asarray(image), THUMBNAIL)
    assert distance(found[0].tobytes(), expected[0].tobytes()) <= 4


def test_square_view_is_the_hash_of_nearest_pixels(make: Make) -> None:
    luma = np.asarray(make(5, 1300, 300).convert("L"))
    square = luma[np.ix_(np.arange(512) * 300 // 512, np.arange(512) * 1300 // 512)]
    hashes, _ = pdq(luma, SQUARE)
    expected, _ = pdq(np.ascontiguousarray(square))
    np.testing.assert_array_equal(hashes[0], expected[0])


@pytest.mark.parametrize("scaling", [FULL, THUMBNAIL, SQUARE])
@pytest.mark.parametrize("size", [(511, 2000), (512, 512), (1023, 1025), (2049, 3001)])
def test_the_quick_way_is_near(
    make: Make, distance: Distance, size: tuple[int, int], scaling: str
) -> None:
    luma = np.asarray(make(7, *size).convert("L"))
    exact, quality = pdq(luma, scaling)
    found, near, undecided = pdq_nearly(Picture(0, "", luma), scaling)
    halved = min(size) >= 512 and scaling != SQUARE
    for one, other in zip(found, exact, strict=True):
        assert distance(one.tobytes(), other.tobytes()) <= (4 if halved else 0)
    assert abs(quality - near) <= 1
    assert undecided <= 16


@pytest.mark.parametrize("scaling", [FULL, SQUARE])
def test_what_has_nothing_fine_in_it_has_bits_that_are_chance(make: Make, scaling: str) -> None:
    """Nothing as fine as a sixteenth of it: half of the frequencies are rounding."""
    coarse = make(7, 900, 700).resize((6, 6)).resize((900, 700), Image.Resampling.BICUBIC)
    luma = np.asarray(coarse.convert("L"))
    _, _, undecided = pdq_nearly(Picture(0, "", luma), scaling)
    assert undecided > 48
    views = Pdq().compute(Picture(0, "", luma))
    assert all(view.is_unsure for view in views)
    assert not any(view.is_unsure for view in Pdq().compute(Picture(0, "", luma, coarse)))


def test_only_the_quick_way_halves(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make(8, 1100, 1100)
    exact = Pdq().compute(Picture(0, "", np.asarray(image.convert("L")), image))
    halves = Picture.halved
    monkeypatch.setattr(Picture, "halved", lambda *picture: np.zeros_like(halves(*picture)))
    assert Pdq().compute(Picture(0, "", np.asarray(image.convert("L")), image)) == exact
    assert {v.quality for v in Pdq().compute(Picture(0, "", np.asarray(image.convert("L"))))} == {0}


@pytest.mark.parametrize("shape", [(1, 1), (4, 300), (300, 4)])
def test_too_small_is_zeros_of_quality_zero(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    hashes, quality = pdq(luma)
    assert not hashes.any()
    assert quality == 0


def test_flat_has_quality_zero() -> None:
    assert pdq(np.full((100, 100), 77, np.uint8))[1] == 0


def test_views_of_a_picture(make: Make) -> None:
    image = make(6, 600, 400).convert("L")
    views = Pdq().compute(Picture(3, "on-black", np.asarray(image)))
    assert [view.view for view in views] == [f"on-black/{v}" for v in (FULL, THUMBNAIL, SQUARE)]
    assert {view.frame for view in views} == {3}
    assert {len(view.hashes) for view in views} == {8 * 32}
    assert all(view.quality >= 50 for view in views)
