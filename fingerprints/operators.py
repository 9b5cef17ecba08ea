"""Scaling and blurring as banded matrices, one for the rows of a picture and one for its columns.

Every step from pixels to a hash's small buffer is linear and separable: box blurs, decimation,
Pillow's resampling. A step along one axis is a matrix whose rows have few neighbouring entries;
two steps compose into one. So a view of a picture ("the 512-pixel thumbnail, blurred, decimated
to 64") costs about one multiplication per pixel, and no picture in between.
"""

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingestgate.fingerprints.transposing import transposed

P = ParamSpec("P")
R = TypeVar("R")

_KEPT: Final = 512  # operators of each kind
_LONGEST_KEPT: Final = (
    1 << 14
)  # points; operators on more take megabytes, and few pictures have them


def kept(make: Callable[Concatenate[int, P], R]) -> Callable[Concatenate[int, P], R]:
    """Makes a function keep the operators, on so many points, that it has made."""
    cached = lru_cache(_KEPT)(make)

    @wraps(make)
    def wrapper(length: int, /, *arguments: P.args, **more: P.kwargs) -> R:
        found: Callable[..., R] = cached if length <= _LONGEST_KEPT else make
        return found(length, *arguments, **more)

    return wrapper


class Banded(NamedTuple):
    """A matrix from ``n`` to ``len(first)`` points with one band of entries per row.

    Attributes:
        first: int64[rows], column of each row's first entry.
        taps: int64[rows], entries of each row, at least 1.
        weights: float64[rows, longest], padded with zeros.
    """

    first: NDArray[np.int64]
    taps: NDArray[np.int64]
    weights: NDArray[np.float64]


@njit(cache=True, nogil=True)
def tent(length: int, points: int) -> Banded:
    """Returns PDQ's blur and decimation: two box filters, then ``points`` of the ``length``.

    The boxes have ``length / (2 * points)`` taps, rounded up; at the ends they are cut off and
    average what is left. After W. Jarosz, "Fast Image Convolutions", SIGGRAPH workshop 2001.
    """
    window = (length + 2 * points - 1) // (2 * points)
    after = (window + 2) // 2 - 1
    before = window - 1 - after
    first = np.empty(points, np.int64)
    count = np.empty(points, np.int64)
    weights = np.zeros((points, 2 * window), np.float64)
    steps = np.empty(2 * window + 1, np.float64)
    for row in range(points):
        centre = int((row + 0.5) * length / points)
        low = max(0, centre - before)
        high = min(length - 1, centre + after)
        start = max(0, low - before)
        first[row] = start
        count[row] = min(length - 1, high + after) + 1 - start
        # Each inner window adds a constant over its extent: note the steps, then add them up.
        steps[:] = 0.0
        for inner in range(low, high + 1):
            inner_low = max(0, inner - before)
            inner_high = min(length - 1, inner + after)
            weight = 1.0 / ((high - low + 1) * (inner_high - inner_low + 1))
            steps[inner_low - start] += weight
            steps[inner_high + 1 - start] -= weight
        total = 0.0
        for tap in range(count[row]):
            total += steps[tap]
            weights[row, tap] = total
    return Banded(first, count, weights)


@njit(cache=True, nogil=True)
def nearest(length: int, points: int) -> Banded:
    """Returns the choice of ``points`` of the ``length``, at ``floor(i * length / points)``."""
    first = np.arange(points) * length // points
    return Banded(first, np.ones(points, np.int64), np.ones((points, 1), np.float64))


@njit(cache=True, nogil=True)
def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x != 0.0 else 1.0


@njit(cache=True, nogil=True)
def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3.0) if -3.0 <= x < 3.0 else 0.0


@njit(cache=True, nogil=True)
def _bicubic(x: float) -> float:
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 if x < 2.0 else 0.0


LANCZOS: Final = 3  #: lobes each side
BICUBIC: Final = 2


