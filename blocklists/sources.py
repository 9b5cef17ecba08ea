"""Where an asset came from, in one canonical form, so that spelling is no way past a list.

**Canonical form.** URLs are parsed as browsers do (WHATWG URL, by ``can_ada``), which settles
case, IDN, full-width letters, percent-encoding in hosts, IPv4 spellings (``0x7f.1``), IPv6,
backslashes and stray tabs. On top of that, following the canonicalisation of Google Safe
Browsing v4 (https://developers.google.com/safe-browsing/v4/urls-hashing):

- scheme, credentials, port and fragment are dropped;
- leading, trailing and doubled dots of a host are dropped, IPv4-mapped IPv6 becomes IPv4;
- path and query are percent-decoded until nothing changes, then dot segments are resolved and
  runs of slashes collapsed.

**Listed domains** become one expression each: ``d`` (the host and everything below it), ``=d``
(that host only; what a list of scope "exact" holds), ``*.d`` (everything below it, not ``d``
itself: a wildcard entry, as in RPZ). An IP address is a host without parents.

**Listed URLs** become ``host/path`` or ``host/path?query``; their host is exact. One matches
whatever the scheme, and also with

- a query added, or ``&...`` appended to the listed query (a listed query is needed as listed);
- anything below it, if its path ends in ``/`` (so a bare ``https://host/`` is the whole host);
- a slash added at the end.

Lists hold SHA-256 of expressions, never the expression.

**Hashed lists** name the SHA-256 of expressions as Safe Browsing v4 forms them, host suffixes
times path prefixes: what such an entry covers is decided by who hashed it.

**Asset sources** without a scheme (``bad.com/x``, ``//bad.com/x``, ``bad.com:80/x``) are read as
``http://``, and so are those of schemes that are known to name a host. What does not parse, or
names no host (``file:///``) or one longer than any can be, is a `BadSource`: nobody could say
whether it is listed. So is what has another scheme: behind ``data:`` there is content, with slashes
or without. Text of nothing but white space is absent, not bad. Several in one text, and what others
than browsers read in another way: `source_texts`.
"""

import functools
import hashlib
import ipaddress
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, cast
from urllib.parse import unquote_to_bytes

import can_ada
import idna

from ingestgate.assets.errors import GateError
from ingestgate.assets.verdict import Finding

