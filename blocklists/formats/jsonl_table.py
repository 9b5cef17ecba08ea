"""Any JSON Lines, by a mapping of its keys."""

from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.json_records import loads
from ingestgate.blocklists.formats.mapping import ColumnMapping
from ingestgate.blocklists.formats.record import Record
from ingestgate.blocklists.lines import text_lines


class JsonLines:
    """The format ``jsonl``."""

    name = "jsonl"
    may_be_empty = False

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping

    def detect(self, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for number, line in text_lines(path, source):
            if line.strip():
                place = f"line {number}"
                yield self._mapping.record(Fields(path, place, loads(path, place, line)))
