"""Ids of entries as they are shown: never one of the entry's own values.

Diffs, lint and findings name entries by their ids. Partners without identifiers of their own use
the hash, or the URL, as one; it is then known by the same made id as an entry without any. What is
stored keeps the partner's id, so that updates and removals find it.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator

from ingestgate.blocklists.entries import FieldError, value_parser
from ingestgate.blocklists.signals import signal_type

_SOURCES = frozenset({"domain", "url"})
_SCOPES = b"=*."  # in front of a domain, what it covers
_MADE = re.compile(r"[a-z0-9]+-[0-9a-f]{32}")
_BETWEEN = re.compile(r"[^0-9a-z]")
_URL_SAFE = str.maketrans("-_", "+/")


def made_id(name: str, value: bytes) -> str:
    """Names an entry by its value without showing it; the same in every file of a partner."""
    return f"{name}-{hashlib.sha256(name.encode() + b':' + value).hexdigest()[:32]}"


def shown_id(entry_id: str, values: Iterable[tuple[str, bytes]]) -> str:
    """Returns an entry's id, or one made of a value if the id holds that.

    Args:
        entry_id: The partner's.
        values: Pairs of signal type and value: all of the entry's, as `entries.Entry` has them.
    """
    for name, value in values:
        if _is_source(entry_id, name, value) if name in _SOURCES else _holds(entry_id, value):
            return made_id(name, value)
    return entry_id


def _holds(entry_id: str, value: bytes) -> bool:
    """Whether a hash is in an id, in hex however it is written, or in base64."""
    if 6 * len(entry_id) < 8 * len(value):  # not even in base64
        return False
    encoded = base64.b64encode(value).decode().rstrip("=")
    return (
        value.hex() in _BETWEEN.sub("", entry_id.lower())
        or encoded in entry_id
        or encoded in entry_id.translate(_URL_SAFE)
    )


def _is_source(entry_id: str, name: str, value: bytes) -> bool:
    """Whether an id is a domain or URL, or is it behind a first part of its own (``42/...``)."""
    listed = value.lstrip(_SCOPES)
    return not _MADE.fullmatch(entry_id) and any(
        listed in _read(text, name) for text in (entry_id, entry_id.partition("/")[2]) if text
    )


def _read(text: str, name: str) -> Iterator[bytes]:
    """Yields what a text is as a source; of a URL the host, too, where domains are listed."""
    for kind in {name, "url"}:
        try:
            found = value_parser(signal_type(kind))(text)
        except FieldError:
            continue
        yield found.lstrip(_SCOPES)
        if name == "domain":
            yield found.partition(b"/")[0]
