"""Hashed expressions in the manner of Google Safe Browsing v4: SHA-256, one to a line.

Hex or base64. Only all 32 bytes decide; a prefix only suggests, and cannot be listed.
https://developers.google.com/safe-browsing/v4/urls-hashing
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.formats.text_records import data_lines

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=")


class HashedExpressions:
    """The format ``hashed-expressions``; never detected, 64 hex digits may be anything."""

    name = "hashed-expressions"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        del head
        return False

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source):
            if _BASE64.fullmatch(text):
                try:
                    text = base64.b64decode(text, validate=True).hex()
                except binascii.Error:
                    text = ""
            if not _HEX.fullmatch(text):
                raise ListError(
                    f"{path}, {place}, value: not a SHA-256 of 32 bytes, in hex or base64 "
                    "(prefixes only suggest; ask the partner for full hashes)"
                )
            yield Record(place, (Value("expression", text),))
