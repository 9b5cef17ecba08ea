"""Pillow's LANCZOS resize of a picture to a few pixels, several times as fast.

The resize dominates the cost of every hash of the `imagehash` family. It is compiled here in
Pillow's own fixed-point arithmetic, and so gives the same pixels.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingestgate.fingerprints import halving
from ingestgate.fingerprints.operators import LANCZOS, Banded, kept, resampling
from ingestgate.fingerprints.views import Picture

_FRACTION_BITS: Final = 22
_ONE: Final = np.float32(1 << _FRACTION_BITS)
_ROWS: Final = 4
_REDUCING_GAP: Final = 16

# By how much a sum of float32 products may be off, per product, in whatever order they are added:
# 255 times the sum of the weights' magnitudes (below 1.5 for LANCZOS) times the rounding unit.
# N. Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1.
_ERROR_PER_TAP: Final = np.float32(255 * 1.5 * 2**-24)


class _FixedPoint(NamedTuple):
    """A `Banded` matrix in fixed point.

    Attributes:
        first: int64[rows].
        taps: int64[rows].
        weights: int32[rows, longest], times 2**22.
        floats: The same as float32, and not times 2**22.
        errors: float32[rows], by how much a row's sum of float32 products may be off.
    """

    first: NDArray[np.int64]
    taps: NDArray[np.int64]
    weights: NDArray[np.int32]
    floats: NDArray[np.float32]
    errors: NDArray[np.float32]


@njit(cache=True, nogil=True)
def _rounded(total: Any) -> Any:
    return np.uint8(max(0, min(255, total >> _FRACTION_BITS)))


@njit(cache=True, nogil=True)
def _exact(source: Any, weights: Any) -> Any:
    total = np.int32(1 << (_FRACTION_BITS - 1))
    for tap in range(len(source)):
        total = np.int32(total + np.int32(source[tap]) * weights[tap])
    return _rounded(total)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _products(lines: Any, start: Any, weights: Any) -> Any:
    """Returns the four lines' products with the weights; four, as each weight is loaded once."""
    stop = start + len(weights)
    line0, line1 = lines[0, start:stop], lines[1, start:stop]
    line2, line3 = lines[2, start:stop], lines[3, start:stop]
    total0 = total1 = total2 = total3 = np.float32(0.0)
    for tap in range(len(weights)):
        weight = weights[tap]
        total0 += line0[tap] * weight
        total1 += line1[tap] * weight
        total2 += line2[tap] * weight
        total3 += line3[tap] * weight
    return total0, total1, total2, total3


@njit(cache=True, nogil=True)
def _narrow(luma: Any, columns: _FixedPoint) -> Any:
    """Returns Pillow's first pass, uint8[height, len(columns.first)].

    In float32, and again in fixed point where that could have rounded to another level.
    """
    height, width = luma.shape
    points = len(columns.first)
    result = np.empty((height, points), np.uint8)
    lines = np.zeros((_ROWS, width), np.float32)
    totals = np.zeros((_ROWS, points), np.float32)
    for top in range(0, height, _ROWS):
        rows = min(_ROWS, height - top)
        for row in range(rows):
            for x in range(width):
                lines[row, x] = luma[top + row, x]
        for column in range(points):
            start, taps = columns.first[column], columns.taps[column]
            found = _products(lines, start, columns.floats[column, :taps])
            totals[0, column], totals[1, column] = found[0], found[1]
            totals[2, column], totals[3, column] = found[2], found[3]
        for row in range(rows):
            if _round_all(totals[row], columns.errors, result[top + row]):
                for column in range(points):
                    start, taps = columns.first[column], columns.taps[column]
                    if _is_near(totals[row, column], columns.errors[column]):
                        source = luma[top + row, start : start + taps]
                        result[top + row, column] = _exact(source, columns.weights[column])
    return result


@njit(cache=True, nogil=True)
def _round_all(totals: Any, errors: Any, result: Any) -> bool:
    """Rounds to levels, and returns whether any could be another one for its error."""
    doubtful = np.int32(0)
    for column in range(len(totals)):
        level = totals[column] + np.float32(0.5)
        within = min(max(level, np.float32(0.0)), np.float32(255.0))
        result[column] = np.uint8(np.int32(within))
        doubtful |= np.int32(_is_near(totals[column], errors[column]))
    return bool(doubtful)


@njit(cache=True, nogil=True)
def _is_near(total: Any, error: Any) -> bool:
    """Whether a sum is as near to where rounding changes as its error."""
    level = total + np.float32(0.5)
    above = level - np.floor(level)
    return bool((above <= error) | (above >= np.float32(1.0) - error))


@njit(cache=True, nogil=True)
def _shorten(narrow: Any, rows: _FixedPoint) -> Any:
    """Returns Pillow's second pass, uint8[len(rows.first), width]."""
    half = np.int32(1 << (_FRACTION_BITS - 1))
    width = narrow.shape[1]
    result = np.empty((len(rows.first), width), np.uint8)
    totals = np.empty(width, np.int32)
    for row in range(len(rows.first)):
        totals[:] = half
        for tap in range(rows.taps[row]):
            factor = rows.weights[row, tap]
            line = narrow[rows.first[row] + tap]
            for column in range(width):
                totals[column] += np.int32(line[column]) * factor
        for column in range(width):
            result[row, column] = _rounded(totals[column])
    return result


@kept
def _operator(length: int, points: int, halvings: int) -> _FixedPoint:
    """Returns the resampling to ``points`` of what was of ``length`` before it was halved."""
    banded: Banded = resampling(length / 2**halvings, points, LANCZOS)
    fixed = banded.weights * (1 << _FRACTION_BITS)
    weights = np.trunc(fixed + np.copysign(0.5, fixed)).astype(np.int32)
    floats = weights.astype(np.float32) / _ONE
    # Two more: what the bound leaves out, and the half that is added to round.
    errors = (banded.taps + 2).astype(np.float32) * _ERROR_PER_TAP
    return _FixedPoint(banded.first, banded.taps, weights, floats, errors)


def resize(luma: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Returns what ``Image.resize((width, height), LANCZOS)`` makes of a mode L picture.

    Args:
        luma: uint8, two axes, C-contiguous.
        height: Of the result, in pixels; not that of ``luma``.
        width: Likewise.

    Returns:
        uint8[height, width].
    """
    rows, columns = _operator(luma.shape[0], height, 0), _operator(luma.shape[1], width, 0)
    if luma.shape[0] > luma.shape[1] * 100:
        # Pillow resizes such a tall picture rows first.
        tall: NDArray[np.uint8] = _shorten(_narrow(np.ascontiguousarray(luma.T), rows), columns).T
        return tall
    small: NDArray[np.uint8] = _shorten(_narrow(luma, columns), rows)
    return small


def resize_nearly(picture: Picture, side: int) -> NDArray[np.uint8]:
    """Returns nearly what `resize` makes of a picture's luma, in a third of the time if large.

    The picture is halved for as long as each pixel of the result has 16 x 16 of it.

    Args:
        picture: The picture.
        side: Of the result, in pixels.

    Returns:
        uint8[side, side].
    """
    halvings = halving.halvings(picture.luma.shape, _REDUCING_GAP * side)
    rows, columns = (_operator(length, side, halvings) for length in picture.luma.shape)
    small: NDArray[np.uint8] = _shorten(_narrow(picture.halved(halvings), columns), rows)
    return small
