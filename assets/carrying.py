"""Pictures in the shape of something else: text in base64 or hex, lists of numbers.

What data sets do, and the libraries that read them undo: ``b64encode``, ``data:`` URIs in
documents, ``bytes.hex``, ``list(content)``, bytes decoded as Latin-1; and pictures whose bytes are
text as they stand. It is told by what comes out: text that does not decode to the signature of a
picture is text. Whoever wants to hide something has other ways.
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
# may be indented, and end in blanks.
_BREAK = re.compile(r"(?<![ \t])[ \t]*+[\r\n][ \t\r\n]*+")  # a run of blanks is tried once
_LINE_END = re.compile(r"\r\n|[\r\n]")
_LINES = re.compile(
    rf"(?:(?<![^\r\n])([ \t]*))?([A-Za-z0-9+/_-]+(?:{_BREAK.pattern}[A-Za-z0-9+/_-]+)*)"
)
_SHORTEST = LEAST - 2
_HEX = re.compile(rf"[0-9a-fA-F]{{{_SHORTEST},}}")
# Bytes that tell a picture: a drawing's first element may come as late.
_HEAD = 4096
# The one signature of two bytes, which chance has at the beginning of one line in 65,536.
_SHORT_SIGNATURE = b"\xff\x0a"


def _portable(comment: str) -> str:
    """Returns a pattern of Netpbm's headers, to where pixels begin, as Pillow takes them."""
    blank = r"[ \t-\r]"
    gap = rf"(?:{blank}|{comment})*+"
    # A comment may stand within a number, too.
    number = rf"[+-]?(?:{comment})*+\.?[0-9](?:[0-9._eE+-]|{comment})*+{blank}{gap}"
    return (
        rf"P1{blank}{gap}(?:{number}){{2}}(?:[01]{gap}){{16}}"
        rf"|P[23]{blank}{gap}(?:{number}){{4}}"
        rf"|P4{blank}{gap}(?:{number}){{2}}"
        rf"|P(?:(?:[56Ff]|yP){blank}|0CMYK|yRGBA|yCMYK){gap}(?:{number}){{3}}"
        r"|P7\n(?:#[^\n]*\n)*+(?:WIDTH|HEIGHT|DEPTH)[ \t]+[0-9]"
        r"|P7 332\n(?:#[^\n]*\n)*+[0-9]"
    )


# What text begins with that is a picture as it stands: a whole header of Netpbm's, of which readers
# differ what ends a comment, or a signature with bytes that no text has.
_AS_IT_STANDS = re.compile(
    _portable(r"#[^\r\n]*[\r\n]")
    + "|"
    + _portable(r"#[^\n]*\n")
    + r"|[^\x00-\x08\x0e-\x1f]{0,31}[\x00-\x08\x0e-\x1f]"
)
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
    # The pattern takes longer: it is asked only where text begins as little text does.
    doubtful = text[0] == "P" or not text[:32].isprintable()
    as_it_stands = doubtful and _AS_IT_STANDS.match(text)
    if as_it_stands or not text.isascii():
        try:
            yield text.encode("latin-1")
        except UnicodeEncodeError:
            if as_it_stands:
                yield text.encode("utf-8", "surrogatepass")
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
        indent, joined = run.groups()
        if len(joined) < _SHORTEST:
            continue
        lines = joined.split()
        anew = _begin_anew(lines, indent, _BREAK.findall(joined))
        digits = "".join(lines)
        starts = [0, *accumulate(map(len, lines[:-1]))]
        yield from _from_lines(digits, starts, anew, _BASE64)
        for found in _HEX.finditer(digits):
            within = slice(bisect_right(starts, found.start()), bisect_left(starts, found.end()))
            inner = [0, *(start - found.start() for start in starts[within])]
            yield from _from_lines(found[0], inner, [True, *anew[within]], _HEXADECIMAL)


def _begin_anew(lines: Sequence[str], indent: str | None, breaks: Sequence[str]) -> list[bool]:
    """Returns of each line whether something else may begin with it, however long it is.

    It may behind a blank line, and where lines are indented otherwise; and what mails and armour
    have for boundaries is made of digits, too.

    Args:
        lines: The lines.
        indent: Blanks before the first; None if something else is.
        breaks: What parts them: one less.
    """
    kinds = {parted: _LINE_END.split(parted)[1:] for parted in {*breaks}}  # blank lines, indent
    anew = [True]
    for parted, (before, line) in zip(breaks, pairwise(lines), strict=True):
        *blank, last = kinds[parted]
        boundary = line.startswith("--") and (len(line) != len(before) or not line.strip("-"))
        anew.append(bool(blank) or boundary or indent not in (None, last))
        indent = last
    return anew


class _Encoding(NamedTuple):
    """So many digits stand for so many bytes."""

    digits: int
    size: int
    decode: Callable[[str], bytes]


def _from_lines(
    digits: str, starts: Sequence[int], anew: Sequence[bool], encoding: _Encoding
) -> Iterator[bytes]:
    """Yields what joined lines stand for, from the first and from each that begins a picture.

    What stands before a picture may be digits too: a word, a header, a rule, another picture. So
    may what follows it, and where a picture ends is told by its lines alone. Each is taken

    - as far as lines are as long as each other, and one shorter: up to where something may begin
      anew, and past that;
    - up to there however long they are, if it may have begun anew itself;
    - as one line, if that is long enough;
    - to the end, if it is the first.

    Takes time in proportion to the digits.

    Args:
        digits: The lines, without what parts them.
        starts: Where in them a line begins, ascending, from 0.
        anew: Of each line, whether something else may begin with it.
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
    ends = [*starts[1:], end]
    widths = [after - start for start, after in zip(starts, ends, strict=True)]
    parts = [*(number for number, one in enumerate(anew) if one), len(widths)]

    def reach(number: int, limit: int) -> int:
        """Returns how far lines are as long as each other, and one shorter."""
        after = number + 1
        width = max(widths[number : after + 1])  # the first may stand behind a name
        while after < limit and widths[after] == width:
            after += 1
        return after + (after < limit and widths[after] < width)

    any_found = False
    known = 0  # up to where lines belong to a picture that was found
    for number, start in enumerate(starts):
        if end - start < _SHORTEST:
            break
        alone = widths[number] >= _SHORTEST
        # A line as long as the one before it mostly goes on with that, whatever it looks like.
        goes_on = number > 0 and widths[number] == widths[number - 1] and not alone
        if goes_on and number < known:
            continue
        head = content(start, min(end, start + 2 * _HEAD))
        # Where there are blank lines between all lines, they do not tell what begins.
        by_chance = goes_on and (not anew[number] or anew[number - 1])
        if not _is_picture(head) or (by_chance and head.startswith(_SHORT_SIGNATURE)):
            continue
        limit = parts[bisect_right(parts, number)]
        stops = {limit} if anew[number] or (number == 1 and not any_found) else set()
        if alone:
            stops.add(number + 1)
        else:
            known = reach(number, limit)
            stops.add(known)
            if not (goes_on and any_found):
                stops.add(reach(number, len(widths)))
        for stop in sorted(stops):
            if ends[stop - 1] - start >= _SHORTEST:
                yield content(start, ends[stop - 1])
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