MAX_HOST = 253  # characters of a name, as name servers can be asked for it (RFC 1035, 2.3.4)
MAX_DECODINGS = 16  # layers of percent-encoding; each costs a pass over the URL
_MAX_SPELLED_HOST = 4096  # characters of a host before it is parsed, which takes their square
_LEFT_OUT = "".join(map(chr, range(0x21)))  # at both ends of a URL
#: A scheme, and what begins an authority; for RE2 too.
AUTHORITY = r"[A-Za-z][A-Za-z0-9+.\-]*:[/\\]{2}"
#: Whether a text says by itself that it is a source (`says_source`), for RE2 too.
SAYS_SOURCE = AUTHORITY + r"|\A[\x00-\x20]*//"
_SAYS_SOURCE = re.compile(SAYS_SOURCE)
_SUFFIX_LABELS = 5  # of the longest host suffix that is not the host itself
_FOLDERS = 4  # path prefixes, the root included
_TO_ESCAPE = re.compile(rb"[\x00-\x20#%\x7f-\xff]")
# Schemes of which what follows // is a host, or a bucket or repository in the place of one.
_WITH_HOSTS = frozenset(
    {
        f"{scheme}:"
        for scheme in ("http", "https", "hxxp", "hxxps", "ftp", "ftps", "sftp", "ws", "wss")
    }
    | {f"{scheme}:" for scheme in ("s3", "s3a", "s3n", "gs", "gcs", "oss", "cos", "obs", "swift")}
    | {
        f"{scheme}:"
        for scheme in ("r2", "b2", "oci", "az", "adl", "abfs", "abfss", "wasb", "wasbs")
    }
    | {
        f"{scheme}:"
        for scheme in ("hf", "hdfs", "webhdfs", "viewfs", "ipfs", "ipns", "rsync", "scp")
    }
    | {
        f"{scheme}:"
        for scheme in ("git", "ssh", "rtsp", "rtmp", "rtmps", "gopher", "dav", "davs", "smb")
    }
)
_HAS_AUTHORITY = re.compile(AUTHORITY)
_HOST_AND_PORT = re.compile(r"([^:/?#\\]*):[0-9]")
# A URL up to the end of its host, credentials among it: without a scheme none is parsed.
_SPELLED_HOST = re.compile(r"[\x00-\x20]*[A-Za-z][A-Za-z0-9+.\-\t\r\n]*:[/\\\t\r\n]*([^/\\?#]*)")
_SHARP_S = re.compile("\u1e9e|%e1%ba%9e", re.IGNORECASE)
# The scheme, if there is one, and what follows up to the end of a host.
_TO_HOST_END = re.compile(r"(?:[^:/\\?#]*:)?[/\\\t\r\n]*[^/\\?#]*")
# A web address up to its host, the host, and what follows.
_WEB_HOST = re.compile(
    r"((?:https?|ftp|wss?):[/\\]*(?:[^/\\?#]*@)?)([^/\\?#@:\[\]]+)((?::[0-9]*)?(?:[/\\?#].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_ASCII_NAME = re.compile(r"(?=.*xn--)[!$&'()*+,\-.;=_`{}~0-9a-z]+")
_FORBIDDEN = re.compile(r"[\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")  # in a host, by the standard
_PLACEHOLDER = "placeholder.invalid"
_DOTS = re.compile(r"\.{2,}")
_SLASHES = re.compile(rb"/{2,}")
_DOT_SEGMENT = re.compile(rb"/\.{1,2}(?:/|\Z)")


class _Url(NamedTuple):
    """The parts of a parsed URL that are looked at; `can_ada.URL` has them too."""

    href: str
    protocol: str
    hostname: str
    pathname: str
    search: str


class BadSource(GateError):  # noqa: N818  named like the verdict's reason
    """A source that cannot be parsed; says why, never what it was.

    Attributes:
        findings: Of what could be parsed of it, its host say, where it was matched.
    """

    findings: tuple[Finding, ...] = ()


class Source(NamedTuple):
    """A canonical source.

    Attributes:
        host: Lower-case ASCII name, IPv4 address, or IPv6 address in brackets.
        path: As the parser leaves it, still percent-encoded; starts with ``/``.
        query: Likewise, without the ``?``; empty if there is none.
        asks: Whether there is a ``?``, be it before nothing.
    """

    host: str
    path: str
    query: str
    asks: bool = False


def says_source(text: str) -> bool:
    """Whether a text has a scheme and ``//``, or begins with the latter."""
    return bool(_SAYS_SOURCE.search(text))


def is_absent(text: str | None) -> bool:
    """Whether a source column holds nothing: null, or white space and control characters."""
    return text is None or not text.strip(" \t\r\n\f\v\0\u00a0")


def parse_source(text: str) -> Source:
    """Returns the canonical form of an asset's source.

    Raises:
        BadSource: It does not parse, or it names no host, or one longer than `MAX_HOST`.
    """
    url = _parse(text)
    if url is None or not url.hostname:
        return _parse_schemeless(text, url is not None)
    if url.protocol not in _WITH_HOSTS:
        raise BadSource("a scheme that is not known to name a host")
    if url.protocol not in ("http:", "https:"):
        # Other schemes keep their host as it is spelled; read it as http's would be.
        url = _parse("http:" + text[text.index(":") + 1 :])
        if url is None:
            raise BadSource("its host is not one a list could name")
    return _canonical(url)


def _parse(text: str) -> _Url | None:
    spelled = _SPELLED_HOST.match(text) if len(text) > _MAX_SPELLED_HOST else None
    if spelled and len(spelled[1].rpartition("@")[2].strip(_LEFT_OUT)) > _MAX_SPELLED_HOST:
        raise BadSource(f"more than {MAX_HOST} characters where a host would be")
    if "\u1e9e" in text or "%" in text:
        # In hosts Unicode 15.1 maps capital sharp s to the small one, as browsers do; can_ada
        # still to ss. In paths the two are two.
        text = _TO_HOST_END.sub(lambda host: _SHARP_S.sub("%C3%9F", host[0]), text, count=1)
    try:
        return cast(_Url, can_ada.parse(text))
    except TypeError:  # a lone surrogate, which is no text
        return None
    except ValueError:
        return _parse_newer(text)


def _parse_newer(text: str) -> _Url | None:
    """Parses what only a newer standard than can_ada's takes.

    That is hosts of later Unicode, and ASCII hosts with a label that is no valid Punycode, which
    stay as they are.
    """
    parts = _WEB_HOST.fullmatch(text)
    if parts is None:
        return None
    before, host, after = parts.groups()
    try:
        name = idna.uts46_remap(
            unquote_to_bytes(host).decode(), std3_rules=False, transitional=False
        )
    except (idna.IDNAError, ValueError):
        return None
    if _FORBIDDEN.search(name):
        return None
    with suppress(ValueError):
        if name != host:
            return cast(_Url, can_ada.parse(before + name + after))
    if not _ASCII_NAME.fullmatch(name) or name.rstrip(".").rpartition(".")[2].isdigit():
        return None
    with suppress(ValueError):
        rest = can_ada.parse(f"{before}{_PLACEHOLDER}{after}")
        return _Url(
            rest.href.replace(_PLACEHOLDER, name, 1),
            rest.protocol,
            name,
            rest.pathname,
            rest.search,
        )
    return None


def _parse_schemeless(text: str, has_scheme: bool) -> Source:
    if _HAS_AUTHORITY.match(text.lstrip()):
        raise BadSource("not a URL with a host")
    authority = _HOST_AND_PORT.match(text.lstrip())
    if has_scheme and not (authority and "." in authority[1]):
        raise BadSource("a URL without a host")
    url = _parse("http://" + text.lstrip())
    if url is None:
        raise BadSource("not a URL")
    source = _canonical(url)
    # "unknown", "None" or a number in a URL column is not a checked source.
    if not re.search(r"[.:]", source.host) or text.strip().isdigit():
        raise BadSource("neither a URL nor a host name")
    return source


def _canonical(url: _Url) -> Source:
    query = url.search[1:]
    asks = bool(query) or "?" in url.href.partition("#")[0]
    return Source(_canonical_host(url.hostname), url.pathname or "/", query, asks)


def _canonical_host(host: str) -> str:
    tidy = _DOTS.sub(".", host.strip("."))
    if tidy != host:  # "0x7f.1.." is an address only without its dots
        url = _parse(f"http://{tidy}/")
        if url is None:
            raise BadSource("not a host name")
        tidy = url.hostname
    if not tidy:
        raise BadSource("a URL without a host")
    if len(tidy) > MAX_HOST:  # no address is; what a host is looked up by grows as its square
        raise BadSource(f"a host of more than {MAX_HOST} characters")
    if tidy.startswith("["):
        mapped = ipaddress.IPv6Address(tidy[1:-1]).ipv4_mapped
        return str(mapped) if mapped else tidy
    return tidy


def _decoded(text: str) -> bytes:
    value = text.encode()
    for _ in range(MAX_DECODINGS):
        if b"%" not in value:
            return value
        decoded = unquote_to_bytes(value)
        if decoded == value:
            return value
        value = decoded
    raise BadSource(f"percent-encoded more than {MAX_DECODINGS} times over")


def _canonical_path(text: str) -> bytes:
    path = _SLASHES.sub(b"/", _decoded(text))
    return _without_dot_segments(path) if _DOT_SEGMENT.search(path) else path


def _without_dot_segments(path: bytes) -> bytes:
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


@functools.lru_cache(maxsize=65536)
def canonical_host(host: str) -> str:
    """Returns the canonical form of a host name or address as it stands in an http URL.

    Raises:
        BadSource: It is not one.
    """
    url = _parse(f"http://{host}/")
    if url is None or url.href != f"http://{url.hostname}/":  # credentials, a port, a path...
        raise BadSource("not a host name")
    return _canonical_host(url.hostname)


def is_address(host: str) -> bool:
    """Whether a canonical host is an IP address (WHATWG: no name ends in a number)."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


def expression_digest(expression: bytes) -> bytes:
    """Returns what a list stores of an expression: its SHA-256."""
    return hashlib.sha256(expression).digest()


def domain_expressions(host: str) -> list[bytes]:
    """Returns every expression of a listed domain that would match a canonical host.

    At most ``2 * labels``, so 252; top-level labels are left out, lists cannot hold them.
    """
    name = host.encode()
    found = [name, b"=" + name]
    if is_address(host):
        return found
    parent = name.partition(b".")[2]
    while b"." in parent:
        found += [parent, b"*." + parent]
        parent = parent.partition(b".")[2]
    return found


def url_expression(source: Source) -> bytes:
    """Returns the expression a listed URL is stored under.

    Raises:
        BadSource: It is percent-encoded beyond reason.
    """
    query = _decoded(source.query)
    return source.host.encode() + _canonical_path(source.path) + (b"?" + query if query else b"")


def readable_part(source: Source) -> Source:
    """Returns what can be matched of a source that is percent-encoded beyond reason."""
    path_alone = source._replace(query="")
    try:
        url_expression(path_alone)
    except BadSource:
        return source._replace(path="/", query="")
    return path_alone


def url_digests(source: Source) -> Iterator[bytes]:
    """Yields the SHA-256 of every expression of a listed URL that would match a source.

    Runs in time linear in the URL's length, however many segments it has.

    Raises:
        BadSource: It is percent-encoded beyond reason.
    """
    path, query = _canonical_path(source.path), _decoded(source.query)
    state = hashlib.sha256(source.host.encode())
    *folders, last = path.split(b"/")
    for place, segment in enumerate(folders):
        state.update(segment)
        if not last and place and place == len(folders) - 1:
            yield state.digest()  # "/a" for "/a/"
        state.update(b"/")
        yield state.digest()
    if last:
        state.update(last)
        yield state.digest()
    separator = b"?"
    for part in query.split(b"&") if query else ():
        state.update(separator + part)
        yield state.digest()
        separator = b"&"


def hashed_expressions(source: Source) -> list[bytes]:
    """Returns the SHA-256 of every Safe Browsing v4 expression of a source; at most 30.

    Raises:
        BadSource: It is percent-encoded beyond reason.
    """
    path, query = _escaped(_canonical_path(source.path)), _escaped(_decoded(source.query))
    paths = [path + b"?" + query, path] if source.asks else [path]
    folders = path.split(b"/")[1:-1][: _FOLDERS - 1]
    paths += [b"/" + b"".join(f + b"/" for f in folders[:n]) for n in range(len(folders) + 1)]
    hosts = [source.host]
    if not is_address(source.host):
        labels = source.host.split(".")
        start = max(1, len(labels) - _SUFFIX_LABELS)
        hosts += [".".join(labels[at:]) for at in range(start, len(labels) - 1)]
    distinct = dict.fromkeys(paths)
    return [expression_digest(host.encode() + path) for host in hosts for path in distinct]


def _escaped(text: bytes) -> bytes:
    return _TO_ESCAPE.sub(lambda match: b"%%%02X" % match[0][0], text)
