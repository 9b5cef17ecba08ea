"""Entries out of plain text and CSV files, strictly: a wrong value refuses the file.

Errors name file, line and field and say what is wrong, and never show the value.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.entry_ids import Spellings, shown_id
from ingestgate.blocklists.lines import BLANK, is_comment, plain_lines, table_rows, unseparated
from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.signals import SignalType, signal_type, signal_types
from ingestgate.blocklists.source_texts import split_sources
from ingestgate.blocklists.sources import (
    BadSource,
    canonical_host,
    is_address,
    parse_source,
    url_expression,
)

COLUMNS = ("value", "entry_id", "category")
MAX_TEXT = 256  # characters of an entry id or a category
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ENDING = re.compile(r"[,;|\"']\Z")
_NAME = re.compile(r"[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)*")
_URL_OR_DIGEST = re.compile(r"://|[0-9A-Fa-f]{32}")
# Punctuation that labels may hold, in some script (RFC 5892, 2.6 and appendix A).
_IN_LABELS = frozenset("-_\u00b7\u05f3\u05f4\u0f0b\u30fb")


class Entry(NamedTuple):
    """One listed value.

    Attributes:
        value: The digest or hash as bytes; for sources, the canonical expression. A domain that
            says itself what it covers starts with ``=`` (that host only), ``.`` (that host and
            what is below it) or ``*.`` (what is below it); to others the list's scope applies.
        entry_id: The partner's identifier, or one made of the list's name and the line.
        category: The partner's category, or "".
        feedback: What others made of the entry, as the partner passes it on, or "".
    """

    value: bytes
    entry_id: str
    category: str
    feedback: str = ""

    def __repr__(self) -> str:
        return f"Entry(entry_id={self.entry_id!r}, category={self.category!r})"


_NO_HEADER = "; if the line is a header, it has to be value[,entry_id,category]"


class FieldError(Exception):
    """What is wrong with a field, without its value."""


class NeverMatchError(FieldError):
    """The value is of its type, but one that would match what nobody meant to list."""


def check_suffix(domain: bytes, suffixes: PublicSuffixes) -> None:
    """Refuses a listed domain that is a public suffix with all that is below it.

    Here and not when a compiled list is looked at: that holds digests, in which the names that
    a wildcard rule means cannot be found.

    Raises:
        NeverMatchError: It is one.
    """
    if suffixes.are_covered_by(domain):
        raise NeverMatchError(
            "a public suffix, under which anybody can register, would be listed with all that is "
            "below it; take the line out and tell the partner"
        )


def read_entries(
    signal_type_name: str,
    path: str,
    *,
    name: str | None = None,
    suffixes: PublicSuffixes | None = None,
    domain_scope: Literal["subdomains", "exact"] = "subdomains",
) -> Iterator[Entry]:
    """Yields the entries of a file, one by one, with ids that can be shown.

    The file is UTF-8 text: a value per line, or CSV whose first line names the columns
    ``value`` and perhaps ``entry_id`` and ``category``. Blank lines and lines that start with
    ``#`` are skipped in both; one that could be a row of CSV is refused. Hashes are hex in either
    case; domains are host names, IP addresses, ``*.name`` (what is below it) or ``.name`` (that
    host, too); URLs are http(s) or lack a scheme. What could never match (a name with a comma in
    it, say, or two URLs in one field) is refused, and so is a category that holds the value.

    Args:
        signal_type_name: Name of the signal type the values are of.
        path: Where the file lies.
        name: First part of the ids of entries that have none (``NAME:md5:17`` is the entry
            on line 17); without it, the file's name without its extension.
        suffixes: Public suffixes, which no domain may be; None for the built-in ones.
        domain_scope: What domains without a wildcard or a dot in front cover.

    Raises:
        ListError: The file holds something else, or no entry at all.
        StorageError: It cannot be read.
        UsageError: There is no such signal type.
    """
    signal = signal_type(signal_type_name)
    parse = value_parser(signal)
    known = suffixes or PublicSuffixes.built_in()
    label = name if name is not None else storage.basename(path).partition(".")[0]
    count = 0
    with storage.open_read(path) as source:
        for line, row in _rows(path, source):
            field = "value"
            try:
                value = parse(row["value"].strip(BLANK))
                if len(row) == 1 and signal.name == "url":
                    check_ending(row["value"].strip(BLANK))
                below = domain_scope != "exact" or value[:1] in (b"*", b".")
                if signal.name == "domain" and below:
                    check_suffix(value, known)
                texts = {}
                for field in COLUMNS[1:]:
                    texts[field] = clean_text(row.get(field, ""))
                if texts["category"]:
                    check_discloses_nothing(texts["category"], Spellings([(signal.name, value)]))
            except FieldError as error:
                header = not count and len(row) == 1 and "," in row["value"]
                raise ListError(
                    f"{path}, line {line}, {field}: {error}{_NO_HEADER if header else ''}"
                ) from None
            count += 1
            shown = shown_id(texts["entry_id"], [(signal.name, value)])
            yield Entry(value, shown or f"{label}:{signal.name}:{line}", texts["category"])
    if not count:
        raise ListError(
            f"{path}: holds no entry; if the partner withdrew everything, leave the file out"
        )


def is_line_number(entry_id: str) -> bool:
    """Whether an entry may be known by its line only, which another version gives to another."""
    _, signal, line = (["", "", *entry_id.split(":")])[-3:]
    return signal in signal_types() and line.isdecimal()


def _rows(path: str, source: BinaryIO) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line number and fields of each row, whichever of the two forms the file has."""
    lines = plain_lines(path, source)
    first = next(((n, text) for n, text in lines if not is_comment(text)), None)
    if first is None:
        return
    number, text = first
    if text.split(",")[0].strip(BLANK + '"').lower() not in COLUMNS:
        for number, text in unseparated(path, itertools.chain([first], lines)):
            if not is_comment(text):
                yield number, {"value": text}
        return
    header = [column.strip(BLANK + '"').lower() for column in text.split(",")]
    if "value" not in header or set(header) - set(COLUMNS) or len(set(header)) < len(header):
        raise ListError(
            f"{path}, line {number}, header: wants the columns value[,entry_id,category], "
            "each once and no others"
        )
    yield from table_rows(path, header, lines)


