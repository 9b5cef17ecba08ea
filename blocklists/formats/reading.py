"""A partner's file to entries with checked values, whatever its format.

Everything the file holds is either in an entry or counted: signal types that cannot be matched
here, and what is no listing at all, by name.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import BinaryIO, NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError
from ingestgate.blocklists.entries import (
    FieldError,
    NeverMatchError,
    check_discloses_nothing,
    check_ending,
    check_suffix,
    clean_text,
    value_parser,
)
from ingestgate.blocklists.entry_ids import Spellings, made_id
from ingestgate.blocklists.formats.record import ListFormat, Record, Value, is_type_name
from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.signals import signal_type, signal_types

_OPTION = "; or leave it out, and count it, with --leave-out-malformed SHARE"
_SEPARATORS = re.compile(r"[-_ ]")
# What partners call what is matched here. The digest of a video is the digest of its bytes.
_ALIASES = {
    "imagepdq": "pdq",
    "imagephash": "phash",
    "uri": "url",
    "rawuri": "url",
    "domainname": "domain",
    "host": "domain",
    "hostname": "domain",
    "ipaddress": "domain",
    "ipv4": "domain",
    "ipv6": "domain",
    "ipv4addr": "domain",
    "ipv6addr": "domain",
    "sha2256": "sha256",
    "sha2512": "sha512",
} | {
    f"{prefix}{name}": name
    for prefix in ("hash", "video", "image", "file", "hashvideo")
    for name in ("md5", "sha1", "sha256", "sha512", "pdq")
}
del _ALIASES["videopdq"], _ALIASES["hashvideopdq"]  # many hashes, not one


class Listed(NamedTuple):
    """One entry of a partner, checked, or its removal.

    Attributes:
        entry_id: The partner's identifier, or one made of a digest of the first value; "" if
            there is neither, and values of it could not be read.
        values: Pairs of signal type and value as `entries.Entry` has it; none if nothing of
            the entry can be matched here.
        category, feedback, modified, tombstone: As in `record.Record`.
        unreadable: Signal types of the values that are there, but malformed, or would match what
            nobody meant; where there are no others, those that are not known here, too. What was
            said of these before stands.
    """

    entry_id: str
    values: tuple[tuple[str, bytes], ...]
    category: str = ""
    feedback: str = ""
    modified: int | None = None
    tombstone: bool = False
    unreadable: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Listed(entry_id={self.entry_id!r}, tombstone={self.tombstone})"


def read_list(
    path: str,
    list_format: ListFormat,
    skipped: Counter[str],
    *,
    signal_type_name: str = "",
    leave_out_never_match: bool = False,
    max_malformed: float = 0,
    suffixes: PublicSuffixes | None = None,
    source: BinaryIO | None = None,
) -> Iterator[Listed]:
    """Yields the entries of a partner's file, in bounded memory.

    Args:
        path: The file.
        list_format: Its format.
        skipped: What is kept out is counted here, by what it is.
        signal_type_name: Signal type of the hashes, instead of the one that a format without
            types takes them for (``imagehash`` and ``hash-file``); what says another is refused.
        leave_out_never_match: Keep values out, and count them, that would match what nobody
            meant to list (all zeros, the digest of the empty file, a public suffix...) rather
            than refuse the file: what an earlier file said of them stands.
        max_malformed: The largest share of a file's values that may be left out, and counted,
            because they are not of their signal type: what an earlier file said of them stands.
            Categories and feedback that would show what is listed count among them; their
            entries stay.
        suffixes: Public suffixes, which no domain may be; None for the built-in ones.
        source: The file, where it is open already; the path is for messages then.

    Raises:
        ListError: The file is not of that format, or a value not of its signal type, or more
            are than the share allows; names file, place and field, and never shows the value.
        StorageError: The file cannot be read.
        UsageError: There is no such signal type.
    """
    forced = signal_type(signal_type_name).name if signal_type_name else ""
    known = suffixes or PublicSuffixes.built_in()
    count = seen = malformed = 0
    with storage.open_read(path) if source is None else nullcontext(source) as opened:
        for record in list_format.read(path, opened):
            count += 1
            if record.not_read:
                skipped[record.not_read] += 1
                continue
            values = []
            unread_types = []
            unknown_types = []
            for value in record.values:
                name = forced if forced and value.assumed else _resolve(path, record, value)
                if forced and name != forced:
                    raise ListError(
                        f"{path}, {record.place}, signal type: the file says {name}, --type "
                        f"{forced}; leave --type out"
                    )
                if name not in signal_types():
                    skipped[f"{name} (no such hash here)"] += 1
                    unknown_types.append(name)
                    continue
                seen += 1
                try:
                    values.append((name, _parse(name, value, known)))
                except NeverMatchError as error:
                    if not leave_out_never_match:
                        raise _refuse(path, record, value.field, error) from None
                    skipped[f"{name} that would match what nobody meant"] += 1
                    if record.entry_id.strip():  # without one, it never was an entry
                        unread_types.append(name)
                except FieldError as error:
                    if not max_malformed:
                        raise _refuse(path, record, value.field, f"{error}{_OPTION}") from None
                    skipped[f"malformed {name}"] += 1
                    malformed += 1
                    unread_types.append(name)
            texts = _texts(path, record)
            spellings = Spellings(values if texts["category"] or texts["feedback"] else ())
            for field in ("category", "feedback"):
                try:
                    check_discloses_nothing(texts[field], spellings)
                except FieldError as error:
                    if not max_malformed:
                        raise _refuse(path, record, field, f"{error}{_OPTION}") from None
                    skipped[f"{field} that would show what is listed"] += 1
                    malformed += 1
                    texts[field] = ""
            yield from _listed(record, texts, values, unread_types, unknown_types)
    if malformed > max_malformed * seen:
        raise ListError(
            f"{path}: {malformed:,} of {seen:,} values are malformed, more than may be left out "
            f"({max_malformed:.2%}); ask the partner for another file"
        )
    if not count and not list_format.may_be_empty:
        raise ListError(
            f"{path}: holds no entry; if the partner withdrew everything, leave the file out"
        )


def _refuse(path: str, record: Record, field: str, problem: object) -> ListError:
    return ListError(f"{path}, {record.place}, {field}: {problem}")


def _texts(path: str, record: Record) -> dict[str, str]:
    texts = {}
    for field in ("entry_id", "category", "feedback"):
        try:
            texts[field] = clean_text(getattr(record, field))
        except FieldError as error:
            raise _refuse(path, record, field, error) from None
    return texts


def _listed(
    record: Record,
    texts: dict[str, str],
    values: list[tuple[str, bytes]],
    unread: list[str],
    unknown: list[str],
) -> Iterator[Listed]:
    entry_id = texts["entry_id"]
    # A type's name could be misspelt, or its plug-in be missing: that withdraws nothing.
    unreadable = (*unread, *(() if values else unknown))
    if record.tombstone:
        unreadable = ()
    elif not entry_id:
        if unread:  # nobody knows which entry these would be of
            yield Listed("", (), unreadable=tuple(unread))
        unreadable = ()
    if entry_id or values:  # else it is nothing that could be stored, and has been counted
        yield Listed(
            entry_id or made_id(*values[0]),
            () if record.tombstone else tuple(values),
            texts["category"],
            texts["feedback"],
            record.modified,
            record.tombstone,
            unreadable,
        )


def _resolve(path: str, record: Record, value: Value) -> str:
    """Returns the signal type a partner's name means, or that name if there is none here."""
    name = _known_types().get(_SEPARATORS.sub("", value.signal_type.lower()))
    if name is not None:
        return name
    # The name will be shown; where fields are mixed up it could be the value.
    if not is_type_name(value.signal_type):
        raise ListError(f"{path}, {record.place}, signal type: not the name of one")
    return value.signal_type.lower()


@functools.cache
def _known_types() -> dict[str, str]:
    own = {_SEPARATORS.sub("", name.lower()): name for name in signal_types()}
    return {**_ALIASES, **own}


def _parse(name: str, value: Value, suffixes: PublicSuffixes) -> bytes:
    parsed = _value_parsers()[name](value.text)
    if name == "url" and value.of_line:
        check_ending(value.text)
    if name != "domain":
        return parsed
    if not parsed.startswith((b"*.", b".")):
        parsed = {"": b"", "exact": b"=", "subdomains": b"."}[value.scope] + parsed
    check_suffix(parsed, suffixes)
    return parsed


@functools.cache
def _value_parsers() -> dict[str, Callable[[str], bytes]]:
    return {name: value_parser(signal) for name, signal in signal_types().items()}
