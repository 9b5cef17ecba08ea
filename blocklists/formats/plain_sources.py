"""Plain domains and plain URLs, one to a line.

Nothing in a plain list says whether a domain covers what is below it: that is for whoever
compiles it to say (``--domains``).
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.formats.text_records import data_lines, first_lines
from ingestgate.blocklists.lines import row_end

_DOMAIN = re.compile(
    r"(?:(?:\*?\.)?[\w\-]+(?:\.[\w\-]+)*\.[^\W\d][\w\-]+\.?|[0-9]+(?:\.[0-9]+){3})(?: +#.*)?"
)
_URL = re.compile(r"https?://\S+", re.IGNORECASE)


class Domains:
    """The format ``domains``: host names, addresses, ``*.name`` for what is below a name.

    As dnsmasq and squid have it, ``.name`` is the name and what is below it.
    """

    name = "domains"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        return all(_DOMAIN.fullmatch(line) for line in first_lines(head)[:8] or [""])

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source):
            yield Record(place, (Value("domain", text.partition(" #")[0].rstrip()),))


class Urls:
    """The format ``urls``."""

    name = "urls"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        lines = first_lines(head)[:8] or [""]
        return all(map(_URL.fullmatch, lines)) and not all(map(row_end, lines))

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source, separators=False):
            yield Record(place, (Value("url", text, of_line=True),))
