"""Rows of CSV files with a header, any columns, strictly read."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.text_records import first_lines
from ingestgate.blocklists.lines import is_comment, table_rows, text_lines


def csv_rows(path: str, source: BinaryIO) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields place (``line 7``) and fields of each row; lines that start with ``#`` are remarks.

    Raises:
        ListError: It is not CSV with a header whose names are distinct, or a row of it is not as
            `lines.table_rows` wants it.
    """
    numbers = iter(text_lines(path, source))
    start, first = next(((n, t) for n, t in numbers if not is_comment(t)), (0, ""))
    if not start:
        return
    try:
        header = [name.strip() for name in next(csv.reader([first]), [])]
    except csv.Error as error:
        raise ListError(f"{path}, line {start}, header: not CSV ({error})") from None
    if "" in header or len(set(header)) < len(header):
        raise ListError(f"{path}, line {start}, header: a column without a name, or a name twice")
    for line, row in table_rows(path, header, numbers):
        yield f"line {line}", row


def header_names(head: bytes) -> list[str]:
    """Returns the column names of what may be CSV, lower-cased, for detection; else none."""
    try:
        return [name.strip().lower() for name in next(csv.reader(first_lines(head)[:1]), [])]
    except csv.Error:
        return []
