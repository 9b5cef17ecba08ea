"""The block structure of tar archives, read exactly.

POSIX ustar and pax (IEEE Std 1003.1, `pax` utility, "ustar Interchange Format" and "pax
Interchange Format") and GNU tar's extensions (GNU tar manual, "Basic Tar Format"). Where
readers of datasets, which all stand on Python's `tarfile`, take a damaged header for the end
of the archive, or are silent when the file just ends, this reader raises: what such a reader
does not see must not pass, and a truncated shard must not be taken for a whole one. What
readers disagree on (two names for one member, a global size) is refused as well.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ingestgate.assets.containers.window import Window
from ingestgate.assets.errors import ShardError

BLOCK = 512
RECORD = 20 * BLOCK  #: what archives are padded to
GLOBAL = b"g"  #: type of a pax global header, which belongs to no member
SPARSE = b"S"  #: type of a sparse file, of any of GNU's four formats
TRAILING = b""  #: "type" of what follows the end-of-archive marker
TRAILING_NAME = "<trailing data>"
GLOBAL_NAME = "<global header>"

#: A member is read into memory whole; one that cannot be is an error before it is a crash.
MAX_MEMBER_BYTES = 1 << 30
_MAX_EXTENDED_BYTES = 1 << 20

# What headers may hold beside names: times, owners, a remark, attributes. No picture is as short.
_MOST_EXTRA_BYTES = 1024
_LONGEST_NAME = 4096  # bytes, as file systems have it
_REGULAR = frozenset({b"0", b"\0", b"7"})
_HEADER_ONLY = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_PAX = frozenset({b"x", b"X"})
_EXTENDED = _PAX | {b"L", b"K"}
_PAX_LENGTH = re.compile(rb"([1-9][0-9]{0,7}) ")
_ZERO_BLOCK = bytes(BLOCK)


class Entry(NamedTuple):
    """One member with its extended headers, a global header, or trailing data.

    Attributes:
        name: As `tarfile` gives it: UTF-8, undecodable bytes as surrogate escapes.
        offset: Of its first header, the extended ones included.
        data: Offset of its data.
        size: Bytes of its data.
        stop: Offset of the next header: ``[offset, stop)`` is its raw span.
        type: The type flag, with the normalisations above.
        head: All before the data, as it stands; empty when only headers are walked.
        content: The data, likewise.
        padding: What follows it, likewise.
        laden: Whether its extended headers, or the global one that it is, hold so much else than
            readers need that it may be anything. Nobody judges what stands there.
    """

    name: str
    offset: int
    data: int
    size: int
    stop: int
    type: bytes
    head: bytes = b""
    content: bytes = b""
    padding: bytes = b""
    laden: bool = False

    @property
    def regular(self) -> bool:
        """Whether it is a plain file."""
        return self.type in _REGULAR

    @property
    def raw(self) -> tuple[bytes, ...]:
        """Its raw span, in parts of which none is empty."""
        return tuple(filter(None, (self.head, self.content, self.padding)))


class Span(NamedTuple):
    """Raw bytes of an archive: `Sample.raw` is a tuple of these.

    Attributes:
        offset: Where they stand.
        parts: Headers, data and padding, in parts of which none is empty.
        structural: Whether they stay when the sample goes (a pax global header).
    """

    offset: int
    parts: tuple[bytes, ...]
    structural: bool = False


def walk(
    window: Window, shard: str, stop: int, *, last: bool, data: bool, size: int | None = None
) -> Iterator[Entry]:
    """Yields the entries of a range of an archive, in order.

    Args:
        window: Placed at a header.
        shard: The shard's name, for errors.
        stop: Where the range ends; the end of the file for the last one. Not looked at for
            the last range, which ends with the end-of-archive marker.
        last: Whether this is the last range.
        data: Whether to read the members' bytes.
        size: The file's size, where it is known and bytes are not read.

    Raises:
        ShardError: A header is damaged, the archive is truncated or has no end-of-archive
            marker, or the range does not end where a member does.
    """
    while last or window.offset < stop:
        start = window.offset
        block = window.peek(BLOCK)
        if not block:
            raise ShardError(shard, f"truncated: no end-of-archive marker at byte {start}")
        if block == _ZERO_BLOCK:
            if not last:
                raise ShardError(shard, f"ends at byte {start}, inside a range: it has changed")
            yield from _trailing(window, shard, data)
            return
        entry = _entry(window, shard, block)
        if size is not None and entry.data + entry.size > size:
            raise _truncated(shard, entry, size)
        if data:
            head, content = window.read(entry.data - start), window.read(entry.size)
            entry = entry._replace(
                head=head,
                content=content,
                padding=window.read(entry.stop - entry.data - entry.size),
            )
            if window.offset != entry.stop:
                raise _truncated(shard, entry, window.offset)
        else:
            window.skip(entry.stop - start)
        yield entry
    if window.offset != stop:
        raise ShardError(shard, f"no member begins at byte {stop}: the shard has changed")


def _truncated(shard: str, entry: Entry, end: int) -> ShardError:
    return ShardError(
        shard, f"truncated: the member at byte {entry.offset} goes on past the end at byte {end}"
    )


def _entry(window: Window, shard: str, block: bytes) -> Entry:
    start = window.offset
    ahead = 0
    extended: dict[bytes, bytes] = {}
    while True:
        at = start + ahead
        type_, size = _check(shard, block, at)
        if type_ not in _EXTENDED:
            break
        kind = b"x" if type_ in _PAX else type_
        if kind in extended:
            raise ShardError(shard, f"two extended headers of one kind before byte {at}")
        extended[kind] = _body(window, shard, size, ahead + BLOCK, at)
        ahead += BLOCK + _padded(size)
        block = window.peek(BLOCK, ahead)
        if len(block) < BLOCK or block == _ZERO_BLOCK:
            raise ShardError(
                shard, f"truncated: the extended header at byte {at} has no member after it"
            )
    if type_ == GLOBAL:
        if extended:
            raise ShardError(shard, f"a global header inside the member at byte {start}")
        records = _records(shard, _body(window, shard, size, ahead + BLOCK, at), at)
        _check_global(shard, records, at)
        stop = at + BLOCK + _padded(size)
        laden = _is_laden(records)
        return Entry(GLOBAL_NAME, start, at + BLOCK, size, stop, GLOBAL, laden=laden)

    pax = _records(shard, extended[b"x"], start) if b"x" in extended else {}
    if "size" in pax:
        size = _pax_size(shard, pax["size"], start)
    name = _text(block[:100])
    if type_ == b"\0" and name.endswith("/"):
        type_ = b"5"  # how version 7 tar wrote directories
    prefix = _text(block[345:500])
    if prefix and type_ != SPARSE:  # GNU's sparse map lies where the prefix would
        name = f"{prefix}/{name}"
    name = _name(shard, name, extended.get(b"L"), pax, start)
    if type_ == b"5":
        name = name.rstrip("/")
    data = at + BLOCK
    if type_ == SPARSE:
        data += _sparse_map(window, block, ahead)
    elif type_ in _REGULAR and any(key.startswith("GNU.sparse.") for key in pax):
        type_ = SPARSE
    if type_ in _HEADER_ONLY:
        size = 0
    if size > MAX_MEMBER_BYTES:
        raise ShardError(
            shard,
            f"the member at byte {start} has {size} bytes; more than {MAX_MEMBER_BYTES} "
            "cannot be judged in memory",
        )
    long_names = any(len(extended.get(key, b"")) > _LONGEST_NAME for key in (b"L", b"K"))
    laden = long_names or _is_laden(pax)
    return Entry(name, start, data, size, data + _padded(size), type_, laden=laden)


def _check(shard: str, block: bytes, at: int) -> tuple[bytes, int]:
    """Returns type flag and size of a header whose checksum is right."""
    if len(block) < BLOCK:
        raise ShardError(shard, f"truncated: {len(block)} bytes of a header at byte {at}")
    field = block[148:156]
    total = _sum(block) - sum(field) + 8 * 0x20
    stated = _number(field)
    if stated != total:
        # Some old programs summed signed bytes.
        high = sum(byte > 0x7F for byte in block) - sum(byte > 0x7F for byte in field)
        if stated is None or stated != total - 256 * high:
            what = "not a tar archive" if at == 0 else "damaged"
            raise ShardError(shard, f"{what}: the header at byte {at} has a wrong checksum")
    size = _number(block[124:136])
    if size is None:
        raise ShardError(shard, f"damaged: the header at byte {at} has no readable size")
    return block[156:157], size


def _sum(block: bytes) -> int:
    """Returns the sum of a block's bytes: that of each half is below Adler-32's modulus."""
    half = BLOCK // 2
    return (zlib.adler32(block[:half], 0) & 0xFFFF) + (zlib.adler32(block[half:], 0) & 0xFFFF)


def _number(field: bytes) -> int | None:
    """Reads an octal or (GNU) base-256 number; None if it is neither, or negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if not digits:
        return 0
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _body(window: Window, shard: str, size: int, ahead: int, at: int) -> bytes:
    if size > _MAX_EXTENDED_BYTES:
        raise ShardError(shard, f"the extended header at byte {at} has {size} bytes: too many")
    body = window.peek(size, ahead)
    if len(body) < size:
        raise ShardError(shard, f"truncated inside the extended header at byte {at}")
    return body


