"""Adblock filter lists: of their rules, those that block a whole domain (``||d^``).

Exceptions, rules for parts of a page, patterns and rules that hold only in some circumstances
(``$script,domain=...``) do not list a domain: they are counted, not read.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.formats.text_records import data_lines, first_lines

_DOMAIN = re.compile(r"\|\|(?P<name>[^/^$*|]+)\^(?P<options>\$.*)?")
_ALWAYS = frozenset({"all", "important", "document", "doc"})
_COSMETIC = re.compile(r"#@?[?$%]?@?#")


class Adblock:
    """The format ``adblock``."""

    name = "adblock"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        lines = first_lines(head)
        first = lines[0] if lines else ""
        rules = [line for line in lines[:8] if line[:1] not in ("!", "[")]
        return first.lower().startswith(("[adblock", "! title")) or (
            bool(rules) and all(line.startswith(("||", "@@")) for line in rules)
        )

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source, "!"):
            if text.startswith("[") and text.endswith("]"):
                continue
            rule = _DOMAIN.fullmatch(text)
            if rule and not _is_host(rule["name"]):
                rule = None
            options = (rule["options"] or "")[1:] if rule else ""
            if rule and set(options.split(",")) <= _ALWAYS | {""}:
                yield Record(place, (Value("domain", rule["name"], scope="subdomains"),))
            else:
                yield Record(place, not_read=_kind(text, rule is not None))


def _is_host(name: str) -> bool:
    """Whether a rule's name is a whole host: another is a part of some, or has a port."""
    return name.startswith("[") or (":" not in name and "." in name.strip("."))


def _kind(text: str, of_domain: bool) -> str:
    if text.startswith("@@"):
        return "exception rule"
    if _COSMETIC.search(text):
        return "rule for a part of a page"
    if text.startswith("#"):
        return "remark"
    return "rule with conditions" if of_domain else "rule by pattern"
