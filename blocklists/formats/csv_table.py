"""Any CSV with a header, by a column mapping."""

from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.blocklists.formats.csv_rows import csv_rows
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.mapping import ColumnMapping
from ingestgate.blocklists.formats.record import Record


class CsvTable:
    """The format ``csv``."""

    name = "csv"
    may_be_empty = False

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping

    def detect(self, head: bytes) -> bool:
        return head[:4] != b"PAR1" and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"[")

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, row in csv_rows(path, source):
            yield self._mapping.record(Fields(path, place, row))
