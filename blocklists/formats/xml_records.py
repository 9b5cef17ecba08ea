"""Elements out of an XML file, one by one, with the lines they stand on.

Straight on expat, with everything refused that a list has no use for and an attacker has:
document types, and with them entities, external ones and those that explode alike.
"""

from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from xml.etree.ElementTree import Element
from xml.parsers import expat

from ingestgate.assets.errors import ListError

#: Characters of text and names in one record, and bytes of one tag, comment or instruction.
MAX_RECORD = 1 << 20
_MAX_DEPTH = 32
_CHUNK = 1 << 16


class Found(NamedTuple):
    """An element, and where it began.

    Attributes:
        parent: Name of the element it lies in.
        element: With what is below it; names without the namespace.
        line: Where it begins, from 1 on.
    """

    parent: str
    element: Element
    line: int


def elements(
    path: str, source: BinaryIO, *, namespace: str, root: str, depth: int
) -> Iterator[Found]:
    """Yields the elements at a depth, in the order they end.

    Args:
        path: Where the file lies, for messages.
        source: The file.
        namespace: Every element must be of it.
        root: Name the outermost element must have.
        depth: Which elements to yield: 0 the outermost, 1 its children...

    Raises:
        ListError: The file is no such XML; names the line, shows nothing of it.
    """
    reader = _Reader(path, namespace, root, depth)
    while chunk := source.read(_CHUNK):
        reader.feed(chunk)
        while reader.done:
            yield reader.done.popleft()
    reader.feed(b"", last=True)
    yield from reader.done


class _Reader:
    def __init__(self, path: str, namespace: str, root: str, depth: int) -> None:
        self.done: deque[Found] = deque()
        self._path, self._namespace, self._root, self._depth = path, namespace, root, depth
        self._names: list[str] = []
        self._stack: list[Element] = []
        self._line = self._size = self._fed = 0
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EntityDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            # Its messages name what is wrong ("mismatched tag"), never what was read.
            raise ListError(
                f"{self._path}, line {error.lineno}: not XML ({expat.ErrorString(error.code)})"
            ) from None
        self._fed += len(chunk)
        # What has begun and not ended is held whole, and looked at anew with each chunk.
        if self._fed - self._parser.CurrentByteIndex > MAX_RECORD:
            raise self._refuse("a record longer than any there is")

    def _refuse(self, problem: str) -> ListError:
        return ListError(f"{self._path}, line {self._parser.CurrentLineNumber}: {problem}")

    def _doctype(self, *_: object) -> None:
        raise self._refuse("a document type, which could define entities; no list has one")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        depth = len(self._names)
        if namespace != self._namespace or (not depth and local != self._root):
            raise self._refuse(
                f"an element that is not of {self._namespace}"
                if depth
                else f"not a {self._root} of {self._namespace}"
            )
        if depth == _MAX_DEPTH:
            raise self._refuse("elements too deep in each other")
        self._names.append(local)
        if depth == self._depth:
            self._line, self._size = self._parser.CurrentLineNumber, 0
        if depth >= self._depth:
            self._grow(len(local) + sum(map(len, (*attributes, *attributes.values()))))
            element = Element(local, attributes)
            if self._stack:
                self._stack[-1].append(element)
            self._stack.append(element)

    def _end(self, _: str) -> None:
        self._names.pop()
        if self._stack:
            element = self._stack.pop()
            if not self._stack:
                parent = self._names[-1] if self._names else ""
                self.done.append(Found(parent, element, self._line))

    def _text(self, text: str) -> None:
        if self._stack:
            self._grow(len(text))
            if not len(self._stack[-1]):
                self._stack[-1].text = (self._stack[-1].text or "") + text

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_RECORD:
            raise self._refuse("a record longer than any there is")
