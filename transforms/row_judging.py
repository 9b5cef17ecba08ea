"""Judging rows that only point at assets: sources and declared digests, over Arrow columns.

The same checks as `transforms.judging` makes of an asset's provenance, column by column
instead of asset by asset; a test holds one against the other.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.carrying import LEAST, carried_in_list, carries
from ingestgate.assets.containers.arrow_text import decoded_table, hexed
from ingestgate.assets.errors import ShardError
from ingestgate.assets.ledger import FINDING_TYPE
from ingestgate.assets.provenance import SIDECAR_ERROR, flatten, free_name
from ingestgate.assets.shard import Shard, WorkRange, asset_id
from ingestgate.assets.verdict import Finding, Reason, SignalKind, Verdict, tier
from ingestgate.blocklists.columns import decode_hex, present_rows, rows_saying_source
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import signal_types
from ingestgate.transforms.carried_rows import places, rows_that_carry
from ingestgate.transforms.earlier_matches import EarlierMatches
from ingestgate.transforms.judging import recorded_columns
from ingestgate.transforms.long_lists import refuse_long_lists
from ingestgate.transforms.policy import Policy, matches_column

#: Reasons a row is held for, by code; of several the first stands. Code 0: not held.
_HELD = (
    Reason.CLEAN,
    Reason.BAD_SOURCE,
    Reason.BAD_DECLARED_HASH,
    Reason.BAD_SIDECAR,
    Reason.NO_SOURCE,
    Reason.NOTHING_TO_CHECK,
    Reason.UNSUPPORTED_MEDIA,
)


#: Bytes of column names, each as often as a row of a range has it in the ledger.
_MOST_NAMES = 1 << 28

_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


class _Checks:
    """What has been found out about the rows of one range so far."""

    def __init__(self, rows: int) -> None:
        self.findings: dict[int, list[Finding]] = {}
        self.kept: set[int] = set()
        self.held = np.zeros(rows, np.uint8)
        self.has_source = np.zeros(rows, bool)
        self.has_candidate = np.zeros(rows, bool)

    def hold(self, rows: npt.NDArray[np.bool_ | np.int64], reason: Reason) -> None:
        """Holds rows (indices or a mask) for a reason, unless they are held for another."""
        chosen = np.zeros(len(self.held), bool)
        chosen[rows] = True
        self.held[chosen & (self.held == 0)] = _HELD.index(reason)

    def find(self, row: int, findings: list[Finding]) -> None:
        if findings:
            self.findings.setdefault(row, []).extend(findings)


def judge_rows(
    policy: Policy,
    lists: ListSet,
    shard: Shard,
    work: WorkRange,
    table: pa.Table,
    schema: pa.Schema,
    earlier: EarlierMatches | None = None,
) -> pa.Table:
    """Judges the rows of one range.

    Args:
        policy: The policy.
        lists: The opened lists.
        shard: The shard; its name goes into the rows.
        work: The range; ``first`` is the number of the table's row 0.
        table: The rows with every column.
        schema: The ledger's.
        earlier: What of the shard was quarantined before, and stays so; None: nothing was.

    Returns:
        The ledger's rows, in the order of the table's.

    Raises:
        ShardError: A column is of a kind that has no text, names are too long for so many rows,
            lists hold too much, or one carries a picture.
    """
    refuse_long_lists(shard, table)
    try:
        table, undecoded = decoded_table(table)
        # Text that is none is bytes, and so is what a picture was made text of: nobody judges them.
        unreadable = dict.fromkeys(undecoded, Reason.UNSUPPORTED_MEDIA)
        columns = _text_columns(table, unreadable)
    except (pa.ArrowException, UnicodeDecodeError) as error:  # which may quote a value
        raise ShardError(
            shard.name,
            f"has a column that cannot be read as text ({type(error).__name__}); leave it out, or "
            "write it as text",
        ) from None
    if carries(table.column_names):
        raise ShardError(shard.name, "the name of a column carries a picture")
    for column in columns.values():
        for place in rows_that_carry(column.values):
            row = place if column.rows is None else int(column.rows[place])
            unreadable[row] = Reason.UNSUPPORTED_MEDIA
    checks = _Checks(table.num_rows)
    for reason in set(unreadable.values()):
        rows = [row for row, why in unreadable.items() if why is reason]
        checks.hold(np.asarray(rows, np.int64), reason)
    for name, column in columns.items():
        if matches_column(name, policy.source_columns):
            _check_sources(lists, name, column, checks)
        elif matches_column(name, policy.likely_source_columns):
            _check_sources(lists, name, column, checks, said_only=True)
    for signal, patterns in policy.digest_columns.items():
        for name, column in columns.items():
            if matches_column(name, patterns):
                _check_declared(lists, signal, name, column, checks)
    if policy.require_source:
        checks.hold(~checks.has_source, Reason.NO_SOURCE)
    checks.hold(~(checks.has_source | checks.has_candidate), Reason.NOTHING_TO_CHECK)
    recorded = {name: columns[name] for name in recorded_columns(columns, policy)}
    if _name_bytes(recorded) > _MOST_NAMES:
        raise ShardError(
            shard.name,
            f"names of columns take more than {_MOST_NAMES >> 20} MiB in range {work.number}, as "
            "often as its rows have them; give them shorter names, or write fewer rows to a file",
        )
    provenance = _provenance(recorded, table.num_rows)
    if earlier is not None:
        _keep(earlier, shard, work, provenance, checks)
    return _ledger(shard, work, checks, provenance, schema)


def _keep(
    earlier: EarlierMatches,
    shard: Shard,
    work: WorkRange,
    provenance: pa.MapArray,
    checks: _Checks,
) -> None:
    """Keeps in the quarantine what was in it and matches nothing any more."""
    for row in earlier.candidates(provenance, work.first):
        if tier(checks.findings.get(row, ())) is not None:
            continue
        known = asset_id(shard.name, str(work.first + row))
        if before := earlier.findings_of(known, None, dict(provenance[row].as_py())):
            checks.find(row, list(before))
            checks.kept.add(row)


class _Column(NamedTuple):
    """Values as text, the row of each (None: 1 to 1), and whether names number them by place."""

    values: pa.Array
    rows: npt.NDArray[np.int64] | None
    numbered: bool


def _text_columns(table: pa.Table, unreadable: dict[int, Reason]) -> dict[str, _Column]:
    """Returns everything in the rows as text, by name; no name hides another.

    Rows of which a part has no text are added to ``unreadable``.
    """
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    columns: dict[str, _Column] = {}
    numbers: dict[str, int] = {}
    for name, chunked in zip(table.column_names, table.columns, strict=True):
        column = chunked.combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        rows = None
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        if is_list and _is_flat(column.type.value_type):
            # Of a list that is null there may be items all the same, which no reader shows.
            there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
            column = column.drop_null()
            rows = there[pc.list_parent_indices(column).to_numpy()]
            long = places(pc.greater_equal(pc.list_value_length(column), LEAST))
            for place in long.tolist():
                if carried_in_list(column[place].as_py()) is not None:
                    unreadable[int(there[place])] = Reason.UNSUPPORTED_MEDIA
            column = pc.list_flatten(column)
        if _is_flat(column.type):
            columns[free_name(name, columns, numbers)] = _Column(
                _as_text(column), rows, rows is not None
            )
            continue
        for path, sparse in _unnested(name, column, unreadable).items():
            columns[free_name(path, columns, numbers)] = sparse
    return columns


def _is_flat(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_flat(kind.value_type)
    return not (pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType))


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if any(is_bytes(column.type) for is_bytes in _BYTES):
        # A digest in raw form; bytes of any other meaning are no provenance.
        return pa.array([None if v is None else v.hex() for v in column.to_pylist()], pa.string())
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def _unnested(name: str, column: pa.Array, unreadable: dict[int, Reason]) -> dict[str, _Column]:
    """Names what is nested in a column as assets' records are; a column for each name.

    Rows that have no Python form are added to ``unreadable``.
    """
    found: dict[str, tuple[list[int], list[str]]] = {}
    for row in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist():
        try:
            value = column[row].as_py()
        except (ValueError, OverflowError, pa.ArrowException):
            unreadable[row] = Reason.BAD_SOURCE
            continue
        flat = flatten({name: hexed(value, column.type)})
        if SIDECAR_ERROR in flat:
            unreadable[row] = Reason.BAD_SIDECAR
            continue
        if carries(value):
            unreadable[row] = Reason.UNSUPPORTED_MEDIA
        for path, text in flat.items():
            rows, texts = found.setdefault(path, ([], []))
            rows.append(row)
            texts.append(text)
    return {
        path: _Column(pa.array(texts, pa.string()), np.asarray(rows, np.int64), False)
        for path, (rows, texts) in found.items()
    }


def _note_hits(checks: _Checks, hits: dict[int, list[Finding]], column: _Column) -> None:
    rows = column.rows
    for index, findings in hits.items():
        if rows is None:
            checks.find(index, findings)
            continue
        row = int(rows[index])
        if not column.numbered:
            checks.find(row, findings)
            continue
        place = index - int(np.searchsorted(rows, row))
        checks.find(row, [found._replace(view=f"{found.view}[{place}]") for found in findings])


def _check_sources(
    lists: ListSet,
    name: str,
    column: _Column,
    checks: _Checks,
    *,
    said_only: bool = False,
) -> None:
    """Checks a column of sources; or, of one that may hold some, only holds what says it is one."""
    rows = column.rows
    present = present_rows(column.values)
    matches = lists.match_sources(column.values, name)
    _note_hits(checks, matches.hits, column)
    bad = np.asarray(matches.bad, np.int64)
    if said_only:
        said = rows_saying_source(column.values)
        present, bad = np.intersect1d(present, said), np.intersect1d(bad, said)
    checks.has_source[present if rows is None else rows[present]] = True
    checks.hold(bad if rows is None else rows[bad], Reason.BAD_SOURCE)


def _check_declared(
    lists: ListSet,
    signal: str,
    name: str,
    column: _Column,
    checks: _Checks,
) -> None:
    rows = column.rows
    present = present_rows(column.values)
    checks.has_candidate[present if rows is None else rows[present]] = True
    view = f"declared:{name}"
    hits: dict[int, list[Finding]]
    if signal_types()[signal].kind is SignalKind.DIGEST:
        matches = lists.match_digests(signal, column.values, view)
        hits, bad = matches.hits, np.asarray(matches.bad, np.int64)
    else:
        hits, bad = _match_declared_perceptual(lists, signal, column.values, view)
    _note_hits(checks, hits, column)
    checks.hold(bad if rows is None else rows[bad], Reason.BAD_DECLARED_HASH)


def _match_declared_perceptual(
    lists: ListSet, signal: str, column: pa.Array, view: str
) -> tuple[dict[int, list[Finding]], npt.NDArray[np.int64]]:
    values = decode_hex(column, signal_types()[signal].width)
    hits: dict[int, list[Finding]] = {}
    if signal in lists.signal_types:
        queries = list(values.values[:, np.newaxis])
        found = lists.match_perceptual_each(signal, queries, [[view]] * len(queries))
        hits = dict(zip(values.rows.tolist(), found, strict=True))
    return hits, np.asarray(values.bad, np.int64)


def _name_bytes(columns: dict[str, _Column]) -> int:
    """Returns how long all names are together, each as often as there is a value of it."""
    counts = (
        (name, len(column.values) - column.values.null_count) for name, column in columns.items()
    )
    return sum(len(name.encode()) * count for name, count in counts)


def _provenance(columns: dict[str, _Column], rows: int) -> pa.MapArray:
    """Interleaves columns into one map per row, leaving nulls out; no Python per row."""
    names: list[str] = []
    labels, owners = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    values = [pa.array([], pa.string())]
    for name, (column, parents, numbered) in columns.items():
        valid = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        base = len(names)
        if parents is None:
            owner, label = valid, np.full(len(valid), base)
            names.append(name)
        elif not numbered:
            owner, label = parents[valid], np.full(len(valid), base)
            names.append(name)
        else:
            owner = parents[valid]
            place = valid - np.searchsorted(parents, owner)
            label = base + place
            names += [f"{name}[{number}]" for number in range(int(place.max(initial=-1)) + 1)]
        owners.append(owner)
        labels.append(label)
        values.append(column.take(pa.array(valid)))
    owned = np.concatenate(owners)
    order = np.argsort(owned, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owned, minlength=rows))])
    keys = pa.array(names, pa.string()).take(pa.array(np.concatenate(labels)[order]))
    items = pa.concat_arrays(values).take(pa.array(order))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items)


def _findings(findings: dict[int, list[Finding]], rows: int) -> pa.ListArray:
    counts = np.zeros(rows, np.int64)
    for row, found in findings.items():
        counts[row] = len(found)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    values = [finding._asdict() for row in sorted(findings) for finding in findings[row]]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, FINDING_TYPE))


def _ledger(
    shard: Shard,
    work: WorkRange,
    checks: _Checks,
    provenance: pa.MapArray,
    schema: pa.Schema,
) -> pa.Table:
    rows = len(checks.held)
    verdict = np.where(checks.held == 0, Verdict.ADMITTED.value, Verdict.UNSCANNABLE.value)
    verdict = verdict.astype(object)
    reason = np.array([reason.value for reason in _HELD], object)[checks.held]
    tiers: list[str | None] = [None] * rows
    for row, findings in checks.findings.items():
        tiers[row] = tier(findings)
        if tiers[row] is not None:
            verdict[row] = Verdict.QUARANTINED.value
            reason[row] = (Reason.MATCHED_BEFORE if row in checks.kept else Reason.MATCHED).value
    numbers = range(work.first, work.first + rows)
    members = [str(number) for number in numbers]
    known = {
        "asset_id": [asset_id(shard.name, member) for member in members],
        "shard": pa.repeat(shard.name, rows),
        "member": members,
        "field": pa.repeat("", rows),
        "position": np.arange(work.first, work.first + rows, dtype=np.int64),
        "sample": members,
        "verdict": verdict,
        "reason": reason,
        "tier": tiers,
        "findings": _findings(checks.findings, rows),
        "media_type": pa.repeat("", rows),
        "provenance": provenance,
        "sidecars": pa.ListArray.from_arrays(
            pa.array(np.zeros(rows + 1), pa.int32()),
            pa.array([], schema.field("sidecars").type.value_type),
        ),
    }
    return pa.table(
        [
            pa.array(known[field.name], field.type)
            if isinstance(known.get(field.name), list | np.ndarray)
            else known.get(field.name, pa.nulls(rows, field.type)).cast(field.type)
            for field in schema
        ],
        schema=schema,
    )
