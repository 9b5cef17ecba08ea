"""The thumbnail in EXIF: a JPEG, or uncompressed pixels, that the second directory points to.

EXIF is a TIFF file of two directories (CIPA DC-008): the first is of the picture, the second of
its thumbnail.
"""

import struct
from typing import NamedTuple

_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_STRIPS, _JPEG_START, _JPEG_SIZE = 0x0111, 0x0201, 0x0202
_PREFIX = b"Exif\0\0"


class Thumbnail(NamedTuple):
    """A picture in a file of its own.

    Attributes:
        content: The file.
        media_type: Its MIME type.
        format: Pillow's name of its format.
    """

    content: bytes
    media_type: str
    format: str


def thumbnail(exif: bytes) -> Thumbnail | None:
    """Returns the thumbnail in EXIF data; None if there is none that could be read."""
    exif = exif.removeprefix(_PREFIX)
    order = _BYTE_ORDERS.get(exif[:2])
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(order + "I", exif, 4)
        (fields,) = struct.unpack_from(order + "H", exif, first)
        (second,) = struct.unpack_from(order + "I", exif, first + 2 + 12 * fields)
        if not second:
            return None
        (fields,) = struct.unpack_from(order + "H", exif, second)
        directory = dict(
            struct.unpack_from(order + "H6xI", exif, second + 2 + 12 * number)
            for number in range(fields)
        )
    except struct.error:
        return None
    start = directory.get(_JPEG_START)
    if start is not None:
        content = exif[start : start + directory.get(_JPEG_SIZE, 0)]
        if content.startswith(b"\xff\xd8\xff"):
            return Thumbnail(content, "image/jpeg", "JPEG")
    if _STRIPS in directory:  # the same file, begun at its second directory
        head = exif[:2] + struct.pack(order + "HI", 42, second)
        return Thumbnail(head + exif[8:], "image/tiff", "TIFF")
    return None
