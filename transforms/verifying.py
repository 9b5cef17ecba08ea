"""Comparing a shard with what was judged, before anything is done on the strength of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ingestgate.assets.containers.container import ReadOptions, RowContainer, SampleContainer
from ingestgate.assets.errors import ShardError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.shard import (
    Member,
    Sample,
    Shard,
    WorkRange,
    accountable_members,
    sidecar_members,
)
from ingestgate.fingerprints.digests import digests_of
from ingestgate.transforms.batching import batches

_ROWS_PER_BATCH = 1024
#: Hex SHA-256 by a member's identity: of two columns, both may call a member the same.
_Digests = dict[int, str]
_VERIFIED = ["member", "field", "position", "verdict", "size", "sha256", "sidecars"]


def verified_samples(
    reader: SampleContainer, shard: Shard, work: WorkRange, table: pa.Table, options: ReadOptions
) -> Iterator[tuple[Sample, int, set[str]]]:
    """Yields each sample of a range, compared with its ledger rows.

    Args:
        reader: The shard's format.
        shard: The shard.
        work: The range.
        table: Its ledger part.
        options: As it was read when it was judged.

    Yields:
        The sample, the number of its first row in the ledger part, and its rows' verdicts.

    Raises:
        ShardError: The shard does not hold what was judged.
    """
    rows = row_dicts(table.select(_VERIFIED))
    number = 0
    for sample, digests in _digested(reader.read(shard, work, options)):
        first = number
        verdicts = set()
        for member in accountable_members(sample):
            row = next(rows, None)
            if row is None or not _is_same(member, digests, row):
                raise changed(shard, member.name)
            if number == first and not _are_same(sidecar_members(sample), digests, row):
                raise changed(shard, member.name)
            verdicts.add(row["verdict"])
            number += 1
        yield sample, first, verdicts
    if next(rows, None) is not None:
        raise changed(shard, f"range {work.number}")


def verify_range(
    reader: SampleContainer | RowContainer, shard: Shard, work: WorkRange, header: PartHeader
) -> None:
    """Compares a range's raw bytes, for formats verified by range.

    Raises:
        ShardError: They are not what was judged.
    """
    if reader.range_sha256(shard, work) != header.range_sha256:
        raise changed(shard, f"range {work.number}")


def row_dicts(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yields a table's rows, some hundred in memory at a time."""
    for start in range(0, table.num_rows, _ROWS_PER_BATCH):
        yield from table.slice(start, _ROWS_PER_BATCH).to_pylist()


def changed(shard: Shard, where: str) -> ShardError:
    """Returns the error of a shard that is no longer what was judged."""
    return ShardError(
        shard.name,
        f"{where} is no longer what was judged; nothing of it was admitted or removed. "
        "Find out what writes to the landing zone during a run, then run again",
    )


def _digested(samples: Iterable[Sample]) -> Iterator[tuple[Sample, _Digests]]:
    """Yields each sample with its members' digests."""
    for batch in batches(samples):
        contents = [member.content or b"" for sample in batch for member in sample.members]
        found = iter(digests_of(contents, ("sha256",)))
        for sample in batch:
            yield sample, {id(member): next(found)["sha256"] for member in sample.members}


def _is_same(member: Member, digests: _Digests, row: Mapping[str, Any]) -> bool:
    locator = (row["member"], row["field"], row["position"])
    if locator != (member.name, member.field, member.position):
        return False
    if member.content is None:
        return row["size"] is None
    return bool(row["sha256"] == digests[id(member)])


def _are_same(sidecars: Sequence[Member], digests: _Digests, row: Mapping[str, Any]) -> bool:
    """Whether a sample's sidecars are those that its first row names."""
    there = [(member.name, member.position, digests[id(member)]) for member in sidecars]
    return there == [(one["member"], one["position"], one["sha256"]) for one in row["sidecars"]]
