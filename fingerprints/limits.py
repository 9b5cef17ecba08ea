"""How much one asset may ask of the decoder, and which decoders it may ask."""

from dataclasses import dataclass

#: Pillow's names of the formats whose decoders untrusted bytes reach unless policy says
#: otherwise. MPO is a JPEG with further pictures behind it, and needs JPEG beside it. Left out on
#: purpose: JPEG 2000 and the many formats of Pillow that no data set of pictures needs.
SAFE_FORMATS = frozenset({"AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"})
#: Those a policy may name: what is told by its signature and decoded by Pillow alone, and whole.
#: Not ICO, ICNS and PSD: of their pictures or layers, Pillow shows one, or not each by itself.
KNOWN_FORMATS = SAFE_FORMATS | {"DDS", "JPEG2000", "QOI"}

#: Pixels of a frame at which Pillow's own guard refuses it, which stays in force.
MOST_PIXELS = 178_956_970

#: What the largest frame takes: so many bytes, and so many for each pixel. Measured with Pillow
#: 12.3 on frames of 40 million pixels: 4 (JPEG) to 32 a pixel (16 bits a pixel), and with hashes
#: of colour 24 to 51 (animated WebP).
SPARE_MEMORY = 512 << 20
MEMORY_PER_PIXEL = 64


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is decoded at all; whatever exceeds a limit is unscannable.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height of each frame; `MOST_PIXELS` at most.
        max_frames: Frames or pages of one file.
        max_total_pixels: Pixels of all frames together.
        max_memory: Bytes that the isolated process may take beyond what it has once it is ready.
        formats: Names of Pillow's formats that are decoded.
    """

    max_bytes: int = 64 * 1024**2
    max_pixels: int = 40_000_000
    max_frames: int = 200
    max_total_pixels: int = 500_000_000
    max_memory: int = SPARE_MEMORY + MEMORY_PER_PIXEL * 40_000_000
    formats: frozenset[str] = SAFE_FORMATS
