"""What is shown of entries, ids and other texts: never one of the entry's own values.

Diffs, lint and findings name entries by their ids. Partners without identifiers of their own use
the hash, or the URL, as one; it is then known by the same made id as an entry without any. What is
stored keeps the partner's id, so that updates and removals find it.
"""

import hashlib
import re
import unicodedata
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from urllib.parse import unquote

from ingestgate.blocklists.sources import (
    MAX_DECODINGS,
    BadSource,
    canonical_host,
    is_address,
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
_SHORT = 8  # characters of a host that may come about by chance in the middle of words
_TEXTS = 1024  # that are remembered: entries share their categories
_ByLength = dict[int, set[str]]


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
        # Of most hashes even the shortest spelling is longer than the id: nothing to look for.
        if name not in _SOURCES and len(entry_id) < _base64_length(value):
            continue
        if entry_id and Spellings([(name, value)]).are_in(entry_id):
            return made_id(name, value)
    return entry_id


def _base64_length(value: bytes) -> int:
    """Returns how many characters a hash has in base64 without padding."""
    return (4 * len(value) + 2) // 3


class Spellings:
    """The usual spellings of listed values, to be looked for in texts.

    However many values there are: a text is looked through once for each length they have.

    Args:
        values: Pairs of signal type and value, as `entries.Entry` has them.
    """

    def __init__(self, values: Iterable[tuple[str, bytes]]) -> None:
        self._hashes: _ByLength = defaultdict(set)
        self._sources: set[bytes] = set()
        self._hosts: _ByLength = defaultdict(set)
        self._paths: _ByLength = defaultdict(set)
        self._urls: set[tuple[str, str]] = set()
        for name, value in values:
            if name in _SOURCES:
                self._add_source(value.lstrip(_SCOPES))
            else:
                _add(self._hashes, value.hex())
                _add(self._hashes, b64encode(value).decode().rstrip("="))

    def _add_source(self, value: bytes) -> None:
        self._sources.add(value)
        host, _, path = value.decode(errors="replace").partition("/")
        host, path = host.strip("[]"), path.rstrip("/").lower()
        _add(self._paths, path)
        for spelled in {host, _unicode(host)}:
            _add(self._hosts, spelled)
            self._urls.add((spelled, path))

    def are_in(self, text: str) -> bool:
        """Whether a text, an id, a category or the like, is or holds one of the values."""
        return self._hash_is_in(text) or self._source_is_in(text)

    def _hash_is_in(self, text: str) -> bool:
        """Whether a hash is in a text, in hex however it is written, or in base64."""
        if not self._hashes or len(text) < min(self._hashes):
            return False
        written = text.encode("ascii", "ignore")
        digits = written.translate(None, _BETWEEN).lower()
        forms = {digits, written, written.translate(_URL_SAFE)}
        return any(_among(form.decode(), self._hashes) for form in forms)

    def _source_is_in(self, text: str) -> bool:
        """Whether a domain or URL is in a text: as it is listed, or as only browsers read it.

        Of a URL, host and path may stand apart: there could be a port between them.
        """
        if not self._sources:
            return False
        plain = _plain(text)
        return any(
            (host, path) in self._urls and (path or _stands_in(form, host))
            for form in {plain, _unicode(plain)}
            for host in _among(form, self._hosts)
            for path in _among(plain, self._paths)
        ) or not self._sources.isdisjoint(_sources(text))


def _add(spellings: _ByLength, one: str) -> None:
    spellings[len(one)].add(one)


def _among(text: str, spellings: _ByLength) -> set[str]:
    """Returns the spellings that are in a text."""
    found: set[str] = set()
    for length, ones in spellings.items():
        found |= ones & {text[at : at + length] for at in range(len(text) - length + 1)}
    return found


def _stands_in(plain: str, host: str) -> bool:
    """Whether a host that is in a plain text is there by more than chance.

    Short ones are in the middle of words, and addresses in others.
    """
    if len(host) >= _SHORT and ":" not in host and not is_address(host):
        return True
    return re.search(rf"(?<![0-9a-z]){re.escape(host)}(?![0-9a-z])", plain) is not None


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
    if "xn--" not in text:
        return text

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
