"""Matching what assets say of themselves: their sources, and the digests that they declare."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.columns import decode_hex, rows_saying_source
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.suppressions import left_out
from ingestgate.transforms.policy import matches_column
from ingestgate.transforms.rescanning import digests, hashes
from ingestgate.transforms.rescanning.noting import Integers, Noter, Pairs
from ingestgate.transforms.rescanning.wanted import RescanLists


def match_provenance(batch: pa.RecordBatch, wanted: RescanLists, noter: Noter) -> None:
    """Matches sources and declared digests, column by column."""
    maps = batch["provenance"]
    parents = _map_parents(maps)
    keys = maps.keys.slice(*_span(maps)).dictionary_encode()
    items = maps.items.slice(*_span(maps))
    labels = keys.indices.to_numpy()
    policy = wanted.policy
    sources = bool(wanted.of_kind(SignalKind.SOURCE))
    for number, column in enumerate(keys.dictionary.to_pylist()):
        signals = [n for n, p in policy.digest_columns.items() if _is_column(column, p)]
        is_source = sources and _is_column(column, policy.source_columns)
        may_be_source = sources and _is_column(column, policy.likely_source_columns)
        signals = [name for name in signals if name in wanted.matcher.signal_types]
        if not (is_source or may_be_source or signals):
            continue
        places = np.flatnonzero(labels == number)
        values, rows = items.take(pa.array(places)), parents[places]
        hits: dict[int, list[Any]] = {}
        if is_source or may_be_source:
            hits, bad = wanted.matcher.match_sources(values, column)
            if not is_source:
                bad = np.intersect1d(bad, rows_saying_source(values))
            noter.note_unclear(rows[bad])
        for place, findings in hits.items():
            counting = left_out(findings)
            for one in findings:
                noter.note(
                    int(rows[place]),
                    (one.list_id, one.list_version),
                    one.entry_id,
                    one.signal_type,
                    0,
                    certain=True,
                    quarantines=one.quarantines,
                    in_any_case=one.list_id in counting,
                )
        for name in signals:
            if signal_type(name).kind is SignalKind.DIGEST:
                noter.note_all(digests.look_up(values, rows, wanted, name))
            else:
                decoded = decode_hex(values, signal_type(name).width)
                for source, pairs in hashes.search_all(wanted, name, decoded.values, 0):
                    owners = rows[decoded.rows[pairs[:, 2]]]
                    noter.note_all(iter([Pairs(name, source, owners, pairs[:, 0], pairs[:, 1])]))


@cache
def _is_column(column: str, patterns: tuple[str, ...]) -> bool:
    return matches_column(column, patterns)


def _span(maps: pa.MapArray) -> tuple[int, int]:
    offsets = maps.offsets
    first = offsets[0].as_py()
    return first, offsets[len(maps)].as_py() - first


def _map_parents(maps: pa.MapArray) -> Integers:
    ends = maps.offsets.to_numpy()[: len(maps) + 1]
    return np.repeat(np.arange(len(maps)), np.diff(ends))
