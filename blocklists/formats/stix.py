"""STIX 2.1 bundles: indicators whose patterns compare domains, URLs and file hashes.

Only a pattern that any single one of its comparisons fulfils (one, or several joined by OR, in
parentheses or not, or as a set after IN) can be listed; AND, FOLLOWEDBY, other operators and other
objects are counted, not read.
https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html#_me3pzm77qfnf
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.json_records import ITEM, objects
from ingestgate.blocklists.formats.record import Record, Value, is_type_name

_OBJECTS = ("objects", ITEM)
_STRING = r"'(?:[^'\\]|\\['\\])*'"
_TOKEN = re.compile(
    r"\s*(?:(?P<object>[a-z0-9\-]+):(?P<property>[A-Za-z0-9_\-.'\[\]*]+)\s*"
    rf"(?P<values>=\s*{_STRING}|(?i:IN)\s*\(\s*{_STRING}(?:\s*,\s*{_STRING})*\s*\))"
    r"|(?i:OR)\b|(?P<bracket>[\[\]()]))\s*"
)
_STRINGS = re.compile(_STRING)
_HASH = re.compile(r"hashes\.(?:'(?P<quoted>[^']+)'|(?P<plain>[A-Za-z0-9_\-]+))")
_ADDRESSES = {"ipv4-addr": "/32", "ipv6-addr": "/128"}  # and what a single one may end in
_SOURCES = {"domain-name": "domain", "ipv4-addr": "domain", "ipv6-addr": "domain", "url": "url"}
_FIRST = re.compile(r"[.\[]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Stix:
    """The format ``stix``."""

    name = "stix"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        text = b"".join(head.split())
        return text.lstrip(b"\xef\xbb\xbf").startswith(b"{") and b'"type":"bundle"' in text

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for found in objects(path, source, [_OBJECTS[:-1]]):
            if found.path == ():
                if found.value.get("type") != "bundle" or "objects" in found.value:
                    raise ListError(f"{path}: not a STIX bundle with an array of objects")
            elif found.path != _OBJECTS:
                raise ListError(f"{path}, objects: not an array")
            else:
                yield _record(Fields(path, found.place, found.value))


def _record(fields: Fields) -> Record:
    if fields.text("type", required=True) != "indicator":
        return Record(fields.place, not_read="object that is no indicator")
    revoked = fields.truth("revoked")
    values: tuple[Value, ...] | None = ()
    if not revoked:
        if fields.text("pattern_type").lower() not in ("", "stix"):
            return Record(fields.place, not_read="pattern in another language")
        values = _values(fields.text("pattern", required=True))
        if values is None:
            return Record(fields.place, not_read="pattern of more than values joined by OR")
    return Record(
        fields.place,
        values=values or (),
        entry_id=fields.text("id", required=True),
        category=", ".join(fields.array("indicator_types")),  # names mostly are the value
        modified=fields.modified("modified"),
        tombstone=revoked,
    )


def _values(pattern: str) -> tuple[Value, ...] | None:
    """Returns the values any of which fulfils a pattern, or None if it is not of that kind."""
    values: list[Value] = []
    opened: list[str] = []
    inside, wanted, at = False, True, 0  # inside of []; whether a comparison has to come
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            return None
        at, bracket = token.end(), token["bracket"]
        if wanted != (token["object"] is not None or bracket in ("(", "[")):
            return None
        if bracket in ("(", "["):
            if inside and bracket == "[":
                return None
            inside = inside or bracket == "["
            opened.append(bracket)
        elif bracket is not None:
            if not opened or opened.pop() + bracket not in ("()", "[]"):
                return None
            inside = inside and bracket != "]"
        elif token["object"] is None:
            wanted = True
        elif inside:
            values += _compared(token)
            wanted = False
        else:
            return None
    return None if wanted or opened else tuple(values)


def _compared(comparison: re.Match[str]) -> Iterator[Value]:
    """Yields what a comparison asks for; of a type that says what it is, if it is not listed."""
    kind, name = comparison["object"], comparison["property"]
    for string in _STRINGS.findall(comparison["values"]):
        text = _ESCAPE.sub(r"\1", string[1:-1])
        signal = f"{kind} {_FIRST.split(name)[0]}"
        if kind in _SOURCES and name == "value":
            text = text.removesuffix(_ADDRESSES.get(kind, ""))
            signal = f"{kind} range" if kind in _ADDRESSES and "/" in text else _SOURCES[kind]
        elif kind in ("file", "artifact") and (hashed := _HASH.fullmatch(name)):
            signal = hashed["quoted"] or hashed["plain"]
        yield Value(signal if is_type_name(signal) else "object of another kind", text, "pattern")
