"""ThreatExchange's and HMA's exports: CSV with a header, or JSON (an array, or below ``data``).

The fields are those of ThreatExchange's threat updates and descriptors, and HMA's shorter ones.
https://developers.facebook.com/docs/threat-exchange/reference/apis/threat-updates/v19.0
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.entries import FieldError, NeverMatchError, value_parser
from ingestgate.blocklists.formats.csv_rows import csv_rows, header_names
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.json_records import ITEM, objects
from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.signals import signal_type

_VALUE = ("indicator", "raw_indicator", "signal_value", "signal", "hash", "value")
_TYPE = ("signal_type", "type", "hash_type")
_ID = ("id", "descriptor_id", "content_id")
_CATEGORY = ("category", "tags", "bank")
_FEEDBACK = ("status", "opinion")
_MODIFIED = ("last_updated", "updated_at")
_KEY = re.compile(rb'"(?:indicator|raw_indicator|signal_type)"\s*:')
_ADDRESS = re.compile(r"ip[-_ ]?(?:address|v[46](?:[-_ ]?addr)?)", re.IGNORECASE)
_PORT = re.compile(r"(?:\A[0-9.]+|\]):[0-9]+\Z")
_RAW_URL = re.compile(r"raw[-_ ]?uri", re.IGNORECASE)  # as people post them, whole or not
_DELETED = "should_delete"


class ThreatExchange:
    """The format ``threatexchange``."""

    name = "threatexchange"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if text[:1] in (b"{", b"["):
            return _KEY.search(head) is not None
        columns = header_names(head)
        return any(name in columns for name in _TYPE[:2]) and any(
            name in columns for name in _VALUE
        )

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        start = source.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        source.seek(0)
        if start not in (b"{", b"["):
            for place, row in csv_rows(path, source):
                yield _record(path, place, {name.lower(): text for name, text in row.items()})
            return
        array = ("data",) if start == b"{" else ()
        for found in objects(path, source, [array]):
            if found.path == (*array, ITEM):
                yield _record(path, found.place, found.value)
            elif found.path or "data" in found.value:
                raise ListError(f"{path}, data: not an array")


def _record(path: str, place: str, values: dict[str, object]) -> Record:
    fields = Fields(path, place, values)

    def first(names: tuple[str, ...]) -> str:
        return next((name for name in names if name in fields), names[0])

    tombstone = fields.truth(_DELETED)
    entry_id = fields.identifier(first(_ID))
    value = first(_VALUE)
    listed: tuple[Value, ...] = ()
    if not (tombstone and entry_id):
        kind = fields.text(first(_TYPE), required=True)
        listed = (_value(kind, fields.text(value, required=True), value),)
    category = first(_CATEGORY)
    return Record(
        place,
        values=listed,
        entry_id=entry_id,
        category=_joined(fields, category),
        feedback=fields.text(first(_FEEDBACK)),
        modified=fields.modified(first(_MODIFIED)),
        tombstone=tombstone,
    )


def _value(kind: str, text: str, field: str) -> Value:
    """Returns a value; of a type that says what it is, if it is not one that can be listed."""
    if _ADDRESS.fullmatch(kind):
        text = text.removesuffix("/128" if ":" in text else "/32")
        if "/" in text or "-" in text:
            kind = f"{kind} range"
        elif _PORT.search(text):
            kind = f"{kind} with port"
    elif _RAW_URL.fullmatch(kind) and not _is_url(text):
        kind = f"{kind} that is no URL"
    return Value(kind, text, field)


def _is_url(text: str) -> bool:
    """Whether a text is a URL, if one that nobody can have meant to list."""
    try:
        value_parser(signal_type("url"))(text)
    except NeverMatchError:
        return True
    except FieldError:
        return False
    return True


def _joined(fields: Fields, name: str) -> str:
    return ", ".join(fields.array(name)) if fields.is_array(name) else fields.text(name)
