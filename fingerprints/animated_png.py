"""What tells that a PNG is animated, and when readers differ about it."""

import struct

_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # of a chunk, around its data: length, type and checksum


def animation_controls(content: bytes) -> int:
    """Returns how many ``acTL`` chunks a PNG has before its image data (PNG, third edition, 11.3).

    There may be one. With more, some readers show the first frame alone, as Pillow does, and others
    play what the first one says.
    """
    found = 0
    at = _SIGNATURE_BYTES
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"IDAT":
            break
        found += kind == b"acTL"
        at += _FRAME_BYTES + length
    return found
