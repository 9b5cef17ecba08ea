"""Response policy zones: ``d CNAME .`` is that name only, ``*.d CNAME .`` what is below it.

https://datatracker.ietf.org/doc/html/draft-vixie-dnsop-dns-rpz-00, in files as RFC 1035, 5.1 has
them. Names that are let through (``rpz-passthru.``) and triggers other than the name asked for
are counted, not read.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.lines import plain_lines

_CLASSES = frozenset({"IN", "CH", "HS"})
_OWN = frozenset({"SOA", "NS"})
_TTL = re.compile(r"[0-9]+[smhdwSMHDW]?(?:[0-9]+[smhdwSMHDW])*")
_TYPE = re.compile(r"[A-Z][A-Z0-9\-]*")
_TRIGGERS = re.compile(r"(?:.*\.)?rpz-(?:ip|nsip|nsdname|client-ip)", re.IGNORECASE)
_ACTION = re.compile(
    r"(?:^|\s)(?:CNAME\s+(?:\.|\*\.|rpz-[a-z]+\.)(?:\s|$)|SOA\s)", re.IGNORECASE | re.MULTILINE
)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?:[^\s();"\\]|\\.)+|\S')
_UNSAID = "@"  # stands for the zone's own name where the file does not say it


class Rpz:
    """The format ``rpz``."""

    name = "rpz"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        return _ACTION.search(head.decode("utf-8-sig", "replace")) is not None

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        zone = _Zone()
        owner: str | None = None
        for place, indented, words in _statements(path, source):
            if words[0].upper() in ("$TTL", "$ORIGIN"):
                if len(words) != 2:
                    raise ListError(f"{path}, {place}, row: a directive wants one argument")
                if words[0].upper() == "$ORIGIN":
                    zone.origin = zone.absolute(words[1])
                continue
            if words[0].startswith("$"):
                raise ListError(f"{path}, {place}, row: a directive that is not read here")
            owner = owner if indented else zone.absolute(words[0])
            kind, data = _type_and_data(words if indented else words[1:])
            if owner is None or not data or not _TYPE.fullmatch(kind):
                raise ListError(f"{path}, {place}, row: not a resource record")
            if zone.apex is None:
                zone.begin(owner, kind == "SOA")
            if kind == "SOA" and owner != zone.apex:
                raise ListError(f"{path}, {place}, owner: SOA record of another zone")
            name = zone.within(owner)
            if name is None:
                raise ListError(
                    f"{path}, {place}, owner: outside of the zone, as far as the file says what "
                    "that is ($ORIGIN, or the owner of the SOA record)"
                )
            if name or kind not in _OWN:
                yield _record(place, name, kind, data)


class _Zone:
    """What names mean: all are made absolute first, without the dot at their ends.

    Attributes:
        origin: What relative names are below now; "" is the root.
        apex: The zone's own name, which all its names are below; None before the first record.
    """

    def __init__(self) -> None:
        self.origin = _UNSAID
        self.apex: str | None = None
        self._has_soa = False

    def absolute(self, name: str) -> str:
        if name == "@":
            return self.origin
        if name.endswith("."):
            return name[:-1].lower()
        return f"{name.lower()}.{self.origin}".rstrip(".")

    def begin(self, owner: str, has_soa: bool) -> None:
        """Takes the first record's owner for the apex, or without a SOA record the origin."""
        self.apex, self._has_soa = (owner if has_soa else self.origin), has_soa
        if has_soa and self.origin == _UNSAID and not owner.endswith(_UNSAID):
            self.origin = owner  # to whoever loads it, the origin is the zone's name at first

    def within(self, owner: str) -> str | None:
        """Returns a name without the zone's, "" for the zone's own, None for one outside."""
        if owner == self.apex:
            return ""
        if self.apex == "":
            return owner
        if owner.endswith(f".{self.apex}"):
            return owner.removesuffix(f".{self.apex}")
        # A list of names in the guise of a zone, which says nothing of itself.
        plain = not self._has_soa and self.apex == self.origin == _UNSAID
        return owner if plain else None


def _record(place: str, name: str, kind: str, data: list[str]) -> Record:
    if _TRIGGERS.fullmatch(name):
        return Record(place, not_read="trigger other than a name")
    if kind == "CNAME" and data[0].lower().startswith("rpz-passthru"):
        return Record(place, not_read="name that is let through")
    if not name:
        return Record(place, not_read="record of the zone itself")
    if kind in _OWN:
        return Record(place, not_read="delegation")
    return Record(place, (Value("domain", name, scope="exact"),))


def _type_and_data(words: list[str]) -> tuple[str, list[str]]:
    """Steps over TTL and class, which may stand in either order."""
    at = 0
    while at < len(words) and (words[at].upper() in _CLASSES or _TTL.fullmatch(words[at])):
        at += 1
    return (words[at].upper() if at < len(words) else ""), words[at + 1 :]


def _statements(path: str, source: BinaryIO) -> Iterator[tuple[str, bool, list[str]]]:
    """Yields place, whether the owner is left out, and words; parentheses join lines."""
    words: list[str] = []
    place, indented, depth = "", False, 0
    for number, line in plain_lines(path, source):
        if not words and not depth:
            place, indented = f"line {number}", line[:1] in (" ", "\t")
        for word in _TOKEN.findall(line):
            if word == ";":
                break
            if word == '"':
                raise ListError(f"{path}, {place}, row: a quote that is not closed")
            if word in ("(", ")"):
                depth += 1 if word == "(" else -1
            else:
                words.append(word)
        if depth < 0 or len(words) > 64:
            raise ListError(f"{path}, {place}, row: parentheses that do not match")
        if words and not depth:
            yield place, indented, words
            words = []
    if depth:
        raise ListError(f"{path}, {place}, row: parentheses that do not match")
