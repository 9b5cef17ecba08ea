"""What a PNG says more than once, so that readers differ about it."""

import struct

_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # of a chunk, around its data: length, type and checksum


def chunks(content: bytes, sought: bytes) -> int:
    """Returns how many chunks of a type a PNG has before its image data (PNG, third edition, 11.3).

    Of ``acTL`` there may be one. With more, some readers show the first frame alone, as Pillow
    does, and others play what the first one says. Of ``tRNS`` Pillow takes the last, libpng the
    first.
    """
    found = 0
    at = _SIGNATURE_BYTES
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"IDAT":
            break
        found += kind == sought
        at += _FRAME_BYTES + length
    return found
