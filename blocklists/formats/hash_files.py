"""Hash files, as ``md5sum``, ``sha1sum`` and ``sha256sum`` write and check them.

``<hex>  name``, ``<hex> *name``, the BSD form ``MD5 (name) = <hex>``, or hex alone. Names are not
kept: they are the partner's, and may say more than anybody here should read.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.formats.text_records import data_lines, first_lines

_BY_DIGITS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_GNU = re.compile(r"\\?(?P<value>[0-9A-Fa-f]+)(?P<named>[ \t]+\*?.+)?")
_BSD = re.compile(r"\\?(?P<type>[A-Za-z0-9\-]{3,12})\s?\(.*\)\s?= (?P<value>[0-9A-Fa-f]+)")


class HashFile:
    """The format ``hash-file``."""

    name = "hash-file"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        return all(_is_certain(line) for line in first_lines(head)[:8] or [""])

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source):
            bsd = _BSD.fullmatch(text)
            gnu = None if bsd else _GNU.fullmatch(text)
            if bsd:
                value = Value(bsd["type"], bsd["value"])
            elif gnu and len(gnu["value"]) in _BY_DIGITS:
                value = Value(_BY_DIGITS[len(gnu["value"])], gnu["value"], assumed=True)
            else:
                raise ListError(
                    f"{path}, {place}, value: not a hash of 32, 40, 64 or 128 hex digits, "
                    "alone or with a file's name after it"
                )
            yield Record(place, (value,))


def _is_certain(line: str) -> bool:
    # 64 digits alone may be a PDQ hash as well, or a hashed expression.
    gnu = _GNU.fullmatch(line)
    named = gnu is not None and (gnu["named"] is not None or len(gnu["value"]) != 64)
    return bool(_BSD.fullmatch(line)) or (
        gnu is not None and named and len(gnu["value"]) in _BY_DIGITS
    )
