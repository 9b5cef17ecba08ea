"""Holding recorded fingerprints against lists: ledger parts in, rows that newly match out.

The same lists, thresholds and columns as judging; the pictures are not looked at. What cannot be
decided without them is not called clean: a hash may have been taken the quick way, which moves it
by some bits, so what comes within threshold and margin is to be judged again; and what the ledger
does not hold is named as missing.

Whole Arrow columns at a time. Python sees a row only if something was found in it.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from ingestgate.assets import storage
from ingestgate.assets.errors import LedgerError, StorageError
from ingestgate.assets.ledger import PartHeader, open_part
from ingestgate.assets.verdict import Action, SignalKind, Verdict
from ingestgate.blocklists import chunking, hamming, spreading
from ingestgate.blocklists.chunking import Words
from ingestgate.blocklists.columns import decode_hex
from ingestgate.blocklists.matching import Matcher, OpenList
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.spreading import SpreadIndex
from ingestgate.blocklists.suppressions import Suppressions, left_out
from ingestgate.blocklists.tables import as_keys
from ingestgate.fingerprints.perceptual import QUALITY_MARGIN, perceptual_hashes
from ingestgate.transforms.policy import Policy, matches_column
from ingestgate.transforms.rescan_suppressing import NONE_IN_FORCE, RescanSuppressions

_BATCH_ROWS = 1 << 16
_QUERIES = 1 << 17  # in one search: what it notes of them stays small

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hit:
    """A row of the ledger that a list matches, or may match.

    Attributes:
        asset_id: The asset.
        verdict: What the ledger says of it.
        list_id, entry_id, signal_type: What it matches.
        distance: In bits; beyond the threshold where only the picture can tell.
        certain: Whether it matches as recorded; if not, it has to be judged again.
        quarantines: Whether the list quarantines.
    """

    asset_id: str
    verdict: str
    list_id: str
    entry_id: str
    signal_type: str
    distance: int
    certain: bool
    quarantines: bool


@dataclass(slots=True)
class PartResult:
    """What a rescan found in one ledger part.

    Attributes:
        sha256: Digest of the part that was looked at.
        rows: How many rows it has.
        verdicts: How many of each verdict.
        hits: What was found.
        unclear: Admitted assets that have to be judged again without any match: a list now needs a
            hash that low quality may have kept them from, or lists URLs on a host whose URLs could
            not be read further.
        missing: Signal types that a list needs and the part does not hold.
        withdrawn: Quarantined assets that no entry of a list that is there matches any more.
        suppressed: By suppression, admitted assets that it lets pass though an entry matches them.
        released: Quarantined assets that suppressions let pass by now.
    """

    header: PartHeader
    sha256: str
    rows: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    hits: list[Hit] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    withdrawn: list[str] = field(default_factory=list)
    suppressed: dict[str, set[str]] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RescanLists:
    """What is looked for.

    Attributes:
        matcher: The lists, or what has come to them since a version.
        policy: Whose columns are sources and declared digests.
        newly_needed: Perceptual hashes that no list needed when the ledger was made: whose quality
            nothing has hung on so far.
        withdrawals: Whole lists, to tell which quarantined assets only withdrawn entries had
            matched; none: that is not looked at.
        suppressing: The suppressions in force.
    """

    matcher: Matcher
    policy: Policy
    newly_needed: frozenset[str] = frozenset()
    withdrawals: Sequence[OpenList] = ()
    suppressing: RescanSuppressions = NONE_IN_FORCE

    def of_kind(self, kind: SignalKind) -> list[str]:
        """Returns the signal types of a kind that are looked for."""
        names = sorted(self.matcher.signal_types)
        return [name for name in names if signal_type(name).kind is kind]


def rescan_part(path: str, wanted: RescanLists) -> PartResult:
    """Holds one ledger part against lists.

    Raises:
        LedgerError: It is damaged, or of a version this program does not read.
        StorageError: It cannot be read.
    """
    try:
        content = storage.read_bytes(path)
    except StorageError as error:
        raise LedgerError(path, f"is missing or cannot be read ({error})") from error
    return rescan_bytes(path, content, wanted)


def rescan_bytes(path: str, content: bytes, wanted: RescanLists) -> PartResult:
    """Holds the bytes of one ledger part against lists; raises as `rescan_part`."""
    header, file = open_part(path, io.BytesIO(content))
    result = PartResult(header, hashlib.sha256(content).hexdigest())
    columns = _columns(wanted, file.schema_arrow.names)
    columns += wanted.suppressing.columns(header.tallies)
    try:
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
            _rescan_batch(batch, wanted, result)
    except (pa.ArrowException, OSError) as error:
        raise LedgerError(path, f"not a readable Parquet file ({type(error).__name__})") from error
    if result.rows != file.metadata.num_rows:
        raise LedgerError(path, "ends before its last row")
    return result


def _columns(wanted: RescanLists, there: Sequence[str]) -> list[str]:
    """Returns the columns that have to be read; of nested ones, only what is looked at."""
    columns = ["asset_id", "verdict", "size", "frames"]
    digests = wanted.of_kind(SignalKind.DIGEST)
    columns += [name for name in digests if name in there]
    columns += sorted({f"sidecars.list.element.{n if n in there else 'size'}" for n in digests})
    for name in wanted.of_kind(SignalKind.PERCEPTUAL):
        if f"{name}_views" in there:
            columns.append(f"{name}_views.list.element.hashes")
            if name in wanted.newly_needed:
                columns.append(f"{name}_views.list.element.quality")
    if _reads_provenance(wanted):
        columns.append("provenance")
    if wanted.withdrawals:
        columns += [f"findings.list.element.{n}" for n in ("list_id", "entry_id", "action")]
    return columns


def _reads_provenance(wanted: RescanLists) -> bool:
    named = {name for name, patterns in wanted.policy.digest_columns.items() if patterns}
    return bool(wanted.of_kind(SignalKind.SOURCE) or named & wanted.matcher.signal_types)


def _note_withdrawn(batch: pa.RecordBatch, wanted: RescanLists, result: PartResult) -> None:
    """Notes assets all of whose quarantining findings are by entries that are gone.

    A list that is not there any more withdraws nothing.
    """
    findings = pc.list_flatten(batch["findings"])
    parents = pc.list_parent_indices(batch["findings"]).to_numpy()
    entries = pc.struct_field(findings, "entry_id")
    acting = pc.not_equal(pc.struct_field(findings, "action"), Action.OBSERVE.value)
    gone = np.zeros(len(findings), bool)
    for one in wanted.withdrawals:
        names = one.entries.column(0)
        own = pc.equal(pc.struct_field(findings, "list_id"), one.info.id)
        missing = pc.invert(pc.is_in(entries.cast(names.type), value_set=names))
        gone |= pc.and_(own, missing).to_numpy(zero_copy_only=False)
    acts = acting.to_numpy(zero_copy_only=False)
    held = np.zeros(batch.num_rows, bool)
    held[parents[acts & ~gone]] = True
    had = np.zeros(batch.num_rows, bool)
    had[parents[acts & gone]] = True
    result.withdrawn += batch["asset_id"].filter(pa.array(had & ~held)).to_pylist()


@dataclass(slots=True)
class _Found:
    """Pairs of a batch's rows and a list's rows."""

    signal: str
    source: OpenList
    rows: Integers
    listed: Integers
    distances: Integers
    of_sidecar: bool = False


def _rescan_batch(batch: pa.RecordBatch, wanted: RescanLists, result: PartResult) -> None:
    result.rows += batch.num_rows
    for item in pc.value_counts(batch["verdict"]).to_pylist():
        result.verdicts[item["values"]] += item["counts"]
    # What is in the quarantine is not in the output, whatever else it may match.
    result.unclear += wanted.suppressing.to_judge_again(batch, result.header.tallies)
    result.released += wanted.suppressing.released(batch)
    open_rows = pc.not_equal(batch["verdict"], Verdict.QUARANTINED.value)
    if not pc.all(open_rows).as_py():
        if wanted.withdrawals:
            _note_withdrawn(batch.filter(pc.invert(open_rows)), wanted, result)
        batch = batch.filter(open_rows)
    if not batch.num_rows:
        return
    noter = _Noter(batch, result, wanted.suppressing.suppressions)
    for name in wanted.of_kind(SignalKind.DIGEST):
        noter.note_all(_match_recorded(batch, wanted, name, result))
    for name in wanted.of_kind(SignalKind.PERCEPTUAL):
        noter.note_all(_match_views(batch, wanted, name, result))
        if name in wanted.newly_needed:
            _note_quality(batch, name, noter)
    if _reads_provenance(wanted):
        _match_provenance(batch, wanted, noter)


class _Noter:
    """Turns pairs into hits: one per asset, list entry and signal type, the nearest."""

    def __init__(
        self, batch: pa.RecordBatch, result: PartResult, suppressions: Suppressions
    ) -> None:
        self._suppressions = suppressions
        self._batch = batch
        self._result = result
        self._noted: dict[tuple[int, str, str, str], int] = {}

    def note_all(self, found: Iterator[_Found]) -> None:
        """Notes pairs, canaries left out."""
        for pairs in found:
            signal = signal_type(pairs.signal)
            for row, listed, distance in zip(
                pairs.rows.tolist(), pairs.listed.tolist(), pairs.distances.tolist(), strict=True
            ):
                if not pairs.source.is_canary(signal, listed):
                    entry = int(pairs.source.values[pairs.signal].entries[listed])
                    threshold = pairs.source.info.thresholds.get(pairs.signal, 0)
                    self.note(
                        row,
                        (pairs.source.info.id, pairs.source.info.version),
                        pairs.source.entries.column(0)[entry].as_py(),
                        pairs.signal,
                        distance,
                        certain=distance <= threshold,
                        quarantines=pairs.source.info.action != Action.OBSERVE,
                        in_any_case=pairs.of_sidecar,
                    )

    def note(
        self,
        row: int,
        listed: tuple[str, int],
        entry_id: str,
        signal: str,
        distance: int,
        *,
        certain: bool,
        quarantines: bool,
        in_any_case: bool = False,
    ) -> None:
        """Notes one match with an entry of a list (id and version), or what lets it pass.

        Some count in any case, see `Suppressions.applied`.
        """
        list_id, version = listed
        if self._suppressions and quarantines and not in_any_case:
            sha256 = self._batch["sha256"][row].as_py()
            if name := self._suppressions.of(sha256, list_id, version, entry_id):
                if self._batch["verdict"][row].as_py() == Verdict.ADMITTED:
                    passed = self._result.suppressed.setdefault(name, set())
                    passed.add(self._batch["asset_id"][row].as_py())
                return
        key = (row, list_id, entry_id, signal)
        place = self._noted.get(key)
        if place is not None and self._result.hits[place].distance <= distance:
            return
        hit = Hit(
            self._batch["asset_id"][row].as_py(),
            self._batch["verdict"][row].as_py(),
            list_id,
            entry_id,
            signal,
            distance,
            certain,
            quarantines,
        )
        if place is None:
            self._noted[key] = len(self._result.hits)
            self._result.hits.append(hit)
        else:
            self._result.hits[place] = hit

    def note_unclear(self, rows: Integers) -> None:
        """Notes which of some rows, admitted before, have to be judged again."""
        for row in np.unique(rows).tolist():
            if self._batch["verdict"][row].as_py() == Verdict.ADMITTED:
                self._result.unclear.append(self._batch["asset_id"][row].as_py())


def _match_recorded(
    batch: pa.RecordBatch, wanted: RescanLists, name: str, result: PartResult
) -> Iterator[_Found]:
    """Looks up the digests of the assets' bytes and of their sidecars."""
    sidecars = batch["sidecars"]
    has_bytes = pc.is_valid(batch["size"])
    if name not in batch.schema.names:
        if pc.any(has_bytes).as_py() or len(pc.list_flatten(sidecars)):
            result.missing.add(name)
        return
    column = batch[name]
    if pc.any(pc.and_(has_bytes, pc.is_null(column))).as_py():
        result.missing.add(name)
    own = np.arange(batch.num_rows)
    for texts, owners in (
        (column, own),
        (pc.struct_field(pc.list_flatten(sidecars), name), None),
    ):
        if not len(texts):
            continue
        rows = pc.list_parent_indices(sidecars).to_numpy() if owners is None else owners
        for found in _look_up(texts, rows, wanted, name):
            yield replace(found, of_sidecar=owners is None)


