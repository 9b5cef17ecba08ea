"""What every list format yields, and what a list format is.

A format reads the structure of a file and nothing else: values stay the partner's text, signal
types the partner's names. `reading` turns them into checked values, the same way for all.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Literal, NamedTuple, Protocol, runtime_checkable

from ingestgate.blocklists.entries import FieldError

Scope = Literal["", "exact", "subdomains"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ \-]{0,39}")
_ENCODED = re.compile(r"[0-9A-Fa-f]{12}|[A-Za-z0-9]{20}")
_SECONDS = re.compile(r"0|[0-9]{9,11}")
# A date with or without hyphens, and perhaps a time: Python takes any character between.
_ISO = re.compile(
    r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4}|-W[0-9]{2}(?:-[0-9])?|W[0-9]{2,3})(?:[Tt ].+)?"
)


class Value(NamedTuple):
    """One value of an entry, as the partner wrote it.

    Attributes:
        signal_type: The partner's name of the signal type.
        text: The value.
        field: Where in the record it stood, for messages.
        scope: What a domain covers, where the format says; "" leaves it to the list.
        of_line: Whether it is what a line holds, and not a field with an end of its own: a URL
            may then have a separator or a quote behind it.
        assumed: Whether the signal type is not what the file says, but what the format takes the
            value for: whoever imports it may know better.
    """

    signal_type: str
    text: str
    field: str = "value"
    scope: Scope = ""
    of_line: bool = False
    assumed: bool = False

    def __repr__(self) -> str:
        return f"Value(signal_type={self.signal_type!r}, field={self.field!r})"


class Record(NamedTuple):
    """One entry of a partner's file, or its removal.

    Attributes:
        place: Where in the file it stands, for messages: ``line 7``, ``element 3``.
        values: Its values; none for a tombstone.
        entry_id: The partner's identifier, or "" if the format has none.
        category: The partner's category, or "".
        feedback: What others made of the entry, as the partner passes it on, or "".
        modified: When the partner changed it last, in microseconds since 1970 (UTC).
        tombstone: Whether the entry of that identifier (without one: with these values) is
            withdrawn.
        not_read: What it is if it is nothing that could be matched here (an exception rule,
            say): it is counted by that name, and nothing is stored.
    """

    place: str
    values: tuple[Value, ...] = ()
    entry_id: str = ""
    category: str = ""
    feedback: str = ""
    modified: int | None = None
    tombstone: bool = False
    not_read: str = ""


@runtime_checkable
class ListFormat(Protocol):
    """One format; made without arguments by the registry.

    Attributes:
        name: As after ``--format``.
        may_be_empty: Whether a file without entries says something (nothing has changed)
            rather than being an accident.
    """

    name: str
    may_be_empty: bool

    def detect(self, head: bytes) -> bool:
        """Whether a file that begins with these bytes is of this format, beyond doubt."""
        ...

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        """Yields the records of a file, one by one.

        Args:
            path: Where it lies, for messages.
            source: The file, at its beginning.

        Raises:
            ListError: It is not of this format; says where, and never shows a value.
        """
        ...


def is_type_name(text: str) -> bool:
    """Whether a text can be the name of a signal type, which is shown, and not rather a value."""
    return bool(_TYPE_NAME.fullmatch(text)) and not _ENCODED.search(text)


def microseconds(text: str) -> int:
    """Returns a time in microseconds since 1970 (UTC).

    Args:
        text: ISO 8601, read as UTC if it names no zone, or whole seconds since 1970, from 1973
            on: of other numbers nobody knows whether they are milliseconds, say.

    Raises:
        FieldError: It is neither.
    """
    if _SECONDS.fullmatch(text):
        return int(text) * 1_000_000
    try:
        time = datetime.fromisoformat(text if _ISO.fullmatch(text) else "")
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        return (time - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise FieldError("not a time (wants ISO 8601, or seconds since 1970)") from None
