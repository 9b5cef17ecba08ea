"""Makes the multi-index of hashes, see `chunking`, and tells whether one is theirs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from ingestgate.assets.errors import ListError
from ingestgate.blocklists import chunking
from ingestgate.blocklists.chunking import SHARED, HammingIndex, Unsigned, Words
from ingestgate.blocklists.hamming import as_words, chunk_value
from ingestgate.blocklists.spilling import GrowingArray

_BUCKETS = 1 << 24  # filled at a time


@njit(cache=True, nogil=True)
def _fill(
    hashes: Words, start: int, bits: int, low: int, rows: Unsigned, ends: Unsigned, occupied: Words
) -> tuple[int, int]:
    """Sorts rows by their chunk, stably; returns how many buckets are occupied, and rows share.

    Only rows in the buckets from ``low`` on, as many as ``ends`` has. Leaves there, which comes
    zeroed, where each bucket ends in ``rows``.
    """
    size = hashes.shape[0]
    for row in range(size):
        at = np.int64(chunk_value(hashes, row, start, bits)) - low
        if 0 <= at < ends.shape[0]:
            ends[at] += np.uint32(1)
    begin = np.uint32(0)
    buckets = 0
    shared = 0
    for bucket in range(ends.shape[0]):
        held = ends[bucket]
        ends[bucket] = begin
        begin += held
        if held:
            occupied[bucket >> 6] |= np.uint64(1) << np.uint64(bucket & 63)
            buckets += 1
            if held > 1:
                shared += held
    for row in range(size):
        at = np.int64(chunk_value(hashes, row, start, bits)) - low
        if 0 <= at < ends.shape[0]:
            rows[ends[at]] = row
            ends[at] += np.uint32(1)
    return buckets, shared


@njit(cache=True, nogil=True)
def _link(
    rows: Unsigned,
    ends: Unsigned,
    occupied: Words,
    ranks: Unsigned,
    heads: Unsigned,
    shared: Unsigned,
    buckets_before: int,
    shared_before: int,
) -> None:
    """Makes what an index holds of buckets that `_fill` has filled."""
    begin = np.uint32(0)
    rank = 0
    place = 0
    for bucket in range(ends.shape[0]):
        if not bucket & 63:
            ranks[bucket >> 6] = buckets_before + rank
        end = ends[bucket]
        if end == begin:
            continue
        if end - begin == 1:
            heads[rank] = rows[begin]
        else:
            heads[rank] = (shared_before + place) | SHARED
            for at in range(begin, end):
                shared[place] = rows[at]
                place += 1
            shared[place - 1] |= np.uint32(SHARED)
        rank += 1
        begin = end


@njit(cache=True, nogil=True)
def _holds(
    hashes: Words,
    start: int,
    bits: int,
    occupied: Words,
    ranks: Unsigned,
    heads: Unsigned,
    shared: Unsigned,
) -> bool:
    """Whether a chunk's buckets hold every row once, each in its own bucket, in order."""
    rank = 0
    place = 0
    rows = 0
    for bucket in range(1 << bits):
        if not bucket & 63 and np.int64(ranks[bucket >> 6]) != rank:
            return False
        if not (occupied[bucket >> 6] >> np.uint64(bucket & 63)) & np.uint64(1):
            continue
        if rank == heads.shape[0]:
            return False
        head = np.int64(heads[rank])
        rank += 1
        last = head < SHARED
        if not last and head - SHARED != place:
            return False
        before = np.int64(-1)
        while True:
            row = head
            if head >= SHARED:
                if place == shared.shape[0]:
                    return False
                row = np.int64(shared[place]) & (SHARED - 1)
                last = np.int64(shared[place]) >= SHARED
                place += 1
            if not before < row < hashes.shape[0]:
                return False
            if np.int64(chunk_value(hashes, row, start, bits)) != bucket:
                return False
            before = row
            rows += 1
            if last:
                break
    return bool(rank == heads.shape[0] and place == shared.shape[0] and rows == hashes.shape[0])


def build_index(
    hashes: npt.NDArray[np.uint8], threshold: int, bits: Sequence[int] | None = None
) -> HammingIndex:
    """Builds the multi-index of hashes.

    Args:
        hashes: uint8, shape (n, width); n at most `chunking.MAX_HASHES`.
        threshold: The largest distance that is to be fast; any other works too.
        bits: Of each chunk, where not what suits number, width and threshold best.

    Raises:
        ListError: There are too many hashes.
    """
    size, width = hashes.shape
    if size > chunking.MAX_HASHES:
        raise ListError(
            f"{size:,} hashes of one kind, an index holds {chunking.MAX_HASHES:,}; make several "
            "lists of them"
        )
    words = as_words(hashes)
    rows = np.empty(size, np.uint32)
    layout = []
    parts = tuple(GrowingArray(np.uint32) for _ in HammingIndex._fields[1:])
    start = 0
    for chunk in bits or chunking.chunk_bits(width, size, threshold):
        buckets = sharing = 0
        for low in range(0, 1 << chunk, _BUCKETS):
            ends = np.zeros(min(1 << chunk, _BUCKETS), np.uint32)
            occupied = np.zeros(len(ends) // 64, np.uint64)
            taken, together = _fill(words, start, chunk, low, rows, ends, occupied)
            ranks = np.empty(len(occupied), np.uint32)
            heads = np.empty(taken, np.uint32)
            shared = np.empty(together, np.uint32)
            _link(rows, ends, occupied, ranks, heads, shared, buckets, sharing)
            buckets, sharing = buckets + taken, sharing + together
            made = (occupied.view(np.uint32), ranks, heads, shared)
            for part, piece in zip(parts, made, strict=True):
                part.extend(piece)
        layout += [chunk, buckets, sharing]
        start += chunk
    return HammingIndex(np.array(layout, np.uint32), *(part.finished() for part in parts))


def is_index_of(index: HammingIndex, hashes: npt.NDArray[np.uint8]) -> bool:
    """Whether an index, whose arrays have the lengths its layout says, finds just these hashes.

    Args:
        index: The index.
        hashes: uint8, shape (n, width).
    """
    words = as_words(hashes)
    occupied = index.occupied.view(np.uint64)
    for array in (occupied, *index[2:]):
        array.flags.writeable = False
    start = word = head = shared = 0
    for bits, buckets, sharing in index.layout.reshape(-1, 3).tolist():
        after = word + (1 << bits) // 64
        parts = (
            occupied[word:after],
            index.ranks[word:after],
            index.heads[head : head + buckets],
            index.shared[shared : shared + sharing],
        )
        if not _holds(words, start, bits, *parts):
            return False
        start, word, head, shared = start + bits, after, head + buckets, shared + sharing
    return True
