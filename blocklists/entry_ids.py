"""What is shown of entries, ids and other texts: never one of the entry's own values.

Diffs, lint and findings name entries by their ids. Partners without identifiers of their own use
the hash, or the URL, as one; it is then known by the same made id as an entry without any. What is
stored keeps the partner's id, so that updates and removals find it.
"""

import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from urllib.parse import unquote

from ingestgate.blocklists.sources import (
    MAX_DECODINGS,
    BadSource,
    canonical_host,
    parse_source,
    url_expression,
)

_SOURCES = frozenset({"domain", "url"})
_SCOPES = b"=*."  # in front of a domain, what it covers
_BETWEEN = bytes(one for one in range(128) if not chr(one).isalnum())
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_AROUND = re.compile(r"[\s<>|,;\"'(){}]+")  # what people put around sources
# What browsers could read as a source: no name without a dot can be listed.
_LIKE_SOURCE = re.compile(r"[.:%]|[^\x00-\x7f]|\A(?:0[xX])?[0-9A-Fa-f]+\Z")
_SLASHES = re.compile(r"/{2,}")
_PUNYCODE = re.compile(r"xn--([0-9a-z-]+)")
_TEXTS = 1024  # that are remembered: entries share their categories


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
        if holds(entry_id, name, value):
            return made_id(name, value)
    return entry_id


def holds(text: str, name: str, value: bytes) -> bool:
    """Whether a text is or holds a listed value, in whichever of its usual spellings.

    Args:
        text: An id, a category or the like.
        name: The value's signal type.
        value: As `entries.Entry` has it.
    """
    return _holds_source(text, value) if name in _SOURCES else _holds_hash(text, value)


def _holds_hash(text: str, value: bytes) -> bool:
    """Whether a hash is in a text, in hex however it is written, or in base64."""
    if 6 * len(text) < 8 * len(value):  # not even in base64
        return False
    written = text.encode("ascii", "ignore")
    encoded = binascii.b2a_base64(value, newline=False).rstrip(b"=")
    return (
        value.hex().encode() in written.translate(None, _BETWEEN).lower()
        or encoded in written
        or encoded in written.translate(_URL_SAFE)
    )


def _holds_source(text: str, value: bytes) -> bool:
    """Whether a domain or URL is in a text: as it is listed, or spelled as only browsers read it.

    Of a URL, host and path may stand apart: there could be a port between them.
    """
    listed = value.lstrip(_SCOPES)
    host, _, rest = listed.decode(errors="replace").partition("/")
    plain = _plain(text)
    if rest.rstrip("/").lower() in plain and _names(plain, host.strip("[]")):
        return True
    return listed in _sources(text)


def _names(plain: str, host: str) -> bool:
    """Whether a host is in a plain text, in ASCII or in Unicode."""
    return host in plain or ("xn--" in host and _unicode(host) in _unicode(plain))


@lru_cache(_TEXTS)
def _plain(text: str) -> str:
    """Returns a text in which canonical hosts and paths are found by their letters."""
    for _ in range(MAX_DECODINGS):
        if "%" not in text:
            break
        text = unquote(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u3002", ".")
        text = "".join(one for one in text if unicodedata.category(one) != "Cf")
    text = text.lower().replace("[.]", ".")
    return _SLASHES.sub("/", text) if "//" in text else text


def _unicode(text: str) -> str:
    """Returns a text with its labels in Punycode as the letters they stand for."""

    def decoded(label: re.Match[str]) -> str:
        try:
            return label[1].encode().decode("punycode")
        except UnicodeError:
            return label[0]

    return _PUNYCODE.sub(decoded, text)


@lru_cache(_TEXTS)
def _sources(text: str) -> frozenset[bytes]:
    """Returns what a text, or a part of it, is as a source: hosts and URLs' expressions."""
    found = set()
    for part in {text, text.partition("/")[2], *_AROUND.split(text)}:
        if _LIKE_SOURCE.search(part) is None:
            continue
        with suppress(BadSource):
            source = parse_source(part)
            found |= {source.host.encode(), url_expression(source)}
        with suppress(BadSource):
            found.add(canonical_host(part.removeprefix("*.")).encode())
    return frozenset(found)
