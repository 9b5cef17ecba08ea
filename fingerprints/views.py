"""The names under which one picture is hashed more than once.

A stored hash cannot be turned, so the candidate is hashed in all eight orientations; and the
reference implementations of PDQ scale a picture in three ways before they hash it, so a large
candidate is hashed in three scalings.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingestgate.fingerprints.halving import halved

#: The dihedral group, in the order of PDQ's reference: how the candidate is turned before it
#: is hashed. ``rN`` is counter-clockwise by N degrees; ``flip_x`` mirrors top to bottom (about
#: the x axis), ``flip_y`` left to right.
ORIENTATIONS: tuple[str, ...] = (
    "upright",
    "r90",
    "r180",
    "r270",
    "flip_x",
    "flip_y",
    "transpose",
    "transverse",
)

FULL = "full"  #: every pixel (PDQ in Java, Rust and Python's pdqhash; imagehash)
THUMBNAIL = "thumbnail-512"  #: made to fit 512 x 512 (ThreatExchange's Python port of PDQ)
SQUARE = "square-512"  #: stretched to 512 x 512 (PDQ in C++ and WebAssembly)

ON_BLACK = "on-black"
ON_GRAY = "on-gray"
OPAQUE = "opaque"
CLIPPED = "clipped"
STRETCHED = "stretched"
INDEXES = "indexes"  #: of a palette, taken for levels
INVERTED = "inverted"  #: inks, where it is not said whether they are
EXIF_THUMBNAIL = "exif-thumbnail"
GAIN_MAP = "gain-map"
UNDISPOSED = "undisposed"  #: a GIF's frame, drawn over all before it
STILL = "still"  #: what an AVIF shows where its sequence is not
#: Of these, what a reader that knows of neither does not show, what is faint on gray in many a
#: harmless drawing, and indexes, which are noise in most: hashed, but not to be relied on.
NEED_NOT_BE_SEEN = frozenset({EXIF_THUMBNAIL, GAIN_MAP, INDEXES, ON_GRAY})

TRIMMED = "trimmed"
INSET = "inset"  #: followed by the share of a side that is taken off, in %

_SIDE = 512  # pixels


def scalings(height: int, width: int) -> tuple[str, ...]:
    """Returns the scalings in which a picture is hashed: all three where they differ."""
    return (FULL, THUMBNAIL, SQUARE) if max(height, width) > _SIDE else (FULL,)


def scaled_size(height: int, width: int, scaling: str) -> tuple[int, int]:
    """Returns height and width after a scaling; a thumbnail's as ``Image.thumbnail`` has it."""
    if scaling == SQUARE:
        return _SIDE, _SIDE
    if scaling == THUMBNAIL:
        aspect = min(height, width) / max(height, width)
        around = (math.floor(_SIDE * aspect), math.ceil(_SIDE * aspect))
        side = max(1, min(around, key=lambda short: abs(aspect - short / _SIDE)))
        return (_SIDE, side) if height >= width else (side, _SIDE)
    return height, width


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of an asset, normalised: 8-bit luma, upright, without alpha.

    Attributes:
        frame: 0-based frame or page it comes from.
        variant: "" for the frame as shown on white; else `ON_BLACK`, `ON_GRAY`, `OPAQUE` (alpha
            ignored), `CLIPPED` (levels above 255 white), `STRETCHED` (faint levels spread out),
            `INDEXES` (of a palette), `INVERTED` (inks), `UNDISPOSED` (a GIF's), `EXIF_THUMBNAIL`,
            `GAIN_MAP` or `STILL`. Followed by `TRIMMED` once for each border that was taken off, or
            by `INSET` and a share.
        luma: uint8[height, width], C-contiguous, read-only.
        colour: The same picture in mode RGB; None unless a hash needs it.
        outline: Luma by which it is told where borders end, of the same shape; None: `luma`.
    """

    frame: int
    variant: str
    luma: NDArray[np.uint8]
    colour: Image.Image | None = None
    outline: NDArray[np.uint8] | None = None
    _halves: list[NDArray[np.uint8]] = field(default_factory=list, init=False, repr=False)

    def halved(self, times: int) -> NDArray[np.uint8]:
        """Returns its luma halved so many times; kept, for several hashes go by it."""
        while len(self._halves) < times:
            self._halves.append(halved(self._halves[-1] if self._halves else self.luma))
        return self._halves[times - 1] if times else self.luma

    @property
    def image(self) -> Image.Image:
        """The picture in Pillow's mode L."""
        return Image.fromarray(self.luma)

    def view(self, scaling: str) -> str:
        """Returns the name of a view of this picture: ``full``, ``on-black/full``, ..."""
        return f"{self.variant}/{scaling}" if self.variant else scaling
