"""The census: every input member has exactly one verdict, and the outputs show it.

It re-reads landing zone, admitted shards, ledger, manifests and sealed objects, and takes nothing
from the run but what lies there: it imports nothing that plans, judges or commits. With the run it
shares what reads these files, and what names an asset. So that nothing is missed by both, shards
are counted a second time without any of it, see `plain_counting`.

Per shard, in reading order: the ledger's rows are the input's assets, one each; the admitted
shard holds exactly the samples of which every asset is admitted, unchanged and in order; every
quarantined asset has one manifest row, whose sealed object is there with the digest stated. Of
what a purge took out of the landing zone there is the purge's receipt, in its place.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeGuard

import pyarrow as pa

from ingestgate.assets import ledger, storage
from ingestgate.assets.containers.container import ReadOptions, RowContainer, SampleContainer
from ingestgate.assets.containers.discovery import discover
from ingestgate.assets.containers.registry import container
from ingestgate.assets.errors import GateError
from ingestgate.assets.purges import read_purge
from ingestgate.assets.receipts import Receipt, read_receipt
from ingestgate.assets.shard import Member, Sample, Shard, accountable_members, asset_id
from ingestgate.assets.verdict import REASONS, Action, Reason, Verdict
from ingestgate.pipeline import plain_counting
from ingestgate.pipeline.statements import FOLDER
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import objects_named_in
from ingestgate.quarantine.manifest import read_manifest_file
from ingestgate.quarantine.manifest_checking import check_manifest
from ingestgate.quarantine.sealed_manifests import SealedManifest

_PROBLEMS_KEPT = 100
_COLUMNS = ["asset_id", "member", "field", "verdict", "reason", "sha256", "findings"]


@dataclass(slots=True)
class Census:
    """What was found.

    Attributes:
        inputs: Assets in the landing zone, and those purged from it.
        counts: Assets by verdict, as the outputs show it.
        purged: How many of the quarantined are no longer in the landing zone, by receipt.
        suppressed: How many of the admitted matched, and were let pass by a suppression.
        shards: Shards looked at.
        problems: What does not add up; the first hundred.
        problem_count: How many there are.
    """

    inputs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    purged: int = 0
    suppressed: int = 0
    shards: int = 0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0

    def object(self, problem: str) -> None:
        """Notes what does not add up."""
        self.problem_count += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(problem)

    @property
    def exact(self) -> bool:
        """Whether everything adds up."""
        return not self.problem_count and self.inputs == sum(self.counts.values())

    def as_dict(self) -> dict[str, Any]:
        """Returns it for ``--json``."""
        return {
            "exact": self.exact,
            "inputs": self.inputs,
            "counts": {verdict.value: self.counts[verdict] for verdict in Verdict},
            "purged": self.purged,
            "suppressed": self.suppressed,
            "shards": self.shards,
            "problems": self.problems,
            "problem_count": self.problem_count,
        }


def take_census(
    inputs: Sequence[str],
    output: str,
    quarantine: str,
    evidence: str,
    *,
    format: str | None = None,
    options: ReadOptions | None = None,
) -> Census:
    """Takes the census of a run.

    Args:
        inputs: The landing zone, as given to the run.
        output: The run's output.
        quarantine: Its quarantine.
        evidence: Its evidence.
        format: As given to the run.
        options: As the run's policy has them.
    """
    census = Census()
    output, quarantine, evidence = map(storage.absolute, (output, quarantine, evidence))
    options = options or ReadOptions()
    expected: set[str] = set()
    vault = _Vault(quarantine)
    for shard in discover(inputs, format).shards:
        census.shards += 1
        receipt = read_receipt(evidence, shard.name)
        expected.update(entry["name"] for entry in (receipt.outputs if receipt else ()))
        try:
            purged = _purged(evidence, shard, receipt)
            if receipt is None or purged is None:
                census.object(f"{shard.name}: no receipt for the shard as it is now")
                continue
            _count_shard(census, shard, receipt, purged, output, vault, evidence, options)
        except GateError as error:
            census.object(str(error))
    for entry in storage.walk(output) if storage.exists(output) else []:
        name = entry.path.removeprefix(f"{output}/")
        if name.startswith(f"{FOLDER}/"):  # statements about the output; `verify` looks at them
            continue
        if name not in expected and not any(name.startswith(f"{known}/") for known in expected):
            census.object(f"{name}: in the output, but admitted by no receipt")
    return census


def _count_shard(
    census: Census,
    shard: Shard,
    receipt: Receipt,
    purged: frozenset[str],
    output: str,
    vault: "_Vault",
    evidence: str,
    options: ReadOptions,
) -> None:
    if receipt.manifest:
        said = SealedManifest.of(receipt.manifest, receipt.manifest_digests)
        for fault in check_manifest(vault.root, said):
            about = f" ({', '.join(fault.assets)})" if fault.assets else ""
            census.object(f"{shard.name}: {fault.detail}{about}")
    sealed = _Sealed(vault, receipt.manifest)
    rows = _Rows(census, evidence, shard, receipt, sealed, purged)
    admitted = shard._replace(
        path=storage.join(output, shard.name),
        parts=[storage.join(output, entry["name"]) for entry in receipt.outputs[1:]],
        size=sum(entry["size"] for entry in receipt.outputs),
        identity=hashlib.sha256(repr(receipt.outputs).encode()).hexdigest(),
    )
    reader = container(shard.format)
    if isinstance(reader, RowContainer):
        _compare_rows(census, reader, shard, admitted, rows, sealed, options)
    else:
        _compare_samples(census, reader, shard, admitted, rows, sealed, options)
    _count_plainly(census, shard, admitted, receipt, evidence, purged)
    if rows.next() is not None:
        census.object(f"{shard.name}: the ledger has rows for assets the input does not hold")
    for name in sealed.unclaimed():
        census.object(f"{shard.name}: the manifest has a row for {name}, the ledger does not")


def _count_plainly(
    census: Census,
    shard: Shard,
    admitted: Shard,
    receipt: Receipt,
    evidence: str,
    purged: frozenset[str],
) -> None:
    held = plain_counting.count(shard)
    if held is None:
        return
    columns = ["asset_id", "member", "position", "verdict", "sidecars"]
    rows = [
        row
        for batch in _ledger(evidence, shard, receipt, columns)
        for row in batch.to_pylist()
        if row["asset_id"] not in purged
    ]
    let_in = plain_counting.count(admitted) if receipt.outputs else None
    for difference in plain_counting.differences(held, rows, let_in):
        census.object(f"{shard.name}: counted without the gate's readers, there is {difference}")


def _ledger(
    evidence: str, shard: Shard, receipt: Receipt, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    root = storage.join(evidence, "ledger")
    for number in range(receipt.ranges):
        _, table = ledger.read_part(ledger.part_path(root, shard.name, number))
        yield from table.select(columns).to_batches(max_chunksize=4096)


def _compare_samples(
    census: Census,
    reader: SampleContainer,
    shard: Shard,
    admitted: Shard,
    rows: "_Rows",
    sealed: "_Sealed",
    options: ReadOptions,
) -> None:
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


def _compare_rows(
    census: Census,
    reader: RowContainer,
    shard: Shard,
    admitted: Shard,
    rows: "_Rows",
    sealed: "_Sealed",
    options: ReadOptions,
) -> None:
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
        if not let_in.take(kept.num_rows).equals(kept):
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


def _purged(evidence: str, shard: Shard, receipt: Receipt | None) -> frozenset[str] | None:
    """Returns the assets that a purge took out of a shard; None if it is not what was judged."""
    if receipt is None:
        return None
    if receipt.identity == shard.identity:
        return frozenset()
    purge = read_purge(evidence, shard.name, receipt.identity)
    if purge is None or purge.identity != shard.identity:
        return None
    return frozenset(purge.assets)


class _Rows:
    """The ledger's rows of a shard, one after another.

    Those that a purge took out of the shard are counted, and passed over.
    """

    def __init__(
        self,
        census: Census,
        evidence: str,
        shard: Shard,
        receipt: Receipt,
        sealed: "_Sealed",
        purged: frozenset[str],
    ) -> None:
        self.purged = purged
        self._rows = self._read(evidence, shard, receipt)
        self._census = census
        self._shard = shard
        self._sealed = sealed

    def next(self) -> dict[str, Any] | None:
        for row in self._rows:
            if row["asset_id"] not in self.purged:
                return row
            self._count_purged(row)
        return None

    def _count_purged(self, row: dict[str, Any]) -> None:
        self._census.inputs += 1
        self._census.purged += 1
        self._census.counts[row["verdict"]] += 1
        if row["verdict"] != Verdict.QUARANTINED:
            problem = f"{self._shard.name}: {row['member']}: purged, but not quarantined"
            self._census.object(problem)
        self._sealed.claim(self._census, self._shard, row["asset_id"], row["member"])

    @staticmethod
    def _read(evidence: str, shard: Shard, receipt: Receipt) -> Iterator[dict[str, Any]]:
        for batch in _ledger(evidence, shard, receipt, _COLUMNS):
            yield from batch.to_pylist()


class _Vault:
    """The quarantine; its audit log is read once something is looked up in it."""

    def __init__(self, root: str) -> None:
        self.root = root

    @cached_property
    def holding(self) -> Holding:
        return Holding(self.root, read_log(self.root))


class _Sealed:
    """The manifest's rows of a shard, claimed one by one."""

    def __init__(self, vault: _Vault, stem: str) -> None:
        self._vault = vault
        self._rows: dict[str, dict[str, Any]] = {}
        self._checked: dict[str, bool] = {}
        self._twice: list[str] = []
        if stem:
            path = storage.join(vault.root, "manifest", f"{stem}.jsonl")
            for row in read_manifest_file(path):
                if row["asset_id"] in self._rows:
                    self._twice.append(row["member"])
                self._rows[row["asset_id"]] = row

    def claim(self, census: Census, shard: Shard, known: str, member: str) -> None:
        row = self._rows.pop(known, None)
        if row is None:
            census.object(f"{shard.name}: {member}: quarantined, but in no manifest")
        elif not self._is_sealed(row):
            census.object(f"{shard.name}: {member}: its sealed object or key is missing or changed")

    def unclaimed(self) -> list[str]:
        return self._twice + [row["member"] for row in self._rows.values()]

    def _is_sealed(self, row: dict[str, Any]) -> bool:
        path = row["sealed_object"]
        if path not in self._checked:
            (named,) = objects_named_in([row]).values()
            self._checked[path] = self._vault.holding.accounts_for(named)
        return self._checked[path]


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
        self._rest = [joined.slice(rows)]
        return joined.slice(0, rows)
