"""One decoded frame, in whatever mode Pillow hands it over, to the luma that is hashed.

File mode alone evades a matcher that hashes what a decoder hands it: a CMYK JPEG differs from
the same picture in RGB by 254 of PDQ's 256 bits. Luma is Pillow's mode L (ITU-R 601-2 of the
gamma-coded values), 8 bits. ICC profiles are left alone, as the reference hashers do.

A frame with alpha is several pictures: as shown on white, as shown on black, and as a reader
sees it that drops alpha (``Image.convert("RGB")``, in many a training pipeline).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ingestgate.fingerprints.views import ON_BLACK, OPAQUE

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


def lumas(frame: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Yields the pictures that a frame shows, each with its variant (see `views.Picture`).

    Args:
        frame: A loaded frame of any mode that Pillow's decoders produce.
    """
    turn = _UPRIGHT.get(_orientation(frame))
    for variant, luma in _variants(frame):
        yield variant, luma if turn is None else luma.transpose(turn)


def _orientation(frame: Image.Image) -> object:
    try:
        return frame.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001  (Pillow's EXIF parser raises many kinds)
        # Viewers ignore EXIF they cannot read; all eight orientations are hashed in any case.
        return None


def _variants(frame: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    if frame.mode not in _WITH_ALPHA and "transparency" not in frame.info:
        yield "", _luma(frame)
        return
    plain, alpha = _split(frame)
    if alpha is None or alpha.getextrema() == _NO_ALPHA:
        yield "", plain
        return
    yield "", Image.composite(plain, Image.new("L", plain.size, 255), alpha)
    yield ON_BLACK, Image.composite(plain, Image.new("L", plain.size, 0), alpha)
    yield OPAQUE, plain


def _split(frame: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Returns a frame's luma without regard to alpha, and its alpha where it has any."""
    if frame.mode == "La":
        frame = frame.convert("LA")
    elif frame.mode in {"I", "I;16", "I;16B", "I;16L", "F"}:
        # A PNG of 16 bits may name one level that is transparent; too little to hide in.
        return _luma(frame), None
    elif frame.mode != "LA":
        frame = frame.convert("RGBA")
    alpha = frame.getchannel("A")
    if frame.mode == "LA":
        return frame.getchannel("L"), alpha
    return frame.convert("RGB").convert("L"), alpha


def _luma(frame: Image.Image) -> Image.Image:
    """Returns a frame without alpha in mode L."""
    if frame.mode in {"L", "1", "P", "RGB", "RGBX", "YCbCr"}:
        return frame.convert("L")
    if frame.mode.startswith("I;16"):
        return Image.fromarray(_scaled(np.asarray(frame).astype(np.float32), 65535.0))
    if frame.mode in {"I", "F"}:
        values = np.nan_to_num(np.asarray(frame).astype(np.float32))
        return Image.fromarray(_scaled(values, _white(values)))
    return frame.convert("RGB").convert("L")  # CMYK, HSV, LAB


def _white(values: NDArray[np.float32]) -> float:
    """Returns the level that a frame of 32-bit numbers means by white; 0 if none of the usual.

    Perceptual hashes compare with a median and so bear any scale; only quality depends on it.
    """
    low, high = float(values.min()), float(values.max())
    if low < 0.0:
        return 0.0
    return next((white for white in (1.0, 255.0, 65535.0) if high <= white), 0.0)


def _scaled(values: NDArray[np.float32], white: float) -> NDArray[np.uint8]:
    """Scales 0 to ``white``, or the values' own extremes where white is 0, to 0 to 255."""
    low = 0.0
    if not white:
        low, high = float(values.min()), float(values.max())
        white = high - low or 1.0
    # In double precision: extremes of float32 overflow when subtracted.
    scaled = (values.astype(np.float64) - low) * (255.0 / white)
    return np.rint(scaled).clip(0, 255).astype(np.uint8)
