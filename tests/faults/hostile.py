"""Hostile files, made from a seed: mutated pictures, bombs, polyglots, and what is no picture."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.faults.mutating import KINDS, mutated
from tests.pictures import encoded, picture

_SEEDS = 6
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF", "bmp": "BMP"}


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it is of this size, and is."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer, rows = zlib.compressobj(9), io.BytesIO()
    for _ in range(height):
        rows.write(packer.compress(bytes(width + 1)))
    rows.write(packer.flush())
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", rows.getvalue()), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def lying(width: int, height: int) -> bytes:
    """A PNG that says it is of this size, and ends at once."""
    head = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"\0"))


def polyglot(content: bytes) -> bytes:
    """A picture that is an archive as well."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("run.sh", "#!/bin/sh\n")
    return content + sink.getvalue()


def hostile(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields names and contents; the same seed gives the same."""
    chance = random.Random(seed)
    whole: dict[str, list[bytes]] = {
        suffix: [encoded(picture(number, (64, 48)), kind) for number in range(_SEEDS)]
        for suffix, kind in _FORMATS.items()
    }
    Image.init()
    great = [bomb(9000, 9000), lying(60_000, 60_000), lying(1, 2**31 - 1)]
    for number in range(count):
        suffix = chance.choice(list(whole))
        content = chance.choice(whole[suffix])
        kind = number % 20
        if kind == 0:
            content, suffix = great[number // 20 % len(great)], "png"
        elif kind == 1:
            content = polyglot(content)
        elif kind == 2:
            content = chance.randbytes(chance.randrange(2000))
        elif kind == 3:
            suffix = chance.choice(["jpg", "png", "svg", "heic", "pdf"])  # another one's
        else:
            changes = [
                (chance.choice(KINDS), chance.randrange(1 << 20), chance.randrange(1 << 20), 40)
                for _ in range(chance.randint(1, 3))
            ]
            content = mutated(content, changes)
        yield f"k{number:06d}.{suffix}", content
