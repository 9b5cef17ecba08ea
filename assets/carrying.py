"""Pictures in the shape of something else: text in base64 or hex, lists of numbers.

What data sets do, and the libraries that read them undo: ``b64encode``, ``data:`` URIs in
documents, ``bytes.hex``, ``list(content)``, bytes decoded as Latin-1. It is told by what comes out:
text that does not decode to the signature of a picture is text. Whoever wants to hide something has
other ways.
"""

import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from ingestgate.assets.media import sniff

#: Characters of text, or items of a list, that may be a picture: what is shorter is none that could
#: be told from others. Long captions are rarer than short ones, and all that is paid for is these.
LEAST = 1024

# Whatever has no blank for so long has one of these blocks in it, at a multiple of its length:
# asking there is done in a microsecond, and of captions hardly one is asked more.
_BLOCK_LENGTH = LEAST // 4
_BLOCK = re.compile(rf"[^\s\"'<>]{{{_BLOCK_LENGTH}}}")
# Base64 of both alphabets, which hex is too. What follows one of its characters begins no run, so
# that each is tried once.
_RUN = re.compile(rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{LEAST - 2},}}")  # without its padding
_HEX = re.compile(r"(?:0?x)?((?:[0-9a-fA-F]{2})+)")
_DATA = re.compile(rf"data:[^,\s\"'<>]{{0,64}},([^\s\"'<>]{{{_BLOCK_LENGTH},}})", re.IGNORECASE)
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
    for form in (text, text.replace("\r", "").replace("\n", "")) if "\n" in text else (text,):
        # Base64 is often broken into lines; so is text, where they do not belong together.
        if not any(_BLOCK.match(form, at) for at in range(0, len(form), _BLOCK_LENGTH)):
            continue
        for found in _DATA.finditer(form):
            if "%" in found[1]:
                content = unquote_to_bytes(found[1])
                yield content
                yield _base64(content.decode("latin-1"))
        for run in _RUN.finditer(form):
            yield _base64(run[0])
            if digits := _HEX.fullmatch(run[0]):
                yield bytes.fromhex(digits[1])


def _base64(text: str) -> bytes:
    """Returns what base64 of either alphabet stands for, as far as it does; padding may lack."""
    digits = text.translate(_STANDARD).rstrip("=")
    with suppress(binascii.Error, ValueError):
        return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + "==")
    return b""


def _is_picture(content: bytes) -> bool:
    return sniff(content).startswith("image/")
