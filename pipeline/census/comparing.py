"""Holding a shard, asset by asset, against what the run says of it and what it let out."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import pyarrow as pa

from ingestgate.assets.containers.container import ReadOptions, RowContainer, SampleContainer
from ingestgate.assets.containers.folder_index import folder_listing
from ingestgate.assets.containers.image_folder import ImageFolder
from ingestgate.assets.shard import Member, Sample, Shard, accountable_members, asset_id
from ingestgate.assets.verdict import REASONS, Action, Reason, Verdict
from ingestgate.pipeline.census.evidence import LedgerRows, Sealed
from ingestgate.pipeline.census.result import Census


def compare_samples(
    census: Census,
    reader: SampleContainer,
    shard: Shard,
    admitted: Shard,
    rows: LedgerRows,
    sealed: Sealed,
    options: ReadOptions,
) -> None:
    """Holds the samples of a shard against the ledger's rows, and the output against both.

    Args:
        census: Counts them, and notes what does not add up.
        reader: Reads the shard's format.
        shard: The shard in the landing zone.
        admitted: The same in the output.
        rows: The ledger's.
        sealed: The manifest's.
        options: As the run's policy has them.
    """
    let_in = (_digest(sample) for sample in _samples(reader, admitted, options))
    for sample in _samples(reader, shard, options):
        verdicts = []
        for member in accountable_members(sample):
            row = rows.next()
            content = None if member.content is None else _sha256(member.content)
            known = asset_id(shard.name, member.name, member.field, member.discriminator)
            if rows.purged and _has_moved(row, member, content):
                known = row["asset_id"]
            verdicts.append(_verdict(census, shard, row, known, member.name, content))
            if verdicts[-1] == Verdict.QUARANTINED:
                sealed.claim(census, shard, known, member.name)
        if len(set(verdicts)) != 1:
            census.object(f"{shard.name}: {sample.key}: its assets have different verdicts")
        if verdicts[0] == Verdict.ADMITTED and next(let_in, None) != _digest(sample):
            census.object(f"{shard.name}: {sample.key}: admitted, but not so in the output")
            return
    if next(let_in, None) is not None:
        census.object(f"{shard.name}: the output holds samples that were not admitted")
    if shard.format == ImageFolder.name and _metadata(admitted) - _metadata(shard):
        census.object(f"{shard.name}: the output holds metadata files that were not admitted")


def compare_rows(
    census: Census,
    reader: RowContainer,
    shard: Shard,
    admitted: Shard,
    rows: LedgerRows,
    sealed: Sealed,
    options: ReadOptions,
) -> None:
    """Holds the rows of a shard against the ledger's, as `compare_samples` does samples."""
    let_in = _TableStream(
        reader.read_rows(admitted, work) for work in reader.cut(admitted, options)
    )
    for work in reader.cut(shard, options):
        table = reader.read_rows(shard, work)
        keep = []
        for number in range(work.first, work.first + table.num_rows):
            row = rows.next()
            known = asset_id(shard.name, str(number))
            if rows.purged and row is not None and row["member"].isdecimal():
                known = row["asset_id"]
            verdict = _verdict(census, shard, row, known, str(number), None)
            keep.append(verdict == Verdict.ADMITTED)
            if verdict == Verdict.QUARANTINED:
                sealed.claim(census, shard, known, str(number))
        kept = table.filter(pa.array(keep, pa.bool_()))
        if not _bits(let_in.take(kept.num_rows)).equals(_bits(kept)):
            census.object(f"{shard.name}: rows from {work.first} on: not as admitted in the output")
            return
    if let_in.take(1).num_rows:
        census.object(f"{shard.name}: the output holds rows that were not admitted")


