import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.fingerprints import operators
from ingestgate.fingerprints.operators import BICUBIC, LANCZOS, Banded

lengths = st.integers(1, 700)


def dense(banded: Banded, length: int) -> np.ndarray:
    matrix = np.zeros((len(banded.first), length))
    for row, (first, taps) in enumerate(zip(banded.first, banded.taps, strict=True)):
        matrix[row, first : first + taps] = banded.weights[row, :taps]
    return matrix


def box(length: int, window: int) -> np.ndarray:
    """One box filter, written out: the oracle."""
    after = (window + 2) // 2 - 1
    before = window - 1 - after
    matrix = np.zeros((length, length))
    for row in range(length):
        taps = slice(max(0, row - before), min(length, row + after + 1))
        matrix[row, taps] = 1.0 / (taps.stop - taps.start)
    return matrix


@settings(deadline=None, max_examples=60)
@given(lengths)
def test_a_tent_is_two_boxes_then_decimation(length: int) -> None:
    filtered = np.linalg.matrix_power(box(length, (length + 127) // 128), 2)
    chosen = [int((i + 0.5) * length / 64) for i in range(64)]
    np.testing.assert_allclose(
        dense(operators.tent(length, 64), length), filtered[chosen], atol=1e-12
    )


@settings(deadline=None, max_examples=60)
@given(lengths, st.integers(1, 100), st.sampled_from([LANCZOS, BICUBIC]))
def test_bands_stay_inside_and_weights_add_up_to_one(length: int, points: int, kernel: int) -> None:
    for banded in (
        operators.tent(length, points),
        operators.nearest(length, points),
        operators.resampling(length, points, kernel),
    ):
        assert (banded.first >= 0).all()
        assert (banded.taps >= 1).all()
        assert (banded.first + banded.taps <= length).all()
        assert (banded.taps <= banded.weights.shape[1]).all()
        np.testing.assert_allclose(dense(banded, length).sum(axis=1), 1.0)


@settings(deadline=None, max_examples=40)
@given(lengths, st.integers(1, 200))
def test_composing_is_multiplying(length: int, points: int) -> None:
    inner = operators.resampling(length, points, BICUBIC)
    outer = operators.tent(points, 64)
    np.testing.assert_allclose(
        dense(operators.compose(outer, inner), length),
        dense(outer, points) @ dense(inner, length),
        atol=1e-12,
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 90), st.integers(1, 600), st.sampled_from([np.uint8, np.float32]))
def test_applying_is_multiplying_from_both_sides(
    height: int, width: int, dtype: type[np.generic]
) -> None:
    luma = np.random.default_rng(height * width).integers(0, 256, (height, width)).astype(dtype)
    rows, columns = operators.tent(height, 64), operators.tent(width, 64)
    down, across = dense(rows, height), dense(columns, width)
    expected = np.vstack([down, down[:, ::-1]]) @ luma @ np.vstack([across, across[:, ::-1]]).T
    pairs = operators.paired(rows, height), operators.paired(columns, width)
    found = operators.apply(luma, *pairs)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@settings(deadline=None, max_examples=40)
@given(lengths, st.integers(1, 3))
def test_what_is_halved_before_counts_its_points_together(length: int, halvings: int) -> None:
    """Held against the operator on what is halved and then doubled again."""
    tent = operators.tent(length, 64)
    whole = dense(tent, length)
    pair = operators.paired(tent, length, halvings)
    halved = -(-length >> halvings)
    found = np.zeros((2, 64, halved))
    for row, taps in enumerate(pair.taps):
        found[:, row, pair.points[row, :taps]] = pair.weights[:, row, :taps]
    doubled = np.arange(length) >> halvings == np.arange(halved)[:, None]
    np.testing.assert_allclose(found[0], whole @ doubled.T, atol=1e-6)
    np.testing.assert_allclose(found[1], whole[::-1, ::-1] @ doubled.T, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(lengths)
def test_a_pair_is_an_operator_and_the_same_of_reversed_points(length: int) -> None:
    banded = operators.compose(operators.tent(512, 64), operators.nearest(length, 512))
    pair = operators.paired(banded, length)
    for weights, matrix in zip(
        pair.weights, (dense(banded, length), dense(banded, length)[::-1, ::-1]), strict=True
    ):
        found = np.zeros_like(matrix)
        for row, taps in enumerate(pair.taps):
            found[row, pair.points[row, :taps]] = weights[row, :taps]
        np.testing.assert_allclose(found, matrix, atol=1e-7)


@pytest.mark.parametrize("length", [512, 1000, 1024, 4096])
def test_the_rows_of_a_pair_read_nearly_the_same_points(length: int) -> None:
    banded = operators.tent(length, 64)
    taps = operators.paired(banded, length).taps
    assert taps.max() < 1.6 * banded.taps.max()


def test_a_pair_reads_no_point_that_has_no_weight() -> None:
    banded = operators.compose(operators.tent(512, 64), operators.nearest(4096, 512))
    assert operators.paired(banded, 4096).taps.max() <= 2 * operators.tent(512, 64).taps.max()


def test_operators_on_very_many_points_take_little_memory_and_are_not_kept() -> None:
    """A strip of a few kilobytes may have a million pixels on one side."""
    length = 1_000_000
    tracemalloc.start()
    operators.paired(operators.tent(length, 64), length)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200 * length  # a dense matrix takes 512 bytes a point

    made = []

    @operators.kept
    def make(length: int) -> int:
        made.append(length)
        return length

    for length in (100, 100, 1 << 20, 1 << 20):
        assert make(length) == length
    assert made == [100, 1 << 20, 1 << 20]
