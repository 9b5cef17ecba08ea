"""Exact search for hashes within a Hamming distance: brute force, and a multi-index.

`scan` is the reference, and `search_index` returns the same: it compares only with the hashes
that lie near a query in at least one chunk of their bits, see `chunking`.
"""

import functools
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ingestgate.blocklists import chunking
from ingestgate.blocklists.chunking import SHARED, HammingIndex, Unsigned, Words
from ingestgate.blocklists.intrinsics import popcount, prefetch

INDEXED_FROM = chunking.FEWEST  # hashes
_SHORT = 8  # bytes of a hash; searched whole within any margin
_START_CAPACITY = 256  # pairs, or so many per query; for more, all is searched again
_PAIRS_PER_QUERY = 8
_PASS = 65536  # buckets looked at in one pass; one in ten is occupied, and noted
_FLIPS_AHEAD = 64  # flips, for whose buckets it is on its way whether they are occupied
_AHEAD = 24  # buckets, whose ranks are on their way before they are needed
_LINE = 8  # words that come from memory at a time

Integers = npt.NDArray[np.int64]


class Neighbours(NamedTuple):
    """Rows within the threshold of any query, ascending, each with its nearest query.

    Attributes:
        rows: int64, shape (k,).
        distances: int64, shape (k,), bits.
        queries: int64, shape (k,): the first of the queries at that distance.
    """

    rows: Integers
    distances: Integers
    queries: Integers


@njit(cache=True, nogil=True)
def note_pair(found: Integers, count: int, row: int, distance: int, query: int) -> int:
    """Notes a pair if there is room; returns how many there are now."""
    if count < found.shape[0]:
        found[count, 0] = row
        found[count, 1] = distance
        found[count, 2] = query
    return count + 1


@njit(cache=True, nogil=True)
def _scan(hashes: Words, queries: Words, threshold: int, found: Integers) -> int:
    count = 0
    words = hashes.shape[1]
    # Two words without a branch tell nearly all pairs apart: 6x faster than asking after one.
    lead = min(words, 2)
    for row in range(hashes.shape[0]):
        best = threshold + 1
        nearest = -1
        for query in range(queries.shape[0]):
            distance = 0
            for word in range(lead):
                distance += popcount(hashes[row, word] ^ queries[query, word])
            if distance < best:
                for word in range(lead, words):
                    distance += popcount(hashes[row, word] ^ queries[query, word])
                if distance < best:
                    best = distance
                    nearest = query
        if nearest >= 0:
            count = note_pair(found, count, row, best, nearest)
    return count


@njit(cache=True, nogil=True, inline="always")
def chunk_value(hashes: Words, row: int, start: int, bits: int) -> Any:
    """Bits ``start`` to ``start + bits`` of a hash, a uint64."""
    place = start >> 6
    shift = start & 63
    value = hashes[row, place] >> np.uint64(shift)
    if shift + bits > 64:
        value |= hashes[row, place + 1] << np.uint64(64 - shift)
    return value & np.uint64((1 << bits) - 1)


@njit(cache=True, nogil=True)
def _distance(
    hashes: Words, row: np.uint64, queries: Words, query: int, chunk: int, chunks: Integers
) -> int:
    """Distance of a hash to a query; -1 if an earlier chunk finds the pair too."""
    different = np.empty((1, hashes.shape[1]), np.uint64)
    distance = 0
    for word in range(hashes.shape[1]):
        different[0, word] = hashes[row, np.uint64(word)] ^ queries[query, word]
        distance += popcount(different[0, word])
    start = 0
    for before in range(chunk):
        bits = chunks[before, 0]
        if popcount(chunk_value(different, 0, start, bits)) <= chunks[before, 1]:
            return -1
        start += bits
    return distance


