import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.blocklists.chunking import (
    FEWEST,
    MAX_CHUNK_BITS,
    MAX_RADIUS,
    MIN_CHUNK_BITS,
    chunk_bits,
    flips,
    index_lengths,
    radii,
    reach,
)

SIZES = [0, 1, FEWEST, 10**5, 10**6, 10**7, 10**9]


@given(
    st.sampled_from([8, 16, 24, 32, 144]),
    st.sampled_from(SIZES),
    st.integers(0, 576),
    st.integers(0, 576),
)
@settings(deadline=None)
def test_plans_satisfy_the_general_pigeonhole_principle(
    width: int, count: int, planned: int, threshold: int
) -> None:
    planned, threshold = min(planned, 4 * width), min(threshold, 4 * width)
    bits = chunk_bits(width, count, planned)
    assert sum(bits) == 8 * width
    assert min(bits) >= MIN_CHUNK_BITS
    assert max(bits) <= MAX_CHUNK_BITS
    found = radii(bits, count, threshold)
    if found is not None:
        assert len(found) == len(bits)
        assert max(found) <= MAX_RADIUS
        assert sum(radius + 1 for radius in found) > threshold


@pytest.mark.parametrize(("width", "threshold"), [(32, 31), (8, 10), (8, 8), (8, 0)])
@pytest.mark.parametrize("count", SIZES)
def test_usual_thresholds_need_no_scan(width: int, threshold: int, count: int) -> None:
    assert radii(chunk_bits(width, count, threshold), count, threshold) is not None


def test_far_thresholds_are_scanned_for() -> None:
    assert radii(chunk_bits(8, 10**6, 32), 10**6, 32) is None
    assert radii((24,) * 2 + (16,), 10**6, 20) is None


def test_small_lists_have_small_indexes() -> None:
    for count in (FEWEST, 10**5, 10**6, 10**7):
        assert sum(1 << bits for bits in chunk_bits(32, count, 31)) <= 16 * 32 * count


def test_flips_are_all_values_with_few_ones() -> None:
    for bits, radius in itertools.product((8, 9, 10), range(MAX_RADIUS + 1)):
        expected = [v for v in range(1 << bits) if v.bit_count() <= radius]
        assert flips(bits, radius).tolist() == expected
        assert reach(bits, radius) == len(expected)
    assert flips(8, -1).tolist() == []
    assert reach(64, 64) == math.pow(2, 64)


@pytest.mark.parametrize(
    "layout",
    [
        *([], [64], [64, 1], [0, 1, 0, 64, 1, 0], [40, 1, 0, 24, 1, 0], [16, 1, 0]),
        *([16, 2, 0] * 4, [16, 4, 0] * 4, [16, 3, 2] * 4),  # of three hashes
    ],
)
def test_what_is_no_layout(layout: list[int]) -> None:
    assert index_lengths(np.array(layout, np.uint32), 8, 3) is None
