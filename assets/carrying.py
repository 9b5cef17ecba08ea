"""Pictures in the shape of something else: text in base64 or hex, lists of numbers.

What data sets do, and the libraries that read them undo: ``b64encode``, ``data:`` URIs in
documents, ``bytes.hex``, ``list(content)``, bytes decoded as Latin-1. It is told by what comes out:
text that does not decode to the signature of a picture is text. Whoever wants to hide something has
other ways.
"""

import binascii
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ingestgate.assets.media import sniff

#: Characters of text, or items of a list, that may be a picture: what is shorter is none that could
#: be told from others. Long captions are rarer than short ones, and all that is paid for is these.
LEAST = 1024

# Whatever has no blank for so long has one of these blocks in it, at a multiple of its length:
# asking there is done in a microsecond, and of captions hardly one is asked more.
_BLOCK_LENGTH = LEAST // 4
_BLOCK = re.compile(rf"[^\s\"'<>]{{{_BLOCK_LENGTH}}}")
_DATA = re.compile(rf"data:[^,\s\"'<>]{{0,64}},([^\s\"'<>]{{{3 * _BLOCK_LENGTH},}})", re.IGNORECASE)
# Base64 of both alphabets, which hex is too, without its padding: often broken into lines, which
# may be indented.
_BREAK = re.compile(r"[\r\n][ \t\r\n]*")
_LINES = re.compile(rf"[A-Za-z0-9+/_-]+(?:{_BREAK.pattern}[A-Za-z0-9+/_-]+)*")
_SHORTEST = LEAST - 2
_HEX = re.compile(rf"[0-9a-fA-F]{{{_SHORTEST},}}")
# Bytes that tell a picture: a drawing's first element may come as late.
_HEAD = 4096
# The one signature of two bytes, which chance has at the beginning of one line in 65,536.
_SHORT_SIGNATURE = b"\xff\x0a"
_STANDARD = str.maketrans("-_", "+/")


def carried(text: str) -> list[bytes]:
    """Returns the pictures that text carries; of most text, after a look at its length, none."""
    if len(text) < LEAST:
        return []
    pictures: dict[bytes, None] = {}
    for content in _decoded(text):
        if _is_picture(content):
            pictures[content] = None
    return [*pictures]


def carried_in_list(values: Sequence[object]) -> bytes | None:
    """Returns the picture that a list of its bytes' numbers is, None if it is none."""
    if len(values) < LEAST or not isinstance(values[0], int):
        return None
    with suppress(TypeError, ValueError):
        content = bytes(values)  # type: ignore[arg-type]  # numbers, or one of these errors
        return content if _is_picture(content) else None
    return None


def carries(value: object) -> bool:
    """Whether a picture is in a value as JSON has them, at any depth, names of objects included."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if carried(item):
                return True
        elif isinstance(item, Mapping):
            stack += item.keys()
            stack += item.values()
        elif isinstance(item, list | tuple):
            if carried_in_list(item) is not None:
                return True
            stack += item
    return False


def _decoded(text: str) -> Iterator[bytes]:
    """Yields what text may stand for."""
    if not text.isascii():
        with suppress(UnicodeEncodeError):
            yield text.encode("latin-1")
    flat = _BREAK.sub("", text) if "\n" in text or "\r" in text else text
    if not any(_BLOCK.match(flat, at) for at in range(0, len(flat), _BLOCK_LENGTH)):
        return
    for form in dict.fromkeys((text, flat)):
        for found in _DATA.finditer(form):
            if "%" in found[1]:
                content = unquote_to_bytes(found[1])
                yield content
                yield _base64(content.decode("latin-1"))
    for run in _LINES.finditer(text):
        if len(run[0]) < _SHORTEST:
            continue
        lines = run[0].split()
        digits = "".join(lines)
        starts = [0, *accumulate(map(len, lines[:-1]))]
        yield from _from_lines(digits, starts, _BASE64)
        for found in _HEX.finditer(digits):
            within = starts[bisect_right(starts, found.start()) : bisect_left(starts, found.end())]
            inner = [0, *(start - found.start() for start in within)]
            yield from _from_lines(found[0], inner, _HEXADECIMAL)


class _Encoding(NamedTuple):
    """So many digits stand for so many bytes."""

    digits: int
    size: int
    decode: Callable[[str], bytes]


def _from_lines(digits: str, starts: list[int], encoding: _Encoding) -> Iterator[bytes]:
    """Yields what joined lines stand for, from the first and from each that begins a picture.

    What stands before a picture may be digits too: a word, a header, a rule, another picture. So
    may what follows it: the first is taken to the end as well, and each as far as its lines are as
    long as each other, and one shorter. Takes time in proportion to the digits.

    Args:
        digits: The lines, without what parts them.
        starts: Where in them a line begins, ascending, from 0.
        encoding: How they are read.
    """
    shifted: dict[int, bytes] = {}

    def content(start: int, end: int) -> bytes:
        shift = start % encoding.digits
        if shift not in shifted:
            shifted[shift] = encoding.decode(digits[shift:])
        first = start // encoding.digits * encoding.size
        length = (end - start) * encoding.size // encoding.digits
        return shifted[shift][first : first + length]

    end = len(digits)
    yield content(0, end)
    widths = [after - start for start, after in pairwise([*starts, end])]
    any_found = False
    for number, start in enumerate(starts):
        if end - start < _SHORTEST:
            break
        # A line as long as the one before it mostly goes on with that, whatever it looks like.
        goes_on = number > 0 and widths[number] == widths[number - 1]
        if goes_on and any_found:
            continue
        head = content(start, min(end, start + 2 * _HEAD))
        if not _is_picture(head) or (goes_on and head.startswith(_SHORT_SIGNATURE)):
            continue
        after = number + 1
        width = max(widths[number : number + 2])  # the first may stand behind a name
        if widths[number] < _SHORTEST:
            while after < len(widths) and widths[after] == width:
                after += 1
            after += after < len(widths) and widths[after] < width
        stop = starts[after] if after < len(starts) else end
        if stop - start >= _SHORTEST:
            yield content(start, stop)
        if not any_found:
            yield content(start, end)
        any_found = True


def _base64(text: str) -> bytes:
    """Returns what base64 of either alphabet stands for, as far as it does; padding may lack."""
    digits = text.translate(_STANDARD).rstrip("=")
    with suppress(binascii.Error, ValueError):
        return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + "==")
    return b""


def _hexadecimal(text: str) -> bytes:
    return bytes.fromhex(text[: len(text) - len(text) % 2])


_BASE64 = _Encoding(4, 3, _base64)
_HEXADECIMAL = _Encoding(2, 1, _hexadecimal)


def _is_picture(content: bytes) -> bool:
    return sniff(content).startswith("image/")