@njit(cache=True, nogil=True)
def resampling(length: float, points: int, kernel: int) -> Banded:
    """Returns Pillow's resampling from ``length`` to ``points`` (its ``Resample.c``).

    Args:
        length: Pixels of the source; the last one counts in part if that is no whole number.
        points: Pixels of the result.
        kernel: `LANCZOS` or `BICUBIC`; stretched by the scale when scaling down.
    """
    scale = length / points
    stretch = max(scale, 1.0)
    support = kernel * stretch
    first = np.empty(points, np.int64)
    count = np.empty(points, np.int64)
    weights = np.zeros((points, math.ceil(support) * 2 + 1), np.float64)
    for row in range(points):
        centre = (row + 0.5) * scale
        start = max(0, int(centre - support + 0.5))
        stop = min(math.ceil(length), int(centre + support + 0.5))
        first[row] = start
        count[row] = stop - start
        total = 0.0
        for tap in range(stop - start):
            x = (start + tap - centre + 0.5) * (1.0 / stretch)
            weight = _lanczos(x) if kernel == LANCZOS else _bicubic(x)
            weights[row, tap] = weight
            total += weight
        if total != 0.0:
            weights[row] /= total
    return Banded(first, count, weights)


@njit(cache=True, nogil=True)
def compose(outer: Banded, inner: Banded) -> Banded:
    """Returns the matrix product: ``inner`` first, then ``outer``."""
    points = len(outer.first)
    first = np.empty(points, np.int64)
    count = np.empty(points, np.int64)
    for row in range(points):
        start, stop = outer.first[row], outer.first[row] + outer.taps[row]
        first[row] = inner.first[start:stop].min()
        count[row] = (inner.first[start:stop] + inner.taps[start:stop]).max() - first[row]
    weights = np.zeros((points, count.max()), np.float64)
    for row in range(points):
        for tap in range(outer.taps[row]):
            middle = outer.first[row] + tap
            shift = inner.first[middle] - first[row]
            for entry in range(inner.taps[middle]):
                weights[row, shift + entry] += (
                    outer.weights[row, tap] * inner.weights[middle, entry]
                )
    return Banded(first, count, weights)


class Paired(NamedTuple):
    """An operator and its mirror image, whose rows from the end read nearly the same points.

    Attributes:
        points: int64[rows, longest], the points that are read by a row of the operator or by the
            row of its mirror image that is as far from the end.
        taps: int64[rows], how many these are.
        weights: float32[2, rows, longest]: of the operator, and of those rows of what does the
            same to points in reverse order; padded with zeros.
    """

    points: NDArray[np.int64]
    taps: NDArray[np.int64]
    weights: NDArray[np.float32]


@njit(cache=True, nogil=True)
def paired(banded: Banded, length: int, halvings: int = 0) -> Paired:
    """Returns an operator on ``length`` points with its mirror image.

    Args:
        banded: The operator.
        length: Points.
        halvings: How often what it is then applied to is halved, see `halving`: it is nearly the
            same, where the operator's entries hardly differ from one point to the next.
    """
    rows = len(banded.first)
    low = np.empty(rows, np.int64)
    widest = 0
    for row in range(rows):
        first, mirror = _ends(banded, row, length)
        low[row] = min(first[0], mirror[0]) >> halvings
        widest = max(widest, (max(first[1], mirror[1]) >> halvings) + 1 - low[row])
    points = np.zeros((rows, widest), np.int64)
    taps = np.zeros(rows, np.int64)
    weights = np.zeros((2, rows, widest), np.float32)
    sums = np.empty((2, widest), np.float32)
    is_read = np.empty(widest, np.bool_)
    for row in range(rows):
        sums[:] = 0
        is_read[:] = False
        for which in range(2):
            of = rows - 1 - row if which else row
            for tap in range(banded.taps[of]):
                weight = np.float32(banded.weights[of, tap])
                point = banded.first[of] + tap
                place = ((length - 1 - point if which else point) >> halvings) - low[row]
                if weight != 0:
                    sums[which, place] += weight
                    is_read[place] = True
        for place in range(widest):
            if is_read[place]:
                points[row, taps[row]] = low[row] + place
                weights[0, row, taps[row]] = sums[0, place]
                weights[1, row, taps[row]] = sums[1, place]
                taps[row] += 1
    most = taps.max()
    return Paired(
        np.ascontiguousarray(points[:, :most]), taps, np.ascontiguousarray(weights[:, :, :most])
    )


