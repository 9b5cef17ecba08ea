"""Pictures at a half of their size, a quarter and so on: the quick way to what is blurred anyway.

What Pillow does when it is asked for a ``reducing_gap``.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def halvings(shape: tuple[int, ...], least: int) -> int:
    """Returns how often a picture is halved whose sides are of so many pixels before, at least."""
    side = min(shape)
    count = 0
    while side >= least:
        side = (side + 1) // 2
        count += 1
    return count


def halved(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the means of 2 x 2 pixels, of fewer at the ends of odd sides.

    Args:
        luma: uint8[height, width], C-contiguous, read-only.

    Returns:
        Likewise, of half the sides, rounded up.
    """
    half: NDArray[np.uint8] = _halved(luma)
    half.flags.writeable = False  # as decoded pictures are: one type to the compiler
    return half


@njit(cache=True, nogil=True)
def _halved(luma: Any) -> Any:
    height, width = luma.shape
    result = np.empty(((height + 1) // 2, (width + 1) // 2), np.uint8)
    sums = np.empty(width + width % 2, np.uint16)
    for row in range(result.shape[0]):
        line, next_line = luma[2 * row], luma[min(2 * row + 1, height - 1)]
        for x in range(width):
            sums[x] = np.uint16(line[x]) + np.uint16(next_line[x])
        sums[-1] = sums[width - 1] if width % 2 else sums[-1]
        half = result[row]
        for x in range(len(half)):
            half[x] = np.uint8((sums[2 * x] + sums[2 * x + 1] + 2) >> 2)
    return result
