"""How much one asset may ask of the decoder, and which decoders it may ask."""

from dataclasses import dataclass

#: Pillow's names of the formats whose decoders untrusted bytes reach unless policy says
#: otherwise. MPO is a JPEG with further pictures behind it, and needs JPEG beside it. Left out on
#: purpose: JPEG 2000, ICO and the many formats of Pillow that no data set of pictures needs.
SAFE_FORMATS = frozenset({"AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"})
#: Those a policy may name: what is told by its signature and decoded by Pillow alone.
KNOWN_FORMATS = SAFE_FORMATS | {"DDS", "ICNS", "ICO", "JPEG2000", "PSD", "QOI"}


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is decoded at all; whatever exceeds a limit is unscannable.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height of each frame. Pillow's own guard stays in force beside
            it and ends at about 179 million.
        max_frames: Frames or pages of one file.
        max_total_pixels: Pixels of all frames together.
        formats: Names of Pillow's formats that are decoded.
    """

    max_bytes: int = 64 * 1024**2
    max_pixels: int = 40_000_000
    max_frames: int = 200
    max_total_pixels: int = 500_000_000
    formats: frozenset[str] = SAFE_FORMATS
