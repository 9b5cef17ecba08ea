"""Tells, at some ten million a second, which sources of a column cannot be listed.

Only plain URLs are looked at: ``http(s)://`` in any case, a name of ASCII labels (no ``xn--``,
no address, no credentials), perhaps a port, and no further ``://``. Of such a URL the canonical
form of `sources` is known without parsing, and it is no bad source. Everything else, and everything
that could be listed, is left to be parsed and looked up by SHA-256: what is screened out here is
never reported, and what is reported never depends on what is done here.

A screen is a hash table of 64-bit fingerprints of listed expressions: an entry lies in the bucket
that its upper bits name, or, where that is full, in the next that is not. It is the fingerprint's
lower 32 bits, of which two say what the expression covers. Host names are hashed from
their end, so that one pass gives the fingerprints of a host and of all its parents; paths go on
from there (FNV-1a; Fowler, Noll and Vo, 1991; and the finaliser of MurmurHash3).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from ingestgate.blocklists.sources import MAX_HOST
from ingestgate.blocklists.tables import SCREEN_BUCKET, URL_HOSTS

Fingerprints = npt.NDArray[np.uint64]
Screen = npt.NDArray[np.uint32]
Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

DOMAIN, URL, HOSTS = "domain", "url", URL_HOSTS
_BLOCK = 16384  # rows at a time: what is noted of them stays in the cache
_MAX_LABELS = 8  # of a plain host
_MAX_PARTS = 32  # of a plain path and query
_MAX_LABEL = 63
_FILL = 4  # entries per bucket, at most, on average

# What an expression covers, or what a fingerprint asks for.
_ALL = 0
_EXACT = 1  # the host itself
_BELOW = 2  # the host's parent
_KINDS = np.uint32(3)

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)

_OTHER, _NAME, _DOT, _COLON, _END = 0, 1, 2, 3, 4
_CLASS = np.zeros(256, np.uint8)
_LOWER = np.arange(256, dtype=np.uint8)
_CLASS[list(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] = _NAME
_CLASS[ord(".")] = _DOT
_CLASS[ord(":")] = _COLON
_CLASS[list(b"/?#")] = _END
_LOWER[ord("A") : ord("Z") + 1] += 32


@njit(cache=True, nogil=True, inline="always")
def _step(state: np.uint64, byte: int) -> np.uint64:
    return (state ^ np.uint64(byte)) * _PRIME


@njit(cache=True, nogil=True, inline="always")
def _finished(state: np.uint64, kind: int) -> np.uint64:
    """Fingerprint of what was hashed; its lower half is never 0, which is an empty place."""
    state ^= state >> np.uint64(33)
    state *= _MIX_1
    state ^= state >> np.uint64(33)
    state *= _MIX_2
    state ^= state >> np.uint64(33)
    state &= ~np.uint64(_KINDS)
    if np.uint32(state) == 0:
        state |= np.uint64(4)
    return state | np.uint64(kind)


@njit(cache=True, nogil=True)
def _of_expressions(data: Bytes, offsets: Integers, is_url: bool, found: Fingerprints) -> None:
    for row in range(found.shape[0]):
        begin = offsets[row]
        end = offsets[row + 1]
        kind = _ALL
        if not is_url and data[begin] == 61:  # =
            kind = _EXACT
            begin += 1
        elif not is_url and data[begin] == 42:  # *.
            kind = _BELOW
            begin += 2
        slash = begin
        while slash < end and data[slash] != 47:
            slash += 1
        state = _BASIS
        for place in range(slash - 1, begin - 1, -1):
            state = _step(state, data[place])
        for place in range(slash, end):
            state = _step(state, data[place])
        found[row] = _finished(state, kind)


@njit(cache=True, nogil=True)
def _fill(fingerprints: Fingerprints, table: Screen, shift: int) -> None:
    buckets = table.shape[0] // SCREEN_BUCKET
    for fingerprint in fingerprints:
        bucket = np.int64(fingerprint >> np.uint64(shift))
        place = 0
        while table[bucket * SCREEN_BUCKET + place]:
            place += 1
            if place == SCREEN_BUCKET:
                place = 0
                bucket = (bucket + 1) & (buckets - 1)
        table[bucket * SCREEN_BUCKET + place] = np.uint32(fingerprint)


@njit(cache=True, nogil=True)
def _flag(
    table: Screen,
    fingerprints: Fingerprints,
    owners: Integers,
    count: int,
    flags: npt.NDArray[np.bool_],
) -> None:
    """Flags the owners of fingerprints that are in a table."""
    buckets = np.uint64(table.shape[0] // SCREEN_BUCKET)
    shift = np.uint64(64)
    size = buckets
    while size > 1:
        shift -= np.uint64(1)
        size >>= np.uint64(1)
    for number in range(count):
        tag = np.uint32(fingerprints[number])
        wanted = tag & _KINDS
        bucket = fingerprints[number] >> shift
        found = False
        full = True
        left = buckets  # a table without an empty place, which no list may have, ends too
        while full and left:
            left -= np.uint64(1)
            first = bucket * np.uint64(SCREEN_BUCKET)
            for place in range(SCREEN_BUCKET):
                entry = table[first + np.uint64(place)]
                kind = entry & _KINDS
                found |= ((entry ^ tag) <= _KINDS) & ((kind == 0) | (kind == wanted))
            full = table[first + np.uint64(SCREEN_BUCKET - 1)] != 0
            bucket = (bucket + np.uint64(1)) & (buckets - np.uint64(1))
        if found or full:
            flags[owners[number]] = True


@njit(cache=True, nogil=True)
def _hosts(
    data: Bytes,
    offsets: Integers,
    undecided: npt.NDArray[np.bool_],
    paths: Integers,
    states: Fingerprints,
    hosts: Fingerprints,
    fingerprints: Fingerprints,
    owners: Integers,
) -> int:
    """Notes of each row whether it is plain, where its path begins, and its host's fingerprints.

    ``hosts`` takes that of each host itself, ``fingerprints`` takes those of all its parents too.

    Returns:
        How many fingerprints there are.
    """
    count = 0
    for row in range(undecided.shape[0]):
        undecided[row] = True
        begin = offsets[row]
        end = offsets[row + 1]
        # "http://" or "https://"; bit 5 is the case of a letter
        if end - begin < 10 or (
            (data[begin] | 32) != 104
            or (data[begin + 1] | 32) != 116
            or (data[begin + 2] | 32) != 116
            or (data[begin + 3] | 32) != 112
        ):
            continue
        begin += 4
        if (data[begin] | 32) == 115:
            begin += 1
        if data[begin] != 58 or data[begin + 1] != 47 or data[begin + 2] != 47:
            continue
        begin += 3

        at = begin
        label = begin
        labels = 1
        plain = True
        kind = _END
        while at < end:
            kind = _CLASS[data[at]]
            if kind == _DOT:
                plain &= (at > label) & (at - label <= _MAX_LABEL)
                label = at + 1
                labels += 1
            elif kind != _NAME:
                break
            elif at == label and (data[at] | 32) == 120 and at + 3 < end:  # xn--
                plain &= ((data[at + 1] | 32) != 110) | (data[at + 2] != 45) | (data[at + 3] != 45)
            at += 1
        stop = at
        if at < end and kind == _COLON:
            at += 1
            digits = at
            while at < end and 48 <= data[at] <= 57:
                at += 1
            plain &= 1 <= at - digits <= 4
            kind = _CLASS[data[at]] if at < end else _END
        plain &= (at == end) | (kind == _END)
        plain &= (2 <= labels <= _MAX_LABELS) & (stop > label) & (stop - label <= _MAX_LABEL)
        plain &= stop - begin <= MAX_HOST
        # A last label that begins with a digit may make it an address.
        if not plain or 48 <= data[label] <= 57:
            continue
        # Where another scheme and // follow, they may be another source's.
        several = False
        for place in range(at, end - 2):
            several |= (data[place] == 58) & (
                ((data[place + 1] == 47) | (data[place + 1] == 92))
                & ((data[place + 2] == 47) | (data[place + 2] == 92))
            )
        if several:
            continue
        undecided[row] = False
        paths[row] = at

        state = _BASIS
        dots = 0
        for place in range(stop - 1, begin - 1, -1):
            byte = data[place]
            if byte == 46:
                if dots:  # no list holds a top-level label
                    fingerprints[count] = _finished(state, _BELOW)
                    owners[count] = row
                    count += 1
                dots += 1
            state = _step(state, _LOWER[byte])
        states[row] = state
        hosts[row] = _finished(state, _EXACT)
        fingerprints[count] = hosts[row]
        owners[count] = row
        count += 1
    return count


@njit(cache=True, nogil=True)
def _paths(
    data: Bytes,
    offsets: Integers,
    rows: Integers,
    paths: Integers,
    states: Fingerprints,
    undecided: npt.NDArray[np.bool_],
    fingerprints: Fingerprints,
    owners: Integers,
) -> int:
    """Notes the fingerprints of what a listed URL could be, for rows whose hosts have some.

    Returns:
        How many fingerprints there are.
    """
    count = 0
    for row in rows:
        first = count
        state = states[row]
        before = state
        begin = paths[row]
        at = begin
        end = offsets[row + 1]
        previous = 0
        plain = True
        while at < end and data[at] != 63 and data[at] != 35:  # query, fragment
            byte = data[at]
            # Of what is plain, nothing is escaped, decoded, collapsed or resolved.
            plain &= (33 <= byte <= 126) & (byte != 37) & (byte != 92)
            plain &= (previous != 47) | ((byte != 47) & (byte != 46))
            plain &= count - first < _MAX_PARTS
            if not plain:
                break
            before = state
            state = _step(state, byte)
            if byte == 47:
                fingerprints[count] = _finished(state, _ALL)
                owners[count] = row
                count += 1
            previous = byte
            at += 1
        if at == begin:  # no path is the root
            state = _step(state, 47)
            before = state
        elif previous == 47 and at > begin + 1:  # "/a" for "/a/"
            state, before = before, state
        else:
            before = state
        fingerprints[count] = _finished(state, _ALL)
        owners[count] = row
        count += 1
        state = before
        if at < end and data[at] == 63 and at + 1 < end and data[at + 1] != 35:
            state = _step(state, 63)
            at += 1
            while at < end and data[at] != 35 and plain:
                byte = data[at]
                plain &= (33 <= byte <= 126) & (byte != 37)
                plain &= count - first < _MAX_PARTS
                if byte == 38:
                    fingerprints[count] = _finished(state, _ALL)
                    owners[count] = row
                    count += 1
                state = _step(state, byte)
                at += 1
            fingerprints[count] = _finished(state, _ALL)
            owners[count] = row
            count += 1
        if not plain:
            undecided[row] = True
            count = first
    return count


def fingerprints(name: str, expressions: Sequence[bytes]) -> Fingerprints:
    """Returns the fingerprints of listed expressions, for one of the screens of a list.

    Args:
        name: `DOMAIN`, `URL`, or `HOSTS`, which are hosts that listed URLs lie on.
        expressions: As `sources` forms them.
    """
    offsets = np.zeros(len(expressions) + 1, np.int64)
    np.cumsum([len(one) for one in expressions], out=offsets[1:])
    found = np.empty(len(expressions), np.uint64)
    data = np.frombuffer(b"".join(expressions), np.uint8)
    _of_expressions(data, offsets, name != DOMAIN, found)
    return found


def build_screen(fingerprints: Fingerprints) -> Screen:
    """Returns the hash table of fingerprints, which are distinct and ascending."""
    bits = max(1, int(-(-len(fingerprints) // _FILL) - 1).bit_length())
    table = np.zeros(SCREEN_BUCKET << bits, np.uint32)
    _fill(fingerprints, table, 64 - bits)
    return table


def undecided(texts: pa.Array, screens: Sequence[Mapping[str, Screen]]) -> Integers:
    """Returns the rows, ascending, whose sources may be listed, bad or absent.

    Args:
        texts: Large strings.
        screens: Of each list, its screens by name.
    """
    count = len(texts)
    _, offsets_buffer, data_buffer = texts.buffers()
    if not count or data_buffer is None:
        return np.arange(count)
    offsets = np.frombuffer(offsets_buffer, np.int64, count + 1, 8 * texts.offset)
    data = np.frombuffer(data_buffer, np.uint8)
    rows = [
        start + _undecided(data, offsets[start : start + _BLOCK + 1], screens)
        for start in range(0, count, _BLOCK)
    ]
    return np.concatenate(rows)


def _undecided(data: Bytes, offsets: Integers, screens: Sequence[Mapping[str, Screen]]) -> Integers:
    size = len(offsets) - 1
    flags = np.empty(size, np.bool_)
    paths = np.empty(size, np.int64)
    states = np.zeros(size, np.uint64)
    hosts = np.zeros(size, np.uint64)
    found = np.empty(size * _MAX_LABELS, np.uint64)
    owners = np.empty(size * _MAX_LABELS, np.int64)
    count = _hosts(data, offsets, flags, paths, states, hosts, found, owners)
    plain = ~flags
    on_listed = np.zeros(size, np.bool_)
    for one in screens:
        if DOMAIN in one:
            _flag(one[DOMAIN], found, owners, count, flags)
        if HOSTS in one:
            _flag(one[HOSTS], hosts, np.arange(size), size, on_listed)
    rows = np.flatnonzero(on_listed & plain & ~flags)
    if len(rows):
        found = np.empty(len(rows) * (_MAX_PARTS + 3), np.uint64)
        owners = np.empty(len(found), np.int64)
        count = _paths(data, offsets, rows, paths, states, flags, found, owners)
        for one in screens:
            if URL in one:
                _flag(one[URL], found, owners, count, flags)
    return np.flatnonzero(flags)
