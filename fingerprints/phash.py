"""pHash as `imagehash` computes it: 64 bits, in eight orientations.

The picture is resized to 32 x 32 with Pillow's LANCZOS filter, transformed by a 2-D DCT-II, and
the 8 x 8 lowest frequencies (the mean among them) are thresholded at their median.

The resize dominates, so it is compiled here, in Pillow's own fixed-point arithmetic: the same
32 x 32 pixels, several times as fast. The DCT is the same call that `imagehash` makes. Each
orientation is the hash of the turned 32 x 32 picture. (Turning the full picture before resizing
it may differ in the last bit of some of the 1024 pixels, because Pillow rounds between columns
and rows; that moves 0 to 2 bits of the hash.)
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import scipy.fftpack
from numba import njit
from numpy.typing import NDArray

from ingestgate.assets.ledger import PerceptualView
from ingestgate.fingerprints.operators import LANCZOS, Banded, resampling
from ingestgate.fingerprints.views import FULL, ORIENTATIONS, Picture

HASH_BYTES = 8
_SIDE = 32
_FREQUENCIES = 8
_FRACTION_BITS: Final = 22


@njit(cache=True, nogil=True)
def _rounded(total: Any) -> Any:
    return np.uint8(max(0, min(255, total >> _FRACTION_BITS)))


@njit(cache=True, nogil=True)
def _convolve(luma: Any, rows: Any, columns: Any) -> Any:
    """Returns Pillow's two passes, columns first, rounded to 8 bits after each."""
    half = np.int32(1 << (_FRACTION_BITS - 1))
    first, count, weights = columns
    height, width = luma.shape[0], len(first)
    narrow = np.empty((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            source = luma[row, first[column] : first[column] + count[column]]
            weight = weights[column]
            total = half
            for tap in range(len(source)):
                total = np.int32(total + np.int32(source[tap]) * weight[tap])
            narrow[row, column] = _rounded(total)
    first, count, weights = rows
    result = np.empty((len(first), width), np.uint8)
    totals = np.empty(width, np.int32)
    for row in range(len(first)):
        totals[:] = half
        for tap in range(count[row]):
            factor = weights[row, tap]
            line = narrow[first[row] + tap]
            for column in range(width):
                totals[column] += np.int32(line[column]) * factor
        for column in range(width):
            result[row, column] = _rounded(totals[column])
    return result


@lru_cache(maxsize=512)
def _taps(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Returns the resampling to 32 points with weights in fixed point."""
    banded: Banded = resampling(length, _SIDE, LANCZOS)
    fixed = banded.weights * (1 << _FRACTION_BITS)
    return banded.first, banded.taps, np.trunc(fixed + np.copysign(0.5, fixed)).astype(np.int32)


def shrink(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns uint8[32, 32]: ``Image.resize((32, 32), LANCZOS)`` of the same mode L picture."""
    rows, columns = _taps(luma.shape[0]), _taps(luma.shape[1])
    small: NDArray[np.uint8]
    if luma.shape[0] > luma.shape[1] * 100:
        # Pillow resizes such a tall picture rows first.
        small = _convolve(np.ascontiguousarray(luma.T), columns, rows).T
    else:
        small = _convolve(luma, rows, columns)
    return small


def _oriented(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a square picture in the order of `views.ORIENTATIONS`, uint8[8, side, side]."""
    transposed = square.T
    return np.stack(
        [
            square,
            transposed[::-1],
            square[::-1, ::-1],
            transposed[:, ::-1],
            square[::-1],
            square[:, ::-1],
            transposed,
            transposed[::-1, ::-1],
        ]
    )


def phash(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the pHash of a picture in all eight orientations.

    Args:
        luma: uint8[height, width], C-contiguous.

    Returns:
        uint8[8, 8]: in the order of `views.ORIENTATIONS`, each hash in the byte order of
        ``str(imagehash.phash(...))``; the first equals it bit for bit.
    """
    pixels = _oriented(shrink(luma))
    dct = scipy.fftpack.dct(scipy.fftpack.dct(pixels, axis=1), axis=2)
    low = dct[:, :_FREQUENCIES, :_FREQUENCIES].reshape(len(ORIENTATIONS), -1)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1)


class PHash:
    """pHash as the gate uses it: the full view, eight orientations, no quality of its own."""

    name = "phash"
    bits = 64
    # Different photographs come as close as 8 bits (in eight orientations), recompression,
    # resizing and file modes move 0 to 2.
    default_threshold = 6
    min_quality: int | None = None
    orientations = len(ORIENTATIONS)

    def compute(self, picture: Picture) -> list[PerceptualView]:
        hashes = phash(picture.luma).tobytes()
        return [PerceptualView(picture.frame, picture.view(FULL), -1, hashes)]