@njit(cache=True, nogil=True)
def _ends(banded: Banded, row: int, length: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the first and last point of a row, and of the mirror image's row as far from its end.

    That one is the mirror image of the row that is as far from the other end.
    """
    other = len(banded.first) - 1 - row
    first, mirror = banded.first[row], length - banded.first[other] - banded.taps[other]
    return (first, first + banded.taps[row] - 1), (mirror, mirror + banded.taps[other] - 1)


_STRIP: Final = 256  # columns; what is made of them stays in the second-level cache


@njit(cache=True, nogil=True)
def apply(luma: Any, rows: Paired, columns: Paired) -> Any:
    """Returns ``rows @ luma @ columns.T``, each as it is and then mirrored.

    Args:
        luma: uint8 or float32, [height, width], C-contiguous.
        rows: From ``height`` points.
        columns: From ``width`` points.

    Returns:
        float32[2 * rows, 2 * columns].
    """
    width = luma.shape[1]
    height = 2 * len(rows.taps)
    result = np.zeros((2 * len(columns.taps), height), np.float32)
    begin = np.zeros(len(columns.taps), np.int64)
    strip = np.empty((height, _STRIP), np.float32)
    for left in range(0, width, _STRIP):
        right = min(left + _STRIP, width)
        strip[:] = np.float32(0.0)
        for row in range(len(rows.taps)):
            _add(luma, 0, left, right, rows, row, 0, rows.taps[row], strip)
        lines = transposed(strip)
        for column in range(len(columns.taps)):
            first = last = begin[column]
            while last < columns.taps[column] and columns.points[column, last] < right:
                last += 1
            _add(lines, left, 0, height, columns, column, first, last, result)
            begin[column] = last
    return transposed(result)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add(
    lines: Any,
    point: Any,
    left: Any,
    right: Any,
    pair: Paired,
    row: Any,
    first: Any,
    last: Any,
    result: Any,
) -> None:
    """Adds some taps of a row of an operator, and of its mirror image, to those of a result.

    Args:
        lines: What the operator is applied to, from a point on: uint8 or float32, [points, width].
        point: The first of these.
        left: First column that is taken.
        right: First that is not.
        pair: The operator.
        row: Which of its rows.
        first: First tap.
        last: First that is not added.
        result: float32[2 * rows, right - left or more].
    """
    width = right - left
    points = pair.points[row]
    weights, mirror = pair.weights[0, row], pair.weights[1, row]
    sums, others = result[row], result[len(result) - 1 - row]
    unrolled = last - (last - first) % 4
    for tap in range(first, unrolled, 4):  # by fours: a quarter of the loads and stores
        w0, w1, w2, w3 = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
        m0, m1, m2, m3 = mirror[tap], mirror[tap + 1], mirror[tap + 2], mirror[tap + 3]
        line0, line1 = lines[points[tap] - point, left:], lines[points[tap + 1] - point, left:]
        line2, line3 = lines[points[tap + 2] - point, left:], lines[points[tap + 3] - point, left:]
        for x in range(width):
            p0, p1 = np.float32(line0[x]), np.float32(line1[x])
            p2, p3 = np.float32(line2[x]), np.float32(line3[x])
            sums[x] = sums[x] + w0 * p0 + w1 * p1 + w2 * p2 + w3 * p3
            others[x] = others[x] + m0 * p0 + m1 * p1 + m2 * p2 + m3 * p3
    for tap in range(unrolled, last):
        weight, other, line = weights[tap], mirror[tap], lines[points[tap] - point, left:]
        for x in range(width):
            sums[x] += weight * np.float32(line[x])
            others[x] += other * np.float32(line[x])