def _records(shard: str, body: bytes, at: int) -> dict[str, str]:
    r"""Parses pax records, ``"%d %s=%s\n"`` each."""
    records: dict[str, str] = {}
    position = 0
    end = len(body.rstrip(b"\0"))
    while position < end:
        found = _PAX_LENGTH.match(body, position)
        stop = position + int(found[1]) if found else 0
        record = body[found.end() : stop] if found else b""
        key, equals, value = record.partition(b"=")
        if not equals or not key or stop > len(body) or not value.endswith(b"\n"):
            raise ShardError(shard, f"damaged: unreadable extended header at byte {at}")
        records[key.decode("utf-8", "surrogateescape")] = value[:-1].decode(
            "utf-8", "surrogateescape"
        )
        position = stop
    return records


def _pax_size(shard: str, value: str, at: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ShardError(shard, f"damaged: the extended header at byte {at} has no readable size")
    return int(value)


def _name(shard: str, name: str, long: bytes | None, pax: Mapping[str, str], at: int) -> str:
    given = {pax[key].rstrip("/") for key in ("GNU.sparse.name", "path") if key in pax}
    if "GNU.sparse.name" in pax:
        given = {pax["GNU.sparse.name"]}  # its "path" is a made-up one, by design
    if long is not None:
        given.add(_text(long))
    if len(given) > 1:
        raise ShardError(shard, f"the member at byte {at} has two names")
    return given.pop() if given else name


def _check_global(shard: str, records: Mapping[str, str], at: int) -> None:
    for key in records:
        if key in ("path", "size", "linkpath") or key.startswith("GNU.sparse."):
            raise ShardError(shard, f"the global header at byte {at} sets {key!r} for all members")


def _is_laden(records: Mapping[str, str]) -> bool:
    """Whether pax records hold more than the member's names, and a little beside."""
    extra = 0
    for key, value in records.items():
        if key.startswith("GNU.sparse."):
            continue  # sparse files are never admitted
        if key not in ("path", "linkpath"):
            extra += len(key) + len(value)
        elif len(value) > _LONGEST_NAME:
            return True
    return extra > _MOST_EXTRA_BYTES


def _sparse_map(window: Window, block: bytes, ahead: int) -> int:
    """Returns how many bytes of further sparse map follow an old GNU sparse header."""
    length = 0
    more = block[482] != 0
    while more:
        length += BLOCK
        following = window.peek(BLOCK, ahead + length)
        more = len(following) == BLOCK and following[504] != 0
    return length


def _trailing(window: Window, shard: str, data: bool) -> Iterator[Entry]:
    """Yields what stands after the end-of-archive marker, if any of it is not zero."""
    start = window.offset
    parts: list[bytes] = []
    total = zeros = 0
    found = False
    while part := window.read(RECORD):
        total += len(part)
        if not found:
            rest = part.lstrip(b"\0")
            found = bool(rest)
            zeros += len(part) - len(rest)
        if found and total > MAX_MEMBER_BYTES:
            raise ShardError(shard, f"{total} bytes and more after the end marker at byte {start}")
        if data and found:
            parts.append(part if parts else bytes(total - len(part)) + part)
    if found:
        offset = start + zeros // BLOCK * BLOCK
        size = start + total - offset
        raw, stop = b"".join(parts), start + total
        head, content = raw[: offset - start], raw[offset - start :]
        yield Entry(TRAILING_NAME, start, offset, size, stop, TRAILING, head, content)
