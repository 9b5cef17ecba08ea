"""HMA's and ThreatExchange's local files: ``signal_type value``, one to a line."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.formats.text_records import data_lines, first_lines

_KNOWN = re.compile(r"(?:pdq|pdq_ocr|(?:video_)?(?:md5|sha1|sha256)|url|domain|phash)[ \t]+\S+")


class LocalFile:
    """The format ``local-file``."""

    name = "local-file"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        return all(_KNOWN.fullmatch(line) for line in first_lines(head)[:8] or [""])

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source):
            signal_type, *value = text.split(maxsplit=1)
            if not value:
                raise ListError(f"{path}, {place}, row: wants a signal type, a blank, a value")
            yield Record(place, (Value(signal_type, value[0], of_line=True),))
