"""The canary: one benign generated picture, the same bytes on every machine.

Each compiled list carries its digests and hashes, and each run shows it to the gate: a gate that
does not catch it would not catch anything else. The file is put together here byte by byte, as
encoders and compressors give other bytes from version to version.
"""

import struct
import zlib
from functools import cache

import numpy as np

FORMAT = "PNG"  # by Pillow's name
WIDTH, HEIGHT = 128, 96
_STORED = 0xFFFF  # bytes of a stored block of deflate, at most (RFC 1951)


@cache
def canary_picture() -> bytes:
    """Returns the picture as PNG (RFC 2083), 128 x 96, RGB, uncompressed: a bird of circles."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack([x * 2, y * 2 + ((x // 16) * (y // 12) * 5) % 60, x + y], axis=2)
    body = (x - 50) ** 2 + (y - 40) ** 2
    rgb[body < 24**2] = (20, 20, 40)
    rgb[body < 20**2] = (250, 210, 30)
    rgb[60:86, 84:116] = (30, 40, 160)
    rgb[(x + 2 * y > 200) & (x < 76)] = (200, 60, 60)
    rows = rgb.astype(np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)  # filter 0: as they are
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", _zlib_stream(lines)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _zlib_stream(data: bytes) -> bytes:
    """Wraps bytes as a zlib stream (RFC 1950) without compressing them."""
    stream = b"\x78\x01"
    for start in range(0, len(data), _STORED):
        block = data[start : start + _STORED]
        last = start + _STORED >= len(data)
        stream += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    return stream + struct.pack(">I", zlib.adler32(data))
