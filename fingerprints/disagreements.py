"""Files in which other readers see another picture than Pillow, by whose pixels one is hashed.

Of a file that contradicts itself, or uses what readers do not agree on, OpenCV, libtiff and others
show something else: it could be a listed picture behind a harmless one.
"""

import io
import re
import struct

from PIL.AvifImagePlugin import AvifImageFile

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.png_chunks import chunks
from ingestgate.fingerprints.unscannable import Unscannable

# What ends a comment, and whether one may stand at a number, readers do not agree on.
_GAP = rb"\s+(?:#[^\r\n]*\r?\n\s*)*"
_PORTABLE = re.compile(
    rb"(?:P[14]GAP\d+GAP\d+|P[2356]GAP\d+GAP\d+GAP(\d+)|P[Ff]\n\d+\s\d+\s-?1(?:\.0*)?)\s".replace(
        b"GAP", _GAP
    )
)
_PORTABLE_BYTES = 1 << 16  # of a header
_HIGHEST = frozenset({None, b"255", b"65535"})
_NUMBERS = re.compile(rb"[\d\s]*")

_RUN_LENGTHS, _MASKS = frozenset({1, 2}), 3  # of what a bitmap's compression can be
_BLUE_FIRST = frozenset({struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF), bytes(12)})
_OF_16_BITS = frozenset(
    {struct.pack("<3I", 0xF800, 0x7E0, 0x1F), struct.pack("<3I", 0x7C00, 0x3E0, 0x1F)}
)


def disagreement(content: bytes, format: str) -> str:
    """Returns what of a file readers disagree about, as far as its bytes say; "" if nothing.

    Args:
        content: The whole file.
        format: Pillow's name of its format.
    """
    check = _CHECKS.get(format)
    return check(content) if check else ""


def _png(content: bytes) -> str:
    if chunks(content, b"acTL") > 1:
        return "that says twice how it is animated"
    return "that says twice what is transparent" if chunks(content, b"tRNS") > 1 else ""


def _portable(content: bytes) -> str:
    if content[1:2] in (b"0", b"y"):  # Pillow's own, as PyRGBA: nothing else reads them
        return ""
    header = _PORTABLE.match(content, 0, _PORTABLE_BYTES)
    if header is None:
        return "whose header is written in an unusual way"
    if header[1] not in _HIGHEST:
        return "whose highest value is neither 255 nor 65535"
    if content[1:2] in b"123" and not _NUMBERS.fullmatch(content, header.end()):
        return "with more than numbers in its pixels"
    return ""


def _bitmap(content: bytes) -> str:
    head = content[:66].ljust(66, b"\0")
    pixels, size = struct.unpack_from("<II", head, 10)
    behind = 14 + size
    if size == 12:
        (bits,) = struct.unpack_from("<H", head, 24)
        packing = colours = 0
    else:
        bits, packing = struct.unpack_from("<HI", head, 28)
        (colours,) = struct.unpack_from("<I", head, 46)
    if packing in _RUN_LENGTHS:
        return "packed by run lengths"
    if pixels < behind or (bits <= 8 and pixels == behind):
        return "whose pixels begin in its header, or in the place of its palette"
    if (
        bits <= 8
        and colours not in (0, 1 << bits)
        and _is_gray(content[behind : behind + 1024], colours)
    ):
        return "of grays that are not as many as its bits can name"
    masks = head[54:66]
    if packing == _MASKS and (
        (bits == 32 and masks not in _BLUE_FIRST)
        or (bits == 16 and content[behind : behind + 12] in _OF_16_BITS - {masks})
    ):
        return "whose colours lie in another order than usual"
    return ""


def _is_gray(palette: bytes, colours: int) -> bool:
    """Whether Pillow leaves a palette out, and takes what the pixels say for their levels."""
    levels = (0, 255) if colours == 2 else range(min(colours, 256))
    return all(
        palette[4 * index : 4 * index + 3] == bytes((level,) * 3)
        for index, level in enumerate(levels)
    )


_CHECKS = {"BMP": _bitmap, "PNG": _png, "PPM": _portable}


class CheckedAvif(AvifImageFile):
    """An AVIF whose header has to be right about whether it has colours.

    Pillow goes by the header, and takes the colours that are decoded for so many grays.
    """

    def load_end(self) -> None:
        """Compares the bytes of the frame just decoded with those that its mode takes.

        Raises:
            Unscannable: They are not as many.
        """
        decoded = self.fp.seek(0, io.SEEK_END) if self.fp else 0
        if decoded != self.width * self.height * len(self.getbands()):
            raise Unscannable(
                Reason.UNDECODABLE,
                "image/avif whose header is wrong about its colours: readers differ",
            )
