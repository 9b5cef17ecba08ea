"""Project VIC (VICS): OData JSON of media, alone or within cases.

What a category means differs from country to country; it is passed on as it stands.
"""

from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.json_records import ITEM, Found, objects
from ingestgate.blocklists.formats.record import Record, Value

_HASHES = ("MD5", "SHA1", "SHA256")
_VALUES = (*_HASHES, "AlternativeHashes")
_NAMES = {
    name.lower(): name
    for name in (*_VALUES, "MediaID", "Category", "DateUpdated", "Media", "value")
}
_CASES = ("value", ITEM)
_MEDIA = (*_CASES, "Media", ITEM)


class Vics:
    """The format ``vics``."""

    name = "vics"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        return (
            head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
            and b'"value"' in head
            and (b'"MediaID"' in head or b"VICSDATAMODEL" in head.upper())
        )

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for found in objects(path, source, [_CASES[:-1], _MEDIA[:-1]]):
            fields = Fields(path, found.place, found.value)
            _check_names(fields, found)
            if found.path == _MEDIA or (found.path == _CASES and "MediaID" in fields):
                yield _record(fields)
            elif found.path not in (_CASES, ()) or found.value.get("value") is not None:
                name = found.path[-1] if found.path else _CASES[0]
                raise ListError(f"{path}, {name}: not an array")
            elif found.path == _CASES and not _is_case(fields, found):
                raise fields.refuse("MediaID", "not there, or no array of Media")


def _is_case(fields: Fields, found: Found) -> bool:
    return "Media" in found.counts and not any(name in fields for name in _VALUES)


def _check_names(fields: Fields, found: Found) -> None:
    """Refuses what is meant for a field but is not its name: unread, it would remove a value."""
    for key in found.value:
        name = _NAMES.get(key.lower(), key)
        if name != key:
            raise fields.refuse(name, "its name is in other letters, capital or small")


def _record(fields: Fields) -> Record:
    values = [Value(name, fields.text(name), name) for name in _HASHES if fields.text(name)]
    for number, hashed in enumerate(fields.objects("AlternativeHashes"), 1):
        alternative = Fields(
            fields.path, f"{fields.place}, AlternativeHashes element {number}", hashed
        )
        name = alternative.text("HashName", required=True)
        text = alternative.text("HashValue", required=True)
        values.append(Value(name, text, f"AlternativeHashes element {number}, HashValue"))
    return Record(
        fields.place,
        values=tuple(values),
        entry_id=fields.identifier("MediaID", required=True),
        category=fields.text("Category"),
        modified=fields.modified("DateUpdated"),
    )
