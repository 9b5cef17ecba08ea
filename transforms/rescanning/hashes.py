"""Searching for recorded perceptual hashes: every view, as near as threshold and margin.

A hash may have been taken the quick way, which moves it by some bits: that is what the margin is
for. By which index lists are searched is decided as when judging.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from ingestgate.blocklists import chunking, hamming, spreading
from ingestgate.blocklists.chunking import Words
from ingestgate.blocklists.intrinsics import popcount
from ingestgate.blocklists.open_list import OpenList
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.spreading import SpreadIndex
from ingestgate.fingerprints.perceptual import QUALITY_MARGIN, perceptual_hashes
from ingestgate.transforms.rescanning.noting import Integers, Noter, Pairs
from ingestgate.transforms.rescanning.results import PartResult
from ingestgate.transforms.rescanning.wanted import RescanLists

_QUERIES = 1 << 17  # in one search: what it notes of them stays small


def match_views(
    batch: pa.RecordBatch, wanted: RescanLists, name: str, result: PartResult
) -> Iterator[Pairs]:
    """Looks for every hash of every view, as near as threshold and margin."""
    # An asset that is admitted and has frames was decoded: then its hashes were needed or not.
    pictures = pc.is_valid(batch["frames"])
    column = f"{name}_views"
    if column not in batch.schema.names:
        if pc.any(pictures).as_py():
            result.missing.add(name)
        return
    views = batch[column]
    counts = pc.list_value_length(views).fill_null(0)
    if pc.any(pc.and_(pictures, pc.equal(counts, 0))).as_py():
        result.missing.add(name)
    hashes = pc.struct_field(pc.list_flatten(views), "hashes")
    if not len(hashes):
        return
    width = signal_type(name).width
    _, offsets, data = hashes.buffers()
    ends = np.frombuffer(offsets, np.int32)[hashes.offset : hashes.offset + len(hashes) + 1]
    if (np.diff(ends) % width).any() or (ends[1:] == ends[:-1]).any():
        result.missing.add(name)
        return
    queries = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].reshape(-1, width)
    first = (ends - ends[0]) // width
    parents = pc.list_parent_indices(views).to_numpy()
    margin = perceptual_hashes()[name].margin
    for one, pairs in search_all(wanted, name, queries, margin):
        view = np.searchsorted(first, pairs[:, 2], "right") - 1
        yield Pairs(name, one, parents[view], pairs[:, 0], pairs[:, 1])


def search_all(
    wanted: RescanLists, name: str, queries: npt.NDArray[np.uint8], margin: int
) -> Iterator[tuple[OpenList, Integers]]:
    """Yields per list every pair (its row, distance, query) within threshold and margin.

    Args:
        wanted: What is looked for.
        name: Signal type of the hashes.
        queries: The hashes, one a row, of as many bytes as the signal type is wide.
        margin: Bits beyond each list's threshold, see `hamming.certain_distance`.
    """
    words = hamming.as_words(queries)
    for one in wanted.matcher.lists:
        if name not in one.values or not len(one.values[name].values):
            continue
        table = one.values[name].values
        threshold = one.info.thresholds[name]
        index = one.indexes.get(name)
        plan = None
        if index is not None:
            bits = tuple(index.layout.reshape(-1, 3)[:, 0].tolist())
            # As when judging: so far every pair, beyond it what is met on the way.
            certain = hamming.certain_distance(table.shape[1], threshold, margin)
            plan = chunking.radii(bits, len(table), certain)
        few = None
        if plan is not None and len(table) < hamming.INDEXED_FROM:  # what came to a list
            few = _spread(id(table), table, bits, plan)
        found = []
        for start in range(0, len(words), _QUERIES):
            part = words[start : start + _QUERIES]
            if few is not None:
                pairs = spreading.find_spread(few, part, threshold + margin)
            elif index is None or plan is None:
                pairs = _scan_pairs(hamming.as_words(table), part, threshold + margin)
            else:
                pairs = hamming.find_pairs(table, index, part, threshold + margin, plan)
            found.append(pairs + np.array([0, 0, start]))
        yield one, np.concatenate(found) if found else np.zeros((0, 3), np.int64)


_spreads: dict[int, tuple[npt.NDArray[np.uint8], SpreadIndex | None]] = {}


def _spread(
    key: int, values: npt.NDArray[np.uint8], bits: tuple[int, ...], radii: tuple[int, ...]
) -> SpreadIndex | None:
    """Returns the index of few hashes, made once per table; None if it would become too large."""
    kept = _spreads.get(key)
    if kept is None or kept[0] is not values:
        kept = _spreads[key] = (values, spreading.spread(values, bits, radii))
    return kept[1]


def _scan_pairs(hashes: Words, queries: Words, threshold: int) -> Integers:
    found = np.empty((1024, 3), np.int64)
    count = _every_pair(hashes, queries, threshold, found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        _every_pair(hashes, queries, threshold, found)
    return found[:count]


@njit(cache=True, nogil=True)
def _every_pair(hashes: Words, queries: Words, threshold: int, found: Integers) -> int:
    count = 0
    words = hashes.shape[1]
    for query in range(queries.shape[0]):
        for row in range(hashes.shape[0]):
            distance = 0
            for word in range(words):
                distance += popcount(hashes[row, word] ^ queries[query, word])
                if distance > threshold:
                    break
            if distance <= threshold:
                count = hamming.note_pair(found, count, row, distance, query)
    return count


def note_quality(batch: pa.RecordBatch, name: str, noter: Noter) -> None:
    """Notes admitted assets with a view too flat, or nearly, for a hash that is now needed."""
    least = perceptual_hashes()[name].min_quality
    if least is None or f"{name}_views" not in batch.schema.names:
        return
    views = batch[f"{name}_views"]
    quality = pc.struct_field(pc.list_flatten(views), "quality").to_numpy()
    rows = np.unique(pc.list_parent_indices(views).to_numpy()[quality < least + QUALITY_MARGIN])
    noter.note_unclear(rows)