def _look_up(texts: pa.Array, rows: Integers, wanted: RescanLists, name: str) -> Iterator[_Found]:
    for one in wanted.matcher.lists:
        if name not in one.values or not len(one.values[name].values):
            continue
        table = one.values[name]
        chosen = _maybe_listed(texts, _first_bytes(id(table), table.values))
        if not len(chosen):
            continue
        decoded = decode_hex(texts.take(pa.array(chosen)), signal_type(name).width)
        queries, listed = table.find(as_keys(decoded.values))
        found = rows[chosen[decoded.rows[queries]]]
        yield _Found(name, one, found, listed, np.zeros(len(found), np.int64))


_prefixes: dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]] = {}


def _first_bytes(key: int, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Returns which of all 24-bit beginnings values have; made once per table."""
    kept = _prefixes.get(key)
    if kept is None or kept[0] is not values:
        mask = np.zeros(1 << 24, bool)
        three = values[:, :3].astype(np.uint32)
        mask[three[:, 0] << 16 | three[:, 1] << 8 | three[:, 2]] = True
        kept = _prefixes[key] = (values, mask)
    return kept[1]


def _maybe_listed(texts: pa.Array, mask: npt.NDArray[np.bool_]) -> Integers:
    """Returns the rows whose first six hex digits some listed value begins with."""
    texts = texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    if data is None:
        return np.zeros(0, np.int64)
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    rows: Integers = _screened(np.frombuffer(data, np.uint8), ends, mask)
    return rows


@njit(cache=True, nogil=True)
def _screened(data: npt.NDArray[np.uint8], ends: Integers, mask: npt.NDArray[np.bool_]) -> Integers:
    kept = np.empty(len(ends) - 1, np.int64)
    count = 0
    for row in range(len(ends) - 1):
        start = ends[row]
        if ends[row + 1] - start < 6:
            continue
        value = 0
        for place in range(start, start + 6):
            digit = data[place]
            if digit >= 97:
                digit -= 87
            elif digit >= 65:
                digit -= 55
            else:
                digit -= 48
            value = value << 4 | (digit & 15)
        if mask[value]:
            kept[count] = row
            count += 1
    return kept[:count]


def _match_views(
    batch: pa.RecordBatch, wanted: RescanLists, name: str, result: PartResult
) -> Iterator[_Found]:
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
    for one, pairs in _search_all(wanted, name, queries, margin):
        view = np.searchsorted(first, pairs[:, 2], "right") - 1
        yield _Found(name, one, parents[view], pairs[:, 0], pairs[:, 1])


def _search_all(
    wanted: RescanLists, name: str, queries: npt.NDArray[np.uint8], margin: int
) -> Iterator[tuple[OpenList, Integers]]:
    """Yields per list every pair (its row, distance, query) within threshold and margin."""
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
            # As judging: within the threshold every pair, beyond it what is met on the way.
            plan = chunking.radii(bits, len(table), threshold)
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
                distance += hamming.popcount(hashes[row, word] ^ queries[query, word])
                if distance > threshold:
                    break
            if distance <= threshold:
                count = hamming.note_pair(found, count, row, distance, query)
    return count


def _note_quality(batch: pa.RecordBatch, name: str, noter: _Noter) -> None:
    """Notes admitted assets with a view too flat, or nearly, for a hash that is now needed."""
    least = perceptual_hashes()[name].min_quality
    if least is None or f"{name}_views" not in batch.schema.names:
        return
    views = batch[f"{name}_views"]
    quality = pc.struct_field(pc.list_flatten(views), "quality").to_numpy()
    rows = np.unique(pc.list_parent_indices(views).to_numpy()[quality < least + QUALITY_MARGIN])
    noter.note_unclear(rows)


def _match_provenance(batch: pa.RecordBatch, wanted: RescanLists, noter: _Noter) -> None:
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
        is_source = sources and _is_column(column, policy.url_columns)
        signals = [name for name in signals if name in wanted.matcher.signal_types]
        if not is_source and not signals:
            continue
        places = np.flatnonzero(labels == number)
        values, rows = items.take(pa.array(places)), parents[places]
        hits: dict[int, list[Any]] = {}
        if is_source:
            hits, bad = wanted.matcher.match_sources(values, column)
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
            stripped = pc.utf8_trim_whitespace(values)
            if signal_type(name).kind is SignalKind.DIGEST:
                noter.note_all(_look_up(stripped, rows, wanted, name))
            else:
                decoded = decode_hex(stripped, signal_type(name).width)
                for source, pairs in _search_all(wanted, name, decoded.values, 0):
                    owners = rows[decoded.rows[pairs[:, 2]]]
                    noter.note_all(iter([_Found(name, source, owners, pairs[:, 0], pairs[:, 1])]))


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


def as_json(result: PartResult) -> Mapping[str, Any]:
    """Returns a result as what JSON can hold."""
    return {
        "shard": result.header.shard,
        "number": result.header.number,
        "total": result.header.total,
        "context": result.header.context,
        "sha256": result.sha256,
        "rows": result.rows,
        "verdicts": dict(result.verdicts),
        "hits": [[getattr(hit, name) for name in Hit.__slots__] for hit in result.hits],
        "unclear": result.unclear,
        "missing": sorted(result.missing),
        "withdrawn": result.withdrawn,
        "suppressed": {name: sorted(ids) for name, ids in sorted(result.suppressed.items())},
        "released": result.released,
    }
