"""Elements out of a JSON file, one by one, however long the arrays are that hold them."""

import codecs
import json
import re
from collections.abc import Collection, Generator, Iterator
from typing import Any, BinaryIO, NamedTuple, NoReturn

from ingestgate.assets.errors import ListError

MAX_ELEMENT = 1 << 20  # characters of one element that is read whole
_CHUNK = 1 << 16
_MAX_DEPTH = 16
_ENDS = frozenset(",:]} \t\n\r")
_SPACE = re.compile(r"[ \t\n\r]*")

Path = tuple[str, ...]
ITEM = "[]"  # an array's elements, in a path


class Found(NamedTuple):
    """An object that was read.

    Attributes:
        path: The keys that lead to it, `ITEM` for an element of an array.
        number: Of the elements of its array, which one, from 1 on; 0 outside of arrays.
        value: The object; without what was read element by element below it.
        counts: Of the arrays in it that were read so, how many elements each has: an empty one
            is something else than none.
    """

    path: Path
    number: int
    value: dict[str, Any]
    counts: dict[str, int]

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        if not self.path:
            return "the file"
        names = ".".join(part for part in self.path if part != ITEM)
        return f"element {self.number}" + (f" of {names}" if names else "")


def objects(path: str, source: BinaryIO, arrays: Collection[Path]) -> Iterator[Found]:
    """Yields the objects of some arrays, and the objects those lie in once they end.

    Args:
        path: Where the file lies, for messages.
        source: The file, UTF-8.
        arrays: Paths of the arrays that are not read whole, without their own `ITEM`.

    Raises:
        ListError: The file is not JSON, has a key twice, or an element that is not an object;
            shows nothing of it.
    """
    reader = _Reader(path, source)
    opened = {array[:length] for array in arrays for length in range(len(array) + 1)}
    yield from _walk(reader, (), 0, opened)
    reader.end()


def _walk(
    reader: "_Reader", path: Path, number: int, opened: Collection[Path]
) -> Generator[Found, None, int]:
    """Yields what is at the reader's place, which is an array or object that was asked for.

    Returns:
        How many elements the array has.
    """
    if len(path) > _MAX_DEPTH:
        reader.refuse("nested too deep")
    if reader.take("["):
        count = 0
        for count, _ in enumerate(reader.items("]"), 1):
            below = (*path, ITEM)
            if below in opened:
                yield from _walk(reader, below, count, opened)
            else:
                value = reader.value()
                if not isinstance(value, dict):
                    reader.refuse(f"element {count} is not an object")
                yield Found(below, count, value, {})
        return count
    if not reader.take("{"):
        reader.refuse("neither an object nor an array where one must be")
    fields: dict[str, Any] = {}
    counts: dict[str, int] = {}
    seen: set[str] = set()
    for _ in reader.items("}"):
        key = reader.value()
        if not isinstance(key, str) or not reader.take(":"):
            reader.refuse("not JSON")
        if key in seen:
            reader.refuse("a key twice in one object")
        seen.add(key)
        if (*path, key) in opened and reader.peek() == "[":
            counts[key] = yield from _walk(reader, (*path, key), 0, opened)
        elif (*path, key) in opened and reader.peek() == "{":
            yield from _walk(reader, (*path, key), 0, opened)
        else:
            fields[key] = reader.value()
    yield Found(path, number, fields, counts)
    return 0


class _Reader:
    """The text of a file, a window of it at a time."""

    def __init__(self, path: str, source: BinaryIO) -> None:
        self._path, self._source = path, source
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
        self._text, self._at, self._before = "", 0, 0
        self._ended = False

    def refuse(self, problem: str) -> NoReturn:
        raise ListError(f"{self._path}, character {self._before + self._at + 1}: {problem}")

    def peek(self) -> str:
        """Returns the next character that is not white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, character: str) -> bool:
        """Steps over a character, if it is the next one."""
        found = self.peek() == character
        self._at += found
        return found

    def items(self, closing: str) -> Iterator[None]:
        """Yields once before each item, and steps over commas and the closing bracket."""
        if self.take(closing):
            return
        while True:
            yield None
            if self.take(closing):
                return
            if not self.take(","):
                self.refuse("not JSON")

    def value(self) -> Any:
        """Reads one value whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except _TwiceError:
                self.refuse("a key twice in one object")
            except (ValueError, RecursionError):
                end = -1
            # Without what ends it, a number may go on: "12" of "123", "0" of "0.5".
            if end >= 0 and (self._text[end : end + 1] in _ENDS or not self._more()):
                self._at = end
                return value
            if len(self._text) - self._at > MAX_ELEMENT:
                self.refuse("not JSON, or an element longer than any there is")
            if end < 0 and not self._more():
                self.refuse("not JSON")

    def end(self) -> None:
        if self.peek():
            self.refuse("more after the end")

    def _more(self) -> bool:
        """Reads on, twice as far as what is left; False at the end of the file."""
        if self._ended:
            return False
        left = self._text[self._at :]
        chunk = self._source.read(max(_CHUNK, len(left)))
        self._ended = not chunk
        try:
            text = self._decode(chunk, final=self._ended)
        except UnicodeDecodeError:  # which carries the text: do not chain it
            self._at = len(self._text)
            raise ListError(
                f"{self._path}, after character {self._before + self._at}: not UTF-8 text"
            ) from None
        if not self._ended:
            self._before += self._at
            self._text, self._at = left + text, 0
        return not self._ended


class _TwiceError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers take the first or the last of two: a removal could hide behind the other.
    record = dict(pairs)
    if len(record) != len(pairs):
        raise _TwiceError
    return record


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def loads(path: str, place: str, text: str) -> dict[str, Any]:
    """Returns the object that one line of JSON Lines holds.

    Raises:
        ListError: It holds something else; shows nothing of it.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except _TwiceError:
        raise ListError(f"{path}, {place}: a key twice in one object") from None
    except (ValueError, RecursionError):
        raise ListError(f"{path}, {place}: not JSON") from None
    if not isinstance(value, dict):
        raise ListError(f"{path}, {place}: not a JSON object")
    return value
