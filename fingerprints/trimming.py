"""Uniform borders: letterbox bars, frames, padding.

A border of 1 % of each side moves PDQ by as much as its threshold, so a picture with a border is
also hashed without it. Recompression leaves noise in a border, and ripples where it meets the
picture, so a line counts as border while its mean deviation from the border's level is small.

The picture may have a border of its own, of another level: each is taken off by itself, so that
what lies within the outer one is hashed too. Where the picture is of the border's level at its
edge (a product on white, framed in white), more is trimmed than was added; such a border cannot
be told from the picture.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingestgate.fingerprints.views import TRIMMED, Picture

#: Levels, of 256, by which a line of the border may deviate from its level on average.
_TOLERANCE: Final = 6
#: What the lines where the picture begins must deviate by, and within how many lines: a sky that
#: fades is no border.
_STEP: Final = 12
_EDGE: Final = 3
#: How many borders are taken off, one within the other.
_LAYERS: Final = 3
#: Of a side, what must be trimmed for the rest to differ from the whole: one part in so many.
_LEAST: Final = 256
#: Of a side, what must be left: one part in so many; and in pixels.
_REST: Final = 8
_SMALLEST: Final = 16


@njit(cache=True, nogil=True)
def _level(line: Any) -> Any:
    """Returns the median of a line of pixels."""
    counts = np.zeros(256, np.int64)
    for pixel in line:
        counts[pixel] += 1
    level = np.int64(0)
    below = counts[0]
    while 2 * below < len(line):
        level += 1
        below += counts[level]
    return level


@njit(cache=True, nogil=True)
def _depth(luma: Any, level: Any) -> Any:
    """Returns how many of a picture's first rows are border of a level."""
    height, width = luma.shape
    depth = height
    for row in range(height):
        deviation = np.int64(0)
        for column in range(width):
            deviation += abs(np.int64(luma[row, column]) - level)
        if depth == height and deviation > _TOLERANCE * width:
            depth = row
        if deviation > _STEP * width:
            return depth
        if row >= depth + _EDGE:
            return 0
    return depth


@njit(cache=True, nogil=True)
def _side(luma: Any, side: int) -> Any:
    """Returns a picture turned so that its top (0), bottom, left or right (3) is its top."""
    if side == 0:
        return luma[:, :]
    if side == 1:
        return luma[::-1, :]
    return luma.T[:, :] if side == 2 else luma.T[::-1, :]


@njit(cache=True, nogil=True)
def content_box(luma: Any) -> tuple[Any, Any, Any, Any]:
    """Returns top, bottom, left and right (half open) of what lies within a border of one level.

    All zeros if there is nothing but border.

    Args:
        luma: uint8[height, width].
    """
    top, left = 0, 0
    bottom, right = luma.shape
    level = np.int64(-1)
    for side in range(4):
        turned = _side(luma, side)
        if level < 0 and _depth(turned, _level(turned[0])) > 0:
            level = _level(turned[0])
    while level >= 0:
        before = (bottom - top) + (right - left)
        for side in range(4):
            depth = _depth(_side(luma[top:bottom, left:right], side), level)
            if side == 0:
                top += depth
            elif side == 1:
                bottom -= depth
            elif side == 2:
                left += depth
            else:
                right -= depth
            if top == bottom or left == right:
                return 0, 0, 0, 0
        if (bottom - top) + (right - left) == before:
            break
    return top, bottom, left, right


def layers(picture: Picture) -> Iterator[Picture]:
    """Yields a picture, and the picture without its borders, one after another."""
    yield picture
    for _ in range(_LAYERS):
        within = trimmed(picture)
        if within is None:
            return
        picture = within
        yield picture


def trimmed(picture: Picture) -> Picture | None:
    """Returns a picture without its outermost border; None if there is nothing to trim."""
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
