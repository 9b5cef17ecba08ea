"""Where the further images of a JPEG lie: the Multi-Picture Format (CIPA DC-007), or MPO.

Read here, as Pillow takes such a file for a JPEG of one image if it has a gain map, or an index
that Pillow cannot read: the images behind the first would not be looked at.
"""

import struct
from collections.abc import Sequence

_IDENTIFIER = b"MPF\0"
_BYTE_ORDERS = {b"II\x2a\x00": "<", b"MM\x00\x2a": ">"}
_NUMBER_OF_IMAGES, _ENTRIES = 0xB001, 0xB002
_ENTRY_BYTES = 16  # attribute, size, offset, two numbers of dependent images

#: In the XMP of a JPEG with a gain map (Ultra HDR, ISO 21496-1), and in that of the map itself.
_GAIN_MAP = b'hdrgm:Version="'


def image_offsets(segments: Sequence[tuple[str, bytes]], index_start: int) -> list[int]:
    """Returns where in the file each image begins, the first (at 0) included.

    Args:
        segments: The first image's application segments, as in `JpegImageFile.applist`.
        index_start: Where in the file the index begins, behind its identifier.

    Raises:
        ValueError: There are several indices, or what is there is not one in every detail.
    """
    indices = [
        content[len(_IDENTIFIER) :]
        for name, content in segments
        if name == "APP2" and content.startswith(_IDENTIFIER)
    ]
    if not indices:
        return [0]
    if len(indices) > 1:
        raise ValueError("several indices of images")
    try:
        count, entries = _index(indices[0])
        offsets = [struct.unpack_from(entries[0] + "I", entry, 8)[0] for entry in entries[1]]
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError("no index of images") from error
    if not count or count != len(offsets):
        raise ValueError("an index of images that says two numbers of them")
    return [0, *(index_start + offset for offset in offsets[1:])]


def _index(content: bytes) -> tuple[int, tuple[str, list[bytes]]]:
    order = _BYTE_ORDERS[content[:4]]
    (start,) = struct.unpack_from(order + "I", content, 4)
    (fields,) = struct.unpack_from(order + "H", content, start)
    count, entries = 0, b""
    before = -1
    for number in range(fields):
        field = start + 2 + 12 * number
        tag, _, size, value = struct.unpack_from(order + "HHII", content, field)
        if tag <= before:  # of two of a kind, readers take one or the other
            raise ValueError("an index of images whose fields are not in order")
        before = tag
        if tag == _NUMBER_OF_IMAGES:
            count = value
        elif tag == _ENTRIES:
            entries = content[value : value + size]
            if len(entries) != size or size % _ENTRY_BYTES:
                raise ValueError("an index of images that ends early")
    parts = [entries[at : at + _ENTRY_BYTES] for at in range(0, len(entries), _ENTRY_BYTES)]
    return count, (order, parts)


def names_gain_map(segments: Sequence[tuple[str, bytes]]) -> bool:
    """Whether an image's XMP says that it has, or is, a gain map."""
    return any(name == "APP1" and _GAIN_MAP in content for name, content in segments)
