"""Uniform borders: letterbox bars, frames, padding.

A border of 1 % of each side moves PDQ by as much as its threshold, so a picture with a border is
also hashed without it. Recompression leaves noise in a border, and ripples where it meets the
picture, so a line counts as border while its mean deviation from the border's level is small.

Where the picture itself is of the border's level at its edge (a product on white), more is
trimmed than was added; such a border cannot be told from the picture.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingestgate.fingerprints.views import TRIMMED, Picture

#: Levels, of 256, by which a line of the border may deviate from its level on average.
_TOLERANCE: Final = 6
#: Of a side, what must be trimmed for the rest to differ from the whole: one part in so many.
_LEAST: Final = 256
#: Of a side, what must be left: one part in so many; and in pixels.
_REST: Final = 8
_SMALLEST: Final = 16


@njit(cache=True, nogil=True)
def _depth(luma: Any) -> Any:
    """Returns how many of a picture's first rows are border."""
    height, width = luma.shape
    counts = np.zeros(256, np.int64)
    for column in range(width):
        counts[luma[0, column]] += 1
    level = np.int64(0)  # of the border: the median of its outermost row
    below = counts[0]
    while 2 * below < width:
        level += 1
        below += counts[level]
    for row in range(height):
        deviation = np.int64(0)
        for column in range(width):
            deviation += abs(np.int64(luma[row, column]) - level)
        if deviation > _TOLERANCE * width:
            return row
    return height


@njit(cache=True, nogil=True)
def content_box(luma: Any) -> tuple[Any, Any, Any, Any]:
    """Returns top, bottom, left and right (half open) of what lies within uniform borders.

    All zeros if there is nothing but border.

    Args:
        luma: uint8[height, width].
    """
    top, left = 0, 0
    bottom, right = luma.shape
    while True:
        height, width = bottom - top, right - left
        for side in range(4):
            rest = luma[top:bottom, left:right]
            if side == 0:
                top += _depth(rest)
            elif side == 1:
                bottom -= _depth(rest[::-1])
            elif side == 2:
                left += _depth(rest.T)
            else:
                right -= _depth(rest.T[::-1])
            if top == bottom or left == right:
                return 0, 0, 0, 0
        # Bars within bars: rows may be uniform once the columns are gone.
        if (bottom - top, right - left) == (height, width):
            return top, bottom, left, right


def trimmed(picture: Picture) -> Picture | None:
    """Returns a picture without its uniform borders; None if there is nothing to trim."""
    height, width = picture.luma.shape
    top, bottom, left, right = content_box(picture.luma)
    if height - (bottom - top) <= height // _LEAST and width - (right - left) <= width // _LEAST:
        return None
    if bottom - top < max(_SMALLEST, height // _REST) or right - left < max(
        _SMALLEST, width // _REST
    ):
        return None
    luma: NDArray[np.uint8] = np.ascontiguousarray(picture.luma[top:bottom, left:right])
    luma.flags.writeable = False
    colour = picture.colour and picture.colour.crop((left, top, right, bottom))
    return Picture(picture.frame, picture.view(TRIMMED), luma, colour)
