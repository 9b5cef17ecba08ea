"""Response policy zones: ``d CNAME .`` is that name only, ``*.d CNAME .`` what is below it.

https://datatracker.ietf.org/doc/html/draft-vixie-dnsop-dns-rpz-00. Names that are let through
(``rpz-passthru.``) and triggers other than the name asked for are counted, not read.
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
_TRIGGERS = re.compile(r"\.rpz-(?:ip|nsip|nsdname|client-ip)", re.IGNORECASE)
_ACTION = re.compile(
    r"(?:^|\s)(?:CNAME\s+(?:\.|\*\.|rpz-[a-z]+\.)(?:\s|$)|SOA\s)", re.IGNORECASE | re.MULTILINE
)


class Rpz:
    """The format ``rpz``."""

    name = "rpz"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        return _ACTION.search(head.decode("utf-8-sig", "replace")) is not None

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        origin = owner = ""
        for place, indented, words in _statements(path, source):
            if words[0].upper() in ("$TTL", "$ORIGIN"):
                if len(words) != 2:
                    raise ListError(f"{path}, {place}, row: a directive wants one argument")
                if words[0].upper() == "$ORIGIN":
                    origin = words[1].rstrip(".").lower()
                continue
            if words[0].startswith("$"):
                raise ListError(f"{path}, {place}, row: a directive that is not read here")
            owner = owner if indented else words[0]
            kind, data = _type_and_data(words if indented else words[1:])
            if not kind or not owner:
                raise ListError(f"{path}, {place}, row: not a resource record")
            if kind == "SOA":
                # The zone's own name, which its other names may be written below of.
                origin = origin or ("" if owner == "@" else owner.rstrip(".").lower())
            if kind in _OWN:
                continue
            yield _record(place, _relative(owner, origin), kind, data)


def _record(place: str, name: str, kind: str, data: list[str]) -> Record:
    target = data[0].lower() if data else ""
    if _TRIGGERS.search(name):
        return Record(place, not_read="trigger other than a name")
    if kind == "CNAME" and target.startswith("rpz-passthru"):
        return Record(place, not_read="name that is let through")
    if name in ("@", ""):
        return Record(place, not_read="record of the zone itself")
    return Record(place, (Value("domain", name, scope="exact"),))


def _relative(owner: str, origin: str) -> str:
    if not owner.endswith("."):
        return owner
    name = owner[:-1]
    if origin and name.lower() == origin:
        return "@"
    if origin and name.lower().endswith(f".{origin}"):
        return name[: -len(origin) - 1]
    return name


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
        text = line.split(";")[0]  # no name that is asked for holds one
        if not words and not depth:
            place, indented = f"line {number}", line[:1] in (" ", "\t")
        depth += text.count("(") - text.count(")")
        words += text.replace("(", " ").replace(")", " ").split()
        if depth < 0 or len(words) > 64:
            raise ListError(f"{path}, {place}, row: parentheses that do not match")
        if words and not depth:
            yield place, indented, words
            words = []
    if depth:
        raise ListError(f"{path}, {place}, row: parentheses that do not match")
