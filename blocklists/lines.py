"""Lines of UTF-8 text files, and the rows of CSV, strictly read.

Errors name file and line, and never show what it holds.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from ingestgate.assets.errors import ListError

MAX_LINE = 1 << 16
BLANK = " \t\r\n"
# The last separator, and what is behind it if that is no more of a path or query.
_LAST_FIELD = re.compile(r"([,;|])[^,;|/=?&]*\Z")


def text_lines(path: str, source: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yields the lines of a UTF-8 file with their numbers, from 1 on.

    Raises:
        ListError: A line is not UTF-8, or longer than `MAX_LINE` bytes.
    """
    for number, raw in enumerate(iter(lambda: source.readline(MAX_LINE + 1), b""), 1):
        if len(raw) > MAX_LINE:
            raise ListError(f"{path}, line {number}, row: longer than {MAX_LINE} bytes")
        try:
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:  # which carries the line: do not chain it
            raise ListError(f"{path}, line {number}, row: not UTF-8 text") from None


def plain_lines(path: str, source: BinaryIO) -> Iterator[tuple[int, str]]:
    """Does `text_lines` for files of which each line is one thing.

    Raises:
        ListError: As there; or a carriage return stands within a line, as where it is what ends
            lines: all of the file would be one, and one remark if it begins with one.
    """
    for number, text in text_lines(path, source):
        if "\r" in text.rstrip("\r\n"):
            raise ListError(
                f"{path}, line {number}, row: holds a carriage return; save the file with line "
                "feeds at the ends of its lines"
            )
        yield number, text


def unseparated(path: str, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Passes on lines that may hold commas and the like, but are no rows of a table.

    Raises:
        ListError: Each of several lines ends as a row may (`row_end`).
    """
    mark: str | None = None
    last = seen = 0
    for number, text in lines:
        if not is_comment(text) and (mark is not None or not seen):
            mark = row_end(text)
            last, seen = number, seen + 1
        yield number, text
    if seen > 1 and mark is not None:
        raise ListError(
            f"{path}, line {last}, row: has behind its last {mark!r} what may be another column, "
            "and so has every line before it; give the table with its header, or, where it is a "
            f"part of the values, write %{ord(mark):02X}"
        )


def row_end(text: str) -> str | None:
    """Returns the separator behind which another column may stand, or None.

    URLs hold commas and the like, too, and those of one site equally many: that tells nothing.
    """
    found = _LAST_FIELD.search(text.strip(BLANK))
    return found and found[1]


def is_comment(text: str) -> bool:
    """Whether a line holds nothing, or a remark that starts with ``#``."""
    text = text.strip(BLANK)
    return not text or text.startswith("#")


def table_rows(
    path: str, header: Sequence[str], lines: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the rows of CSV: the line each begins on, and its fields by column.

    Rows without anything in them are left out, and so are remarks: lines that start with ``#``
    where a row could begin, for all that a field may hold.

    Args:
        path: Where the file lies, for messages.
        header: Names of the columns.
        lines: The lines after the header, with their numbers.

    Raises:
        ListError: It is not CSV, a row has more or fewer fields than the header, or what starts
            with ``#`` could be a row.
    """
    begun: list[int] = []  # the lines of the row that is being read

    def of_rows() -> Iterator[str]:
        for number, text in lines:
            if begun or not text.lstrip(BLANK).startswith("#"):
                begun.append(number)
                yield text
            else:
                _check_remark(f"{path}, line {number}", text, len(header))

    reader = csv.reader(of_rows(), strict=True)
    while True:
        begun.clear()
        try:
            row = next(reader, None)
        except csv.Error as error:
            # Its messages are fixed texts ("unexpected end of data"), without the field.
            raise ListError(f"{path}, line {begun[0]}, row: not CSV ({error})") from None
        if row is None:
            return
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(header):
            raise ListError(
                f"{path}, line {begun[0]}, row: has {len(row)} fields, the header {len(header)}"
            )
        yield begun[0], dict(zip(header, row, strict=True))


def _check_remark(place: str, text: str, columns: int) -> None:
    try:
        fields, *rest = csv.reader([text, "\n"])
    except csv.Error as error:
        raise ListError(f"{place}, row: not CSV ({error})") from None
    if (columns > 1 and len(fields) == columns) or not rest:  # without: a quote is left open
        raise ListError(
            f"{place}, row: begins with # as a remark does, but has the fields of a row; put the "
            "first field in quotes if it is one, or take the line out"
        )