def _verdict(
    census: Census,
    shard: Shard,
    row: dict[str, Any] | None,
    known: str,
    member: str,
    content: str | None,
) -> str:
    """Counts one asset and returns its verdict, "" where the ledger has none for it."""
    census.inputs += 1
    if row is None or row["asset_id"] != known:
        census.object(f"{shard.name}: {member}: has no ledger row in its place")
        return ""
    if content is not None and row["sha256"] != content:
        census.object(f"{shard.name}: {member}: is not the asset that was judged")
    if Reason(row["reason"]) not in REASONS[Verdict(row["verdict"])]:
        census.object(f"{shard.name}: {member}: {row['verdict']} because {row['reason']}")
    census.counts[row["verdict"]] += 1
    if row["verdict"] == Verdict.ADMITTED:
        _count_suppressed(census, shard, row["findings"], member)
    return str(row["verdict"])


def _count_suppressed(
    census: Census, shard: Shard, findings: Sequence[dict[str, Any]], member: str
) -> None:
    census.suppressed += any(finding["suppression"] for finding in findings)
    if any(f["action"] != Action.OBSERVE and not f["suppression"] for f in findings):
        census.object(f"{shard.name}: {member}: admitted, though it matched")


def _has_moved(
    row: dict[str, Any] | None, member: Member, content: str | None
) -> TypeGuard[dict[str, Any]]:
    """Whether a row is of this member, but for where it stood before the shard was purged."""
    if row is None or (row["field"], row["sha256"]) != (member.field, content):
        return False
    numbered = member.name == str(member.position) and row["member"].isdecimal()
    return bool(numbered or row["member"] == member.name)


def _samples(reader: SampleContainer, shard: Shard, options: ReadOptions) -> Iterator[Sample]:
    for work in reader.cut(shard, options):
        yield from reader.read(shard, work, options)


def _metadata(folder: Shard) -> set[str]:
    return {item.name for item in folder_listing(folder).metadata}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(sample: Sample) -> str:
    """Returns a digest of a sample that does not depend on where in its shard it stands."""
    members = [
        (
            # A row's name is its number, which changes when rows before it are taken out.
            "" if member.name == str(member.position) else member.name,
            member.field,
            member.kind,
            None if member.content is None else _sha256(member.content),
        )
        for member in sample.members
    ]
    return _sha256(json.dumps([members, sorted(sample.provenance.items())]).encode())


def _bits(table: pa.Table) -> pa.Table:
    """Returns a table with the bits of its floats, at any depth: NaN is unequal to itself."""
    fields = [_of_bits(field) for field in table.schema]
    columns = [
        pa.chunked_array([chunk.view(field.type) for chunk in column.chunks], field.type)
        if field.type != column.type
        else column
        for field, column in zip(fields, table.columns, strict=True)
    ]
    # Without columns, rows are all there is to compare.
    return pa.Table.from_arrays(columns, schema=pa.schema(fields)) if columns else table


def _of_bits(field: pa.Field) -> pa.Field:
    kind, types = field.type, pa.types
    if types.is_floating(kind):
        kind = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
    elif types.is_struct(kind):
        kind = pa.struct([_of_bits(child) for child in kind])
    elif types.is_map(kind):
        kind = pa.map_(_of_bits(kind.key_field), _of_bits(kind.item_field), kind.keys_sorted)
    elif types.is_fixed_size_list(kind):
        kind = pa.list_(_of_bits(kind.value_field), kind.list_size)
    else:
        for is_such, such in (
            *((types.is_list, pa.list_), (types.is_large_list, pa.large_list)),
            *((types.is_list_view, pa.list_view), (types.is_large_list_view, pa.large_list_view)),
        ):
            if is_such(kind):
                kind = such(_of_bits(kind.value_field))
                break
    return field.with_type(kind)


class _TableStream:
    """Tables one after another, taken in slices of any length."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest: list[pa.Table] = []

    def take(self, rows: int) -> pa.Table:
        """Returns the next rows; fewer at the end."""
        while not self._rest or sum(table.num_rows for table in self._rest) < rows:
            table = next(self._tables, None)
            if table is None:
                break
            self._rest.append(table)
        joined = pa.concat_tables(self._rest) if self._rest else pa.table({})
        rows = min(rows, joined.num_rows)  # without columns, a slice is as long as it is told
        self._rest = [joined.slice(rows)]
        return joined.slice(0, rows)
