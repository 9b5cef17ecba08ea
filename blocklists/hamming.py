"""Exact search for hashes within a Hamming distance: brute force, and a multi-index.

`scan` is the reference. `search_index` is multi-index hashing (Norouzi, Punjani and Fleet,
"Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014) with per-chunk radii by the
general pigeonhole principle (Qin et al., "GPH: Similarity Search in Hamming Space", 2018): a
hash is cut into m chunks of 16 bits, and if radii of chunks add up to at least r - m + 1, every
hash within distance r of a query is within its chunk's radius in at least one chunk. The
candidates of the buckets in reach are then compared in full. Both return the same rows.

The index is two flat arrays that can be memory-mapped: per chunk, the rows in order of the
chunk's value, and where each value's rows begin.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

from ingestgate.blocklists.tables import BUCKETS, CHUNK_BITS

MAX_RADIUS = 2  # a radius of 3 would visit 697 buckets per chunk: scanning is as fast
INDEXED_FROM = 16384  # entries; below, a scan is faster than looking into the buckets
_START_CAPACITY = 256

Words = npt.NDArray[np.uint64]
Unsigned = npt.NDArray[np.uint32]


class Neighbours(NamedTuple):
    """Rows within the threshold of any query, ascending, each with its nearest query.

    Attributes:
        rows: int64, shape (k,).
        distances: int64, shape (k,), bits.
        queries: int64, shape (k,): the first of the queries at that distance.
    """

    rows: npt.NDArray[np.int64]
    distances: npt.NDArray[np.int64]
    queries: npt.NDArray[np.int64]


class HammingIndex(NamedTuple):
    """A multi-index over n hashes of m chunks.

    Attributes:
        starts: uint32, shape (m * 65537,): where each bucket begins within its chunk.
        rows: uint32, shape (m * n,): per chunk, the rows by bucket.
    """

    starts: Unsigned
    rows: Unsigned


@intrinsic
def _ones(typing_context: Any, word: Any) -> Any:
    """Number of ones in a uint64, as one machine instruction; an int64, to be added up."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@njit(cache=True, nogil=True)
def _scan(hashes: Words, queries: Words, threshold: int, found: npt.NDArray[np.int64]) -> int:
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
                distance += _ones(hashes[row, word] ^ queries[query, word])
            if distance < best:
                for word in range(lead, words):
                    distance += _ones(hashes[row, word] ^ queries[query, word])
                if distance < best:
                    best = distance
                    nearest = query
        if nearest >= 0:
            if count < found.shape[0]:
                found[count, 0] = row
                found[count, 1] = best
                found[count, 2] = nearest
            count += 1
    return count


@njit(cache=True, nogil=True)
def _search(
    hashes: Words,
    chunks: npt.NDArray[np.uint16],
    starts: Unsigned,
    rows: Unsigned,
    queries: Words,
    radii: npt.NDArray[np.int64],
    threshold: int,
    found: npt.NDArray[np.int64],
) -> int:
    count = 0
    size = hashes.shape[0]
    for query in range(queries.shape[0]):
        for chunk in range(radii.shape[0]):
            for first in range(-1, CHUNK_BITS if radii[chunk] >= 1 else 0):
                # -1 flips no bit; a second flip lies below the first, and none without one.
                for second in range(-1, max(first, 0) if radii[chunk] >= 2 else 0):
                    flipped = 0
                    if first >= 0:
                        flipped ^= 1 << first
                    if second >= 0:
                        flipped ^= 1 << second
                    bucket = chunk * (BUCKETS + 1) + (np.int64(chunks[query, chunk]) ^ flipped)
                    for place in range(starts[bucket], starts[bucket + 1]):
                        row = np.int64(rows[chunk * size + place])
                        distance = 0
                        for word in range(hashes.shape[1]):
                            distance += _ones(hashes[row, word] ^ queries[query, word])
                        if distance <= threshold:
                            if count < found.shape[0]:
                                found[count, 0] = row
                                found[count, 1] = distance
                                found[count, 2] = query
                            count += 1
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


def build_index(hashes: npt.NDArray[np.uint8]) -> HammingIndex:
    """Builds the multi-index of hashes, uint8 of shape (n, width), width even."""
    chunks = hashes.view("<u2")
    size, parts = chunks.shape
    starts = np.zeros((parts, BUCKETS + 1), np.uint32)
    rows = np.empty((parts, size), np.uint32)
    for part in range(parts):
        values = np.ascontiguousarray(chunks[:, part])
        rows[part] = np.argsort(values, kind="stable")
        np.cumsum(np.bincount(values, minlength=BUCKETS), out=starts[part, 1:])
    return HammingIndex(starts.reshape(-1), rows.reshape(-1))


def radii(width: int, threshold: int) -> npt.NDArray[np.int64]:
    """Returns each chunk's radius: as equal as can be, adding up to threshold - chunks + 1.

    A chunk of radius -1 need not be looked at.
    """
    parts = 8 * width // CHUNK_BITS
    base, larger = divmod(threshold - parts + 1, parts)
    spread = np.full(parts, max(base, -1), np.int64)
    if base >= -1:
        spread[:larger] += 1
    return spread


def search_index(
    hashes: npt.NDArray[np.uint8], index: HammingIndex, queries: Words, threshold: int
) -> Neighbours:
    """Finds the same rows as `scan`, through the index where its radii stay small.

    Args:
        hashes: uint8, shape (n, width): what the index was built from.
        index: Their index.
        queries: uint64, shape (k, words).
        threshold: Largest distance, in bits, that counts.
    """
    words = as_words(hashes)
    reach = radii(hashes.shape[1], threshold)
    if reach.max() > MAX_RADIUS:
        return scan(words, queries, threshold)
    used = np.flatnonzero(reach >= 0)
    reach = reach[: len(used)]  # the chunks in use come first
    chunks = queries.view("<u2")
    found = np.empty((_START_CAPACITY, 3), np.int64)
    arguments = (words, chunks, index.starts, index.rows, queries, reach, threshold)
    count = _search(*arguments, found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        _search(*arguments, found)
    return _nearest(found[:count])


def _nearest(found: npt.NDArray[np.int64]) -> Neighbours:
    """Keeps of each row the smallest distance, and of those the first query."""
    order = np.lexsort((found[:, 2], found[:, 1], found[:, 0]))
    found = found[order]
    first = np.ones(len(found), bool)
    first[1:] = found[1:, 0] != found[:-1, 0]
    return Neighbours(*found[first].T)