def clean_text(text: str) -> str:
    """Returns an entry id, a category or the like without the blanks around it.

    Raises:
        FieldError: It is too long, or holds a control character or half a one.
    """
    text = text.strip(BLANK)
    if len(text) > MAX_TEXT:
        raise FieldError(f"longer than {MAX_TEXT} characters")
    if _CONTROL.search(text):
        raise FieldError("holds a control character")
    if _SURROGATE.search(text):
        raise FieldError("holds half a character (a lone surrogate)")
    return text


def check_discloses_nothing(text: str, values: Spellings) -> None:
    """Refuses a category or feedback that would show in findings and reports what is listed.

    Args:
        text: It.
        values: All of the entry's.

    Raises:
        FieldError: It holds one of the values, or a URL or digest of whatever it is: a column
            taken for another holds such.
    """
    if text and (_URL_OR_DIGEST.search(text) or values.are_in(text)):
        raise FieldError(
            "holds the listed value, or a URL or a digest, and would show it in findings and "
            "reports; take another column, or leave it out, and tell the partner"
        )


def value_parser(signal: SignalType) -> Callable[[str], bytes]:
    """Returns what turns a field into a value, or raises `FieldError`."""
    if signal.name == "domain":
        return _domain
    if signal.name == "url":
        return _url
    return _hex_parser(signal)


def _hex_parser(signal: SignalType) -> Callable[[str], bytes]:
    digits = 2 * signal.width
    is_hex = re.compile(rf"[0-9A-Fa-f]{{{digits}}}").fullmatch
    never = signal.never_match
    accident = {
        SignalKind.DIGEST: "all zeros, all ones or the digest of the empty file",
        SignalKind.PERCEPTUAL: "flat",
        SignalKind.SOURCE: "all zeros, all ones or the digest of no host",
    }[signal.kind]

    def parse(text: str) -> bytes:
        if is_hex(text) is None:
            raise FieldError(
                f"no {signal.name} of {digits} hex digits (it has {len(text)} characters)"
            )
        value = bytes.fromhex(text)
        if value in never:
            raise NeverMatchError(
                f"would match what nobody meant to list ({accident}); "
                "take the line out and tell the partner"
            )
        return value

    return parse


