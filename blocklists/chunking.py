"""How a multi-index cuts hashes into chunks, and how far it looks around in each.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with
Multi-Index Hashing", 2014) with a radius of its own per chunk by the general pigeonhole
principle (Qin et al., "GPH: Similarity Search in Hamming Space", 2018): a hash is cut into
chunks, and if the chunks' radii fulfil ``sum(radius + 1) > threshold``, every hash within the
threshold of a query is within its chunk's radius in at least one chunk. Larger chunks have
emptier buckets, and more of them in reach.
"""

import functools
import heapq
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_CHUNK_BITS = 26  # a bitmap of 8 MB per chunk
MIN_CHUNK_BITS = 8
MAX_RADIUS = 4  # of a chunk; keeps tables of flips small, and scanning is soon as fast
FEWEST = 16384  # hashes that plans are made for; of fewer, a scan is faster, and no index is kept
_SPARSENESS = 32  # buckets per hash, at most: bounds an index by the size of its list

# Nanoseconds, measured; only their ratios matter, and only for speed.
_PER_BUCKET = 2.0
_PER_CANDIDATE = 30.0
_PER_SCANNED = 0.8

Words = npt.NDArray[np.uint64]
Unsigned = npt.NDArray[np.uint32]


class HammingIndex(NamedTuple):
    """A multi-index over hashes, as flat arrays that can be memory-mapped, chunk after chunk.

    A bucket holds the rows whose chunk has one value. The rank of an occupied bucket, its place
    in ``heads``, is the number of occupied buckets before it.

    Attributes:
        layout: uint32, shape (3 * chunks,): of each chunk, its bits, the number of its occupied
            buckets, and the number of rows that share a bucket.
        occupied: uint32, a bit per bucket, the lowest first; whole 64-bit words.
        ranks: uint32, one per 64 buckets: rank of the first occupied bucket in or after them.
        heads: uint32, one per occupied bucket: its row; if `SHARED` is set, where in ``shared``
            its rows begin.
        shared: uint32: rows of buckets with several, ascending; `SHARED` is set on the last.
    """

    layout: Unsigned
    occupied: Unsigned
    ranks: Unsigned
    heads: Unsigned
    shared: Unsigned


SHARED = 1 << 31
MAX_HASHES = SHARED - 1  # rows leave that bit free


def index_lengths(layout: Unsigned, width: int, count: int) -> tuple[int, ...] | None:
    """Returns the lengths of an index's arrays; None if its layout cannot be one.

    Args:
        layout: See `HammingIndex`.
        width: Bytes of a hash.
        count: Hashes.
    """
    if not len(layout) or len(layout) % 3:
        return None
    bits, buckets, shared = layout.astype(np.int64).reshape(-1, 3).T
    if bits.min() < MIN_CHUNK_BITS or bits.max() > MAX_CHUNK_BITS or bits.sum() != 8 * width:
        return None
    if (buckets + shared < count).any() or (buckets + shared - shared // 2 > count).any():
        return None
    words = int((1 << bits).sum()) // 64
    return len(layout), 2 * words, words, int(buckets.sum()), int(shared.sum())


def reach(bits: int, radius: int) -> int:
    """Returns the number of values within a radius of one of so many bits."""
    return sum(math.comb(bits, flips) for flips in range(radius + 1))


@functools.cache
def flips(bits: int, radius: int) -> Unsigned:
    """Returns all values of so many bits with at most ``radius`` ones, ascending."""
    values = [
        sum(1 << bit for bit in chosen)
        for ones in range(min(radius, bits) + 1)
        for chosen in itertools.combinations(range(bits), ones)
    ]
    return np.array(sorted(values), np.uint32)


def _cost(bits: int, radius: int, count: int) -> float:
    return reach(bits, radius) * (_PER_BUCKET + _PER_CANDIDATE * count / (1 << bits))


def _cheapest(bits: Sequence[int], count: int, threshold: int) -> tuple[list[int], float]:
    """Returns the cheapest radii that fulfil the pigeonhole principle, and what they cost.

    Cost grows faster and faster with a chunk's radius, so that the cheapest step is always right.
    """
    radii = [-1] * len(bits)
    steps = [(_cost(width, 0, count), chunk) for chunk, width in enumerate(bits)]
    heapq.heapify(steps)
    total = 0.0
    for _ in range(threshold + 1):
        added, chunk = heapq.heappop(steps)
        total += added
        radii[chunk] += 1
        before = _cost(bits[chunk], radii[chunk], count)
        after = _cost(bits[chunk], radii[chunk] + 1, count)
        heapq.heappush(steps, (after - before, chunk))
    return radii, total


@functools.lru_cache(maxsize=256)
def radii(bits: tuple[int, ...], count: int, threshold: int) -> tuple[int, ...] | None:
    """Returns the radius of each chunk; None if comparing with every hash is faster.

    A chunk of radius -1 need not be looked at.

    Args:
        bits: Of each chunk.
        count: Hashes.
        threshold: Largest distance, in bits, that counts.
    """
    count = max(count, FEWEST)
    found, cost = _cheapest(bits, count, threshold)
    return None if max(found) > MAX_RADIUS or cost > _PER_SCANNED * count else tuple(found)


def chunk_bits(width: int, count: int, threshold: int) -> tuple[int, ...]:
    """Returns the bits of each chunk that make a search cheapest.

    Args:
        width: Bytes of a hash.
        count: Hashes.
        threshold: The largest distance that is to be fast; any other works too.
    """
    bits = 8 * width
    count = max(count, FEWEST)
    largest = min(int(math.log2(count * _SPARSENESS)), MAX_CHUNK_BITS)
    plans = []
    for chunks in range(-(-bits // largest), bits // MIN_CHUNK_BITS + 1):
        base, larger = divmod(bits, chunks)
        plan = (base + 1,) * larger + (base,) * (chunks - larger)
        plans.append((_cheapest(plan, count, threshold)[1], plan))
    return min(plans)[1]