@njit(cache=True, nogil=True)
def _search(
    hashes: Words,
    chunks: Integers,
    flips: Unsigned,
    occupied: Words,
    ranks: Unsigned,
    heads: Unsigned,
    shared: Unsigned,
    queries: Words,
    threshold: int,
    found: Integers,
) -> int:
    """Finds every pair once.

    Works in passes over short arrays, without branches that depend on what was read: so that
    many reads from memory are under way at once. Each pass sends for what the next one reads.
    Queries that are alike in a chunk, as views of one picture often are, look around in it
    together.

    Args:
        hashes: uint64, shape (n, words).
        chunks: int64, shape (m, 6): bits, radius, range in ``flips``, heads, shared.
        flips: uint32: per chunk, what to flip in a query's value; `_FLIPS_AHEAD` more at the end.
        occupied: Of the index, as are the next three.
        ranks: Likewise.
        heads: Likewise.
        shared: Likewise.
        queries: uint64, shape (k, words).
        threshold: Largest distance that counts.
        found: int64, shape (capacity, 3): takes row, distance and query of each pair.

    Returns:
        The number of pairs, also of those beyond the capacity.
    """
    most = 1
    for chunk in range(chunks.shape[0]):
        most = max(most, chunks[chunk, 3] - chunks[chunk, 2])
    block = max(1, min(_PASS // most, queries.shape[0]))  # queries at a time
    room = most * block + _AHEAD  # more, for what is written and not kept, and read ahead
    buckets = np.empty(room, np.uint32)
    rows = np.empty(room, np.uint32)
    several = np.empty(room, np.uint32)
    values = np.empty(block, np.uint64)
    ends = np.zeros((4, block + 1), np.int64)  # of each group's queries, buckets, rows, several
    second = min(hashes.shape[1] - 1, 1)
    two_words = np.uint64(-second)  # no bits, if there is but one word
    count = 0
    start = 0
    first_word = np.uint64(0)
    first_head = np.uint64(0)
    first_shared = np.uint64(0)
    for chunk in range(chunks.shape[0]):
        bits = chunks[chunk, 0]
        if queries.shape[0] * (chunks[chunk, 3] - chunks[chunk, 2]) >= (1 << bits) >> 6:
            # About all that tells which buckets are occupied is read: faster from first to last.
            for line in range(0, (1 << bits) >> 6, _LINE):
                prefetch(occupied, first_word + np.uint64(line))
        for begin in range(0, queries.shape[0] if chunks[chunk, 1] >= 0 else 0, block):
            size = min(block, queries.shape[0] - begin)
            for number in range(size):
                values[number] = chunk_value(queries, begin + number, start, bits)
            order = np.argsort(values[:size], kind="mergesort")
            groups = 0
            hit = np.uint64(0)
            for number in range(size):
                value = values[order[number]]
                if number + 1 < size and values[order[number + 1]] == value:
                    continue
                for place in range(chunks[chunk, 2], chunks[chunk, 3]):
                    later = value ^ np.uint64(flips[place + _FLIPS_AHEAD])
                    prefetch(occupied, first_word + (later >> np.uint64(6)))
                    bucket = value ^ np.uint64(flips[place])
                    word = occupied[first_word + (bucket >> np.uint64(6))]
                    buckets[hit] = bucket
                    hit += (word >> (bucket & np.uint64(63))) & np.uint64(1)
                groups += 1
                ends[0, groups], ends[1, groups] = number + 1, hit
            alone = np.uint64(0)
            many = np.uint64(0)
            for group in range(groups):
                for place in range(ends[1, group], ends[1, group + 1]):
                    bucket = np.uint64(buckets[place])
                    at = first_word + (bucket >> np.uint64(6))
                    below = (np.uint64(1) << (bucket & np.uint64(63))) - np.uint64(1)
                    further = np.uint64(buckets[place + _AHEAD])
                    prefetch(ranks, first_word + (further >> np.uint64(6)))
                    rank = np.uint64(ranks[at]) + np.uint64(popcount(occupied[at] & below))
                    buckets[place] = rank
                    prefetch(heads, first_head + rank)
            for group in range(groups):
                for place in range(ends[1, group], ends[1, group + 1]):
                    head = heads[first_head + np.uint64(buckets[place])]
                    row = head & np.uint32(SHARED - 1)
                    prefetch(hashes, np.uint64(row))
                    rows[alone] = row
                    several[many] = row
                    is_shared = np.uint64(head >> np.uint32(31))
                    alone += np.uint64(1) - is_shared
                    many += is_shared
                ends[2, group + 1], ends[3, group + 1] = alone, many
            for place in range(many):
                at = first_shared + np.uint64(several[place])
                prefetch(hashes, np.uint64(shared[at]) & np.uint64(SHARED - 1))
                at += np.uint64(1)  # at least two share a bucket
                prefetch(hashes, np.uint64(shared[at]) & np.uint64(SHARED - 1))
            for group in range(groups):
                for alike in range(ends[0, group], ends[0, group + 1]):
                    query = begin + order[alike]
                    lead = queries[query, 0]
                    next_lead = queries[query, second]
                    for place in range(ends[2, group], ends[2, group + 1]):
                        row = np.uint64(rows[place])
                        distance = popcount(hashes[row, 0] ^ lead)
                        distance += popcount((hashes[row, second] ^ next_lead) & two_words)
                        if distance <= threshold:
                            distance = _distance(hashes, row, queries, query, chunk, chunks)
                            if 0 <= distance <= threshold:
                                count = note_pair(found, count, row, distance, query)
                    for place in range(ends[3, group], ends[3, group + 1]):
                        at = first_shared + np.uint64(several[place])
                        last = False
                        while not last:
                            row = np.uint64(shared[at]) & np.uint64(SHARED - 1)
                            last = shared[at] >= np.uint32(SHARED)
                            at += np.uint64(1)
                            distance = popcount(hashes[row, 0] ^ lead)
                            distance += popcount((hashes[row, second] ^ next_lead) & two_words)
                            if distance <= threshold:
                                distance = _distance(hashes, row, queries, query, chunk, chunks)
                                if 0 <= distance <= threshold:
                                    count = note_pair(found, count, row, distance, query)
        start += bits
        first_word += np.uint64((1 << bits) >> 6)
        first_head += np.uint64(chunks[chunk, 4])
        first_shared += np.uint64(chunks[chunk, 5])
    return count


def as_words(hashes: npt.NDArray[np.uint8]) -> Words:
    """Views hashes, uint8 of shape (n, width), as uint64 of shape (n, width / 8), read-only."""
    words = np.ascontiguousarray(hashes).view(np.uint64)
    words.flags.writeable = False  # one compiled kernel for mapped and for other arrays
    return words


def scan(hashes: Words, queries: Words, threshold: int) -> Neighbours:
    """Compares every hash with every query.

    Args:
        hashes: uint64, shape (n, words), see `as_words`.
        queries: uint64, shape (k, words).
        threshold: Largest distance, in bits, that counts.
    """
    found = np.empty((_START_CAPACITY, 3), np.int64)
    count = _scan(hashes, queries, threshold, found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        _scan(hashes, queries, threshold, found)
    return Neighbours(*found[:count].T)


def certain_distance(width: int, threshold: int, margin: int) -> int:
    """Returns up to which distance, in bits, a search with a margin finds every row.

    Long hashes have many chunks, in one of which a row somewhat beyond the threshold is nearly
    always near: at a threshold of 31 and one or ten million hashes of 256 bits, of 2,000 rows each
    that lay 1 to 4 bits beyond, all were met, and of those 5 to 8 bits beyond, 99.2 % or more.
    Looking for all of them would cost three times as much. Of 64 bits, half would be missed.

    Args:
        width: Bytes of a hash.
        threshold: Largest distance that counts.
        margin: How far beyond it rows are asked for.
    """
    return threshold + margin if width <= _SHORT else threshold


def search_index(
    hashes: npt.NDArray[np.uint8],
    index: HammingIndex,
    queries: Words,
    threshold: int,
    margin: int = 0,
) -> Neighbours:
    """Finds the same rows as `scan`, through the index where that is faster.

    With a margin, also rows beyond the threshold, by up to so many bits: all of them if hashes are
    of 64 bits, else those that are met on the way (see `certain_distance`).

    Args:
        hashes: uint8, shape (n, width): what the index was built from.
        index: Their index.
        queries: uint64, shape (k, words).
        threshold: Largest distance, in bits, that counts.
        margin: How far beyond it rows are noted too.
    """
    return search_index_each(hashes, index, [queries], threshold, margin)[0]


def search_index_each(
    hashes: npt.NDArray[np.uint8],
    index: HammingIndex,
    groups: Sequence[Words],
    threshold: int,
    margin: int = 0,
) -> list[Neighbours]:
    """Does `search_index` for several groups of queries, in two thirds of the time.

    Args:
        hashes: As there, as are ``index``, ``threshold`` and ``margin``.
        index: Likewise.
        groups: Of queries, each uint64, shape (k, words).
        threshold: Likewise.
        margin: Likewise.
    """
    layout = index.layout.reshape(-1, 3)
    certain = certain_distance(hashes.shape[1], threshold, margin)
    radii = chunking.radii(tuple(layout[:, 0].tolist()), len(hashes), certain)
    if radii is None:
        return [scan(as_words(hashes), queries, threshold + margin) for queries in groups]
    pairs = find_pairs(hashes, index, np.concatenate(groups), threshold + margin, radii)
    pairs = pairs[np.argsort(pairs[:, 2])]
    starts = np.cumsum([0, *map(len, groups)])
    bounds = pairwise(np.searchsorted(pairs[:, 2], starts).tolist())
    return [
        _nearest(pairs[first:last] - [0, 0, start]) if first < last else _NONE
        for (first, last), start in zip(bounds, starts, strict=False)
    ]


def find_pairs(
    hashes: npt.NDArray[np.uint8],
    index: HammingIndex,
    queries: Words,
    threshold: int,
    radii: Sequence[int],
) -> Integers:
    """Finds every pair within the threshold, through the index.

    Args:
        hashes: uint8, shape (n, width): what the index was built from.
        index: Their index.
        queries: uint64, shape (k, words).
        threshold: Largest distance, in bits, that counts.
        radii: Of each chunk, see `chunking.radii`.

    Returns:
        int64, shape (pairs, 3): row, distance and query of each pair, in no order.
    """
    layout = index.layout.astype(np.int64).reshape(-1, 3)
    chunks, flips = _plan(tuple(layout[:, 0].tolist()), tuple(radii))
    chunks = np.column_stack([chunks, layout[:, 1:]])
    arrays = (index.occupied.view(np.uint64), index.ranks, index.heads, index.shared)
    for array in arrays:
        array.flags.writeable = False
    arguments = (as_words(hashes), chunks, flips, *arrays, queries, threshold)
    found = np.empty((max(_START_CAPACITY, _PAIRS_PER_QUERY * len(queries)), 3), np.int64)
    count = _search(*arguments, found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        _search(*arguments, found)
    return found[:count]


@functools.lru_cache(maxsize=64)
def _plan(bits: tuple[int, ...], radii: tuple[int, ...]) -> tuple[Integers, Unsigned]:
    """Returns bits, radius and range of flips of each chunk, and all flips in one array.

    Behind them are some more, to be looked at ahead.
    """
    per_chunk = [chunking.flips(*one) for one in zip(bits, radii, strict=True)]
    ends = np.cumsum([len(one) for one in per_chunk])
    starts = np.concatenate([[0], ends[:-1]])
    more = np.zeros(_FLIPS_AHEAD, np.uint32)
    return np.column_stack([bits, radii, starts, ends]), np.concatenate([*per_chunk, more])


_NONE = Neighbours(*np.empty((3, 0), np.int64))


def _nearest(found: Integers) -> Neighbours:
    """Keeps of each row the smallest distance, and of those the first query."""
    order = np.lexsort((found[:, 2], found[:, 1], found[:, 0]))
    found = found[order]
    first = np.ones(len(found), bool)
    first[1:] = found[1:, 0] != found[:-1, 0]
    return Neighbours(*found[first].T)