def _domain(text: str) -> bytes:
    scope = "*." if text.startswith("*.") else "." if text.startswith(".") else ""
    name = text.removeprefix(scope)
    if not name.strip("."):
        raise FieldError("empty; wants a host name, an IP address, .name or *.name")
    if re.search(r"\s", name):
        raise FieldError("holds white space; wants one host name per line")
    if name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"
    if re.search(r"[/\\?#@*]", name) or (":" in name and not name.startswith("[")):
        raise FieldError("more or less than a host name; list what has a path as url")
    try:
        host = canonical_host(name)
    except BadSource:
        raise FieldError("not a host name or IP address") from None
    if is_address(host):
        if scope:
            raise FieldError(f"an IP address has nothing below it; list it without {scope}")
    elif "." not in host:
        raise FieldError("a single label without a dot would list a whole top-level domain")
    _check_host(host, name)
    return scope.encode() + host.encode()


def _url(text: str) -> bytes:
    text = text.strip(BLANK)
    try:
        _check_is_one(text)
        source = parse_source(text)
        expression = url_expression(source)
    except BadSource as bad:
        raise FieldError(f"not a URL that could be matched: {bad}") from None
    _check_host(source.host, text)
    if expression.partition(b"?")[0].endswith(b"/*"):
        raise FieldError(
            "its path ends in /*, and * stands for itself; to list all that is below, end it in /"
        )
    if text.partition("#")[2] and expression.rstrip(b"?") == source.host.encode() + b"/":
        # Browsers send no fragment: what is left would be the host, with all its pages.
        raise NeverMatchError(
            "only its fragment (#...) says which page is meant, and the whole host would be "
            "listed; if that is meant, list it as domain"
        )
    return expression


def _check_is_one(text: str) -> None:
    """Refuses what is more than one URL: what is behind it would be taken for a part of it."""
    if _CONTROL.search(text):  # which a browser would leave out, and join what it divides
        raise FieldError("holds a control character, a tab say; wants one URL and nothing else")
    if re.search(r"\s#", text):
        raise FieldError("holds a remark; wants one URL and nothing else")
    if sum(map(bool, split_sources(text))) > 1:
        raise FieldError(
            "holds several URLs; wants one and nothing else (where another is a part of it, a "
            "comma before that as %2C, a semicolon as %3B, a bar as %7C)"
        )
    if blank := re.search(r"\s", text):
        escaped = "".join(f"%{one:02X}" for one in blank[0].encode())
        raise FieldError(
            f"holds a blank; wants one URL and nothing else (where that is a part of it, {escaped})"
        )
    if text and unicodedata.category(text[-1]) == "Cf":
        raise FieldError("ends in a character that shows nothing; wants one URL and nothing else")


def check_ending(text: str) -> None:
    """Refuses a URL with a comma, a quote or the like behind it, where nothing else ends it.

    Raises:
        FieldError: It has one.
    """
    if mark := _ENDING.search(text):
        raise FieldError(
            f"ends in {mark[0]!r}, as one of several fields may; wants one URL and nothing else "
            f"(where that is a part of it, %{ord(mark[0]):02X})"
        )


def _check_host(host: str, text: str) -> None:
    """Refuses a canonical host that nobody can have meant: something beside it was taken for it.

    As sources, browsers take such hosts, and so does `sources`.
    """
    if is_address(host):
        # A bare number, an entry's id say, is an address to browsers.
        if not re.search(r"//|\[", text) and host not in text:
            raise FieldError("a number; wants a name, or an IPv4 address as in 192.0.2.1")
        return
    if _NAME.fullmatch(host) is None:
        raise FieldError("holds a character that no host name has; wants the name and nothing else")
    written = text.lower()
    made = [one for one in host.split(".") if one.startswith("xn--") and one not in written]
    if any(map(_has_punctuation, made)):
        raise FieldError(
            "holds punctuation that no host name has (quotes, say); if it is meant, write the "
            "name as xn--..."
        )


def _has_punctuation(label: str) -> bool:
    try:
        text = label.removeprefix("xn--").encode().decode("punycode")
    except UnicodeError:  # no valid Punycode: spelled so, in another alphabet's letters
        return False
    return any(unicodedata.category(one)[0] == "P" and one not in _IN_LABELS for one in text)
