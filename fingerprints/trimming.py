"""Uniform borders: letterbox bars, frames, padding.

A border of 1 % of each side moves PDQ by as much as its threshold, so a picture with a border is
also hashed without it. Recompression leaves noise in a border, and ripples where it meets the
picture, so a line counts as border while its mean deviation from the border's level is small.

The picture may have a border of its own, of another level: each is taken off by itself, so that
what lies within the outer one is hashed too.

Where the picture is of the border's level at its edge (a product on white, framed in white), where
the border ends cannot be seen: more is trimmed than was added, or nothing. A picture that is of one
level all around is therefore also hashed without 2 and without 4 % of each side, as far as these
are of that level: near enough to what was there before borders of 1 to 5 %.

Where a border ends is a matter of single levels, so it is told by the same luma whichever way a
picture was decoded (see `views.Picture.outline`): by a JPEG's Y plane.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingestgate.fingerprints.views import INSET, TRIMMED, Picture

#: Levels, of 256, by which a line of the border may deviate from its level on average.
_TOLERANCE: Final = 6
#: What the lines where the picture begins must deviate by, and within how many lines: a sky that
#: fades is no border.
_STEP: Final = 12
_EDGE: Final = 3
#: How many borders are taken off, one within the other.
_LAYERS: Final = 3
#: What is taken off each side of a picture that is of one level all around, in %.
_INSETS: Final = (2, 4)
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


@njit(cache=True, nogil=True)
def _is_plain(luma: Any, across: int, down: int) -> bool:
    """Whether a frame of so many columns and rows along the edge is of one level."""
    level = _level(luma[0])
    for side in range(4):
        depth = down if side < 2 else across
        turned = _side(luma, side)
        for row in range(depth):
            deviation = np.int64(0)
            for column in range(turned.shape[1]):
                deviation += abs(np.int64(turned[row, column]) - level)
            if deviation > _TOLERANCE * turned.shape[1]:
                return False
    return True


def _insets(picture: Picture) -> Iterator[Picture]:
    """Yields a picture without as much of each side as may be a border that cannot be seen."""
    outline = _outline(picture)
    height, width = outline.shape
    for share in _INSETS:
        across, down = round(width * share / 100), round(height * share / 100)
        if not across or not down or not _is_plain(outline, across, down):
            return
        box = (down, height - down, across, width - across)
        yield _cropped(picture, box, f"{INSET}-{share}")


def layers(picture: Picture) -> Iterator[Picture]:
    """Yields a picture, and the picture without its borders, one after another."""
    yield picture
    yield from _insets(picture)
    for _ in range(_LAYERS):
        within = trimmed(picture)
        if within is None:
            return
        picture = within
        yield picture


def trimmed(picture: Picture) -> Picture | None:
    """Returns a picture without its outermost border; None if there is nothing to trim."""
    outline = _outline(picture)
    height, width = outline.shape
    top, bottom, left, right = content_box(outline)
    if height - (bottom - top) <= height // _LEAST and width - (right - left) <= width // _LEAST:
        return None
    if bottom - top < max(_SMALLEST, height // _REST) or right - left < max(
        _SMALLEST, width // _REST
    ):
        return None
    return _cropped(picture, (top, bottom, left, right), TRIMMED)


def _cropped(picture: Picture, box: tuple[int, int, int, int], variant: str) -> Picture:
    """Returns what lies between top and bottom, left and right."""
    top, bottom, left, right = box

    def within(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        cut: NDArray[np.uint8] = np.ascontiguousarray(levels[top:bottom, left:right])
        cut.flags.writeable = False  # as decoded ones are: one type to the compiler
        return cut

    return Picture(
        picture.frame,
        picture.view(variant),
        within(picture.luma),
        picture.colour and picture.colour.crop((left, top, right, bottom)),
        None if picture.outline is None else within(picture.outline),
    )


def _outline(picture: Picture) -> NDArray[np.uint8]:
    return picture.luma if picture.outline is None else picture.outline
