"""One decoded frame, in whatever mode Pillow hands it over, to the pictures that are hashed.

File mode alone evades a matcher that hashes what a decoder hands it: a CMYK JPEG differs from
the same picture in RGB by 254 of PDQ's 256 bits. Luma is Pillow's mode L (ITU-R 601-2 of the
gamma-coded values), 8 bits. ICC profiles are ignored, as the reference hashers do: a picture in
a wide colour space is hashed by its numbers, not by the colours they stand for.

A frame with alpha is several pictures: as shown on white, as shown on black, and as a reader
sees it that drops alpha (``Image.convert("RGB")``, in many a training pipeline). Where much of it
is partly transparent, it can show on gray what it shows on neither: that is one more. A frame of
more than 8 bits is two: scaled, and as that same reader sees it, with all but the darkest levels
white. Of what is faint there when it is scaled, the levels are spread out as well: readers that
scale by the extremes, or by percentiles, see that.

A frame with a palette is two: its colours, and its indexes, which some readers take for levels. So
is a CMYK JPEG that does not say by Adobe's marker that its inks are inverted: Pillow takes them for
that, others do not.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops

from ingestgate.fingerprints.views import (
    CLIPPED,
    INDEXES,
    INVERTED,
    ON_BLACK,
    ON_GRAY,
    OPAQUE,
    STRETCHED,
)

#: How the stored frame must be turned to be upright, by the value of EXIF's Orientation.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_NO_ALPHA = (255, 255)
_GRAY = 128
#: One part in so many that is partly transparent is more than the smoothed edges of a cut-out.
_MUCH = 16
#: Levels that the middle 98 % of a picture span, below which it is faint.
_FAINT_SPAN = 64


def pictures(frame: Image.Image, mode: str) -> Iterator[tuple[str, Image.Image]]:
    """Yields the pictures that a frame shows, each with its variant (see `views.Picture`).

    Args:
        frame: A loaded frame of any mode that Pillow's decoders produce.
        mode: Of the pictures: ``L``, or ``RGB``.
    """
    turn = _UPRIGHT.get(_orientation(frame) or 1)
    for variant, picture in itertools.chain(_variants(frame, mode), _otherwise(frame, mode)):
        yield variant, picture if turn is None else picture.transpose(turn)


def _orientation(frame: Image.Image) -> int | None:
    try:
        orientation: int | None = frame.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001  (Pillow's EXIF parser raises many kinds)
        # Viewers ignore EXIF they cannot read; all eight orientations are hashed in any case.
        return None
    return orientation


def _variants(frame: Image.Image, mode: str) -> Iterator[tuple[str, Image.Image]]:
    if _is_deep(frame):
        # A PNG of 16 bits may name one level that is transparent: too little to hide in.
        scaled = _scaled(frame)
        yield "", _converted(scaled, mode)
        yield CLIPPED, _converted(frame.convert("L"), mode)
        if _is_faint(scaled) and (stretched := _stretched(frame)) is not None:
            yield STRETCHED, _converted(stretched, mode)
        return
    if frame.mode not in _WITH_ALPHA and "transparency" not in frame.info:
        yield "", _converted(frame, mode)
        return
    frame = frame.convert("LA" if frame.mode in {"LA", "La"} else "RGBA")
    plain, alpha = frame.convert(mode), frame.getchannel("A")
    if alpha.getextrema() == _NO_ALPHA:
        yield "", plain
        return
    yield "", Image.composite(plain, Image.new(mode, plain.size, "white"), alpha)
    yield ON_BLACK, Image.composite(plain, Image.new(mode, plain.size, "black"), alpha)
    yield OPAQUE, plain
    partly = sum(alpha.histogram()[1:-1])
    if partly * _MUCH >= plain.width * plain.height:
        gray = Image.new("L", plain.size, _GRAY).convert(mode)
        yield ON_GRAY, Image.composite(plain, gray, alpha)


def _otherwise(frame: Image.Image, mode: str) -> Iterator[tuple[str, Image.Image]]:
    """Yields what readers show that give other colours to what is stored."""
    if frame.mode in {"P", "PA"}:
        stored = frame if frame.mode == "P" else frame.getchannel("P")
        indexes = Image.fromarray(np.asarray(stored))
        if indexes.tobytes() != frame.convert("RGBA").convert("L").tobytes():
            yield INDEXES, indexes.convert(mode)
    elif frame.mode == "CMYK" and frame.format == "JPEG" and "adobe_transform" not in frame.info:
        yield INVERTED, _converted(ImageChops.invert(frame), mode)


def _is_deep(frame: Image.Image) -> bool:
    return frame.mode in {"I", "F"} or frame.mode.startswith("I;16")


def _converted(frame: Image.Image, mode: str) -> Image.Image:
    """Returns an 8-bit frame without alpha in another mode."""
    if frame.mode == mode:
        return frame
    if frame.mode not in {"L", "1", "P", "RGB", "RGBX", "YCbCr"}:
        frame = frame.convert("RGB")  # CMYK, HSV, LAB
    return frame.convert(mode)


def _scaled(frame: Image.Image) -> Image.Image:
    """Scales a frame of 16 or 32 bits per pixel so that its black and white are 0 and 255."""
    values = _values(frame)
    black, white = (0.0, 65535.0) if frame.mode.startswith("I;16") else _range(values)
    return _spread(values, black, white)


def _stretched(frame: Image.Image) -> Image.Image | None:
    """Scales a frame so that what it holds spans all levels; None if that is one value.

    But for one part in a hundred at each end: by a single pixel, all others could stay faint.
    """
    values = _values(frame)
    black, white = np.percentile(values, (1, 99))
    if black == white:
        black, white = values.min(), values.max()
    return None if black == white else _spread(values, black, white)


def _is_faint(scaled: Image.Image) -> bool:
    black, white = np.percentile(np.asarray(scaled), (1, 99))
    return bool(white - black < _FAINT_SPAN)


def _values(frame: Image.Image) -> NDArray[np.float64]:
    # In double precision: the extremes of float32 overflow when subtracted.
    return np.nan_to_num(np.asarray(frame).astype(np.float32)).astype(np.float64)


def _spread(values: NDArray[np.float64], black: float, white: float) -> Image.Image:
    levels = (values - black) * (255.0 / (white - black))
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Returns what 32-bit numbers mean by black and white: a usual range, or their extremes.

    Perceptual hashes compare with a median and so bear any scale; only quality depends on it.
    """
    low, high = float(values.min()), float(values.max())
    if low >= 0.0:
        for white in (1.0, 255.0, 65535.0):
            if high <= white:
                return 0.0, white
    return low, max(high, low + 1.0)
