"""Hashes as ``str(imagehash.phash(...))`` writes them: 16 hex digits a line, for 8 x 8 bits."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.formats.text_records import data_lines, first_lines

_HEX = re.compile(r"[0-9A-Fa-f]{16}")


class ImagehashHex:
    """The format ``imagehash``."""

    name = "imagehash"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        return all(_HEX.fullmatch(line) for line in first_lines(head)[:8] or [""])

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source):
            yield Record(place, (Value("phash", text, assumed=True),))
