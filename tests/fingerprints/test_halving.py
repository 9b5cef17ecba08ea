import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.fingerprints.halving import halved, halvings
from ingestgate.fingerprints.views import Picture


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_half_has_the_means_of_the_pixels_that_are_there(
    seed: int, shape: tuple[int, int]
) -> None:
    luma = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    luma.flags.writeable = False
    found = halved(luma)
    assert found.shape == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    for y, x in np.ndindex(found.shape):
        mean = luma[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
        assert found[y, x] == int(mean + 0.5)


@pytest.mark.parametrize(
    ("shape", "times"),
    [((511, 9000), 0), ((512, 512), 1), ((1022, 2000), 1), ((1023, 1023), 2), ((4096, 8192), 4)],
)
def test_halved_while_no_side_is_too_short(shape: tuple[int, int], times: int) -> None:
    assert halvings(shape, 512) == times


def test_a_picture_keeps_its_halves() -> None:
    luma = np.random.default_rng(1).integers(0, 256, (9, 14), np.uint8)
    picture = Picture(0, "", luma)
    quarter = picture.halved(2)
    assert picture.halved(0) is luma
    assert picture.halved(2) is quarter
    np.testing.assert_array_equal(quarter, halved(halved(luma)))
