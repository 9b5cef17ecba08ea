"""Exact search among few hashes: each lies in every bucket that a search would look into for it.

The multi-index of `hamming` looks around each query: at 31 bits of 256, into 272 buckets. Here the
looking around is done once, for each hash, when the index is made, and a query looks into one
bucket per chunk: it finds what `hamming.find_pairs` finds by the same chunks and radii. That takes
as many places per hash as there are buckets in reach: it is for few hashes and many queries.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ingestgate.blocklists import chunking, hamming
from ingestgate.blocklists.chunking import Words
from ingestgate.blocklists.hamming import Integers
from ingestgate.blocklists.intrinsics import popcount

MAX_HASHES = 1 << 16  # rows are of 16 bits
_MAX_RADIUS = 1
_QUERIES = 2048  # at a time
_NOTED = 1 << 16
_AT_ONCE = 4  # rows of a bucket that are noted without asking whether it has so many
_MAX_BITS = 18  # of a chunk: its buckets stay in the cache


class SpreadIndex(NamedTuple):
    """Buckets of chunks, one after another.

    Attributes:
        hashes: What it was made of.
        chunks: int64, shape (m, 3): of each chunk its first bit, bits, and place in ``starts``.
        starts: uint32: where each bucket begins in ``rows``; one more per chunk, its end.
        rows: uint16: the hashes' rows, and some more, so that it may be read beyond the end.
    """

    hashes: Words
    chunks: Integers
    starts: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint16]


def spread(
    hashes: npt.NDArray[np.uint8], bits: Sequence[int], radii: Sequence[int]
) -> SpreadIndex | None:
    """Returns the index of hashes by chunks of so many bits; None if it would become too large.

    Args:
        hashes: uint8, shape (n, width).
        bits: Of each chunk.
        radii: Of each chunk, see `chunking.radii`; -1: it is not looked at.
    """
    if len(hashes) > MAX_HASHES or max(radii) > _MAX_RADIUS or max(bits) > _MAX_BITS:
        return None
    words = hamming.as_words(hashes)
    chunks, starts, rows = [], [], []
    first = begin = filled = 0
    for width, radius in zip(bits, radii, strict=True):
        if radius >= 0:
            ends, own = _spread(words, first, width, chunking.flips(width, radius))
            chunks.append((first, width, begin))
            starts.append(ends + np.uint32(filled))
            rows.append(own)
            begin, filled = begin + len(ends), filled + len(own)
        first += width
    rows.append(np.zeros(_AT_ONCE, np.uint16))
    return SpreadIndex(
        words, np.array(chunks, np.int64), np.concatenate(starts), np.concatenate(rows)
    )


@njit(cache=True, nogil=True)
def _spread(
    hashes: Words, first: int, bits: int, flips: chunking.Unsigned
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    starts = np.zeros((1 << bits) + 1, np.uint32)
    rows = np.empty(hashes.shape[0] * len(flips), np.uint16)
    for row in range(hashes.shape[0]):
        value = hamming.chunk_value(hashes, row, first, bits)
        for flip in flips:
            starts[value ^ np.uint64(flip)] += np.uint32(1)
    end = np.uint32(0)
    for bucket in range(len(starts)):
        end += starts[bucket]
        starts[bucket] = end
    # From the end of each bucket to its beginning, which is what is left in `starts`.
    for row in range(hashes.shape[0] - 1, -1, -1):
        value = hamming.chunk_value(hashes, row, first, bits)
        for flip in flips:
            bucket = value ^ np.uint64(flip)
            starts[bucket] -= np.uint32(1)
            rows[starts[bucket]] = row
    return starts, rows


def find_spread(index: SpreadIndex, queries: Words, threshold: int) -> Integers:
    """Finds what `hamming.find_pairs` finds; a pair as often as chunks bring it up.

    Args:
        index: The index.
        queries: uint64, shape (k, words).
        threshold: Largest distance, in bits, that counts.

    Returns:
        int64, shape (pairs, 3): row, distance and query of each pair, in no order.
    """
    found = np.empty((1024, 3), np.int64)
    count = _find(*index, queries, threshold, found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        _find(*index, queries, threshold, found)
    return found[:count]


@njit(cache=True, nogil=True)
def _find(
    hashes: Words,
    chunks: Integers,
    starts: npt.NDArray[np.uint32],
    rows: npt.NDArray[np.uint16],
    queries: Words,
    threshold: int,
    found: Integers,
) -> int:
    count = 0
    words = hashes.shape[1]
    zero, one = np.uint64(0), np.uint64(1)
    second = np.uint64(min(words - 1, 1))
    two_words = np.uint64(-np.int64(second))  # no bits, if there is but one word
    noted = np.empty(max(_NOTED, hashes.shape[0] + _AT_ONCE), np.uint32)
    for chunk in range(chunks.shape[0]):  # one after another: the buckets of one stay in the cache
        first, bits, begin = chunks[chunk, 0], chunks[chunk, 1], np.uint64(chunks[chunk, 2])
        base = 0
        while base < queries.shape[0]:
            # What the buckets of some queries hold is noted first, without a branch for most.
            held = 0
            query = base
            while query < min(base + _QUERIES, queries.shape[0]):
                bucket = begin + hamming.chunk_value(queries, query, first, bits)
                start = np.int64(starts[bucket])
                size = np.int64(starts[bucket + one]) - start
                if held + size + _AT_ONCE > len(noted):
                    break
                tag = np.uint32((query - base) << 16)
                for place in range(_AT_ONCE):
                    noted[np.uint64(held + place)] = tag | rows[np.uint64(start + place)]
                for place in range(_AT_ONCE, size):
                    noted[held + place] = tag | rows[start + place]
                held += int(size)
                query += 1
            for place in range(held):
                row = np.uint64(noted[place] & np.uint32(MAX_HASHES - 1))
                asked = np.uint64(base) + np.uint64(noted[place] >> np.uint32(16))
                distance = popcount(hashes[row, zero] ^ queries[asked, zero])
                distance += popcount((hashes[row, second] ^ queries[asked, second]) & two_words)
                if distance <= threshold:
                    for word in range(2, words):
                        distance += popcount(hashes[row, word] ^ queries[asked, word])
                    if distance <= threshold:
                        count = hamming.note_pair(found, count, row, distance, asked)
            base = query
    return count
