"""What a run left on record of a shard, as a census reads it: ledger, manifest, purge."""

from collections.abc import Iterator, Set
from typing import Any

import pyarrow as pa

from ingestgate.assets import ledger, storage
from ingestgate.assets.evidence import records
from ingestgate.assets.receipts import Receipt, purge_of, read_receipt
from ingestgate.assets.shard import Shard
from ingestgate.assets.verdict import Verdict
from ingestgate.pipeline.census.result import Census
from ingestgate.quarantine.audit import log_path, read_log
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import NamedObject, objects_named_in
from ingestgate.quarantine.manifest import read_manifest_file

_COLUMNS = ["asset_id", "member", "field", "verdict", "reason", "sha256", "findings"]


def ledger_batches(
    evidence: str, shard: Shard, receipt: Receipt, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yields some columns of a shard's ledger, in order."""
    root = storage.join(evidence, "ledger")
    for number in range(receipt.ranges):
        _, table = ledger.read_part(ledger.part_path(root, shard.name, number))
        yield from table.select(columns).to_batches(max_chunksize=4096)


def purged_assets(evidence: str, shard: Shard, receipt: Receipt | None) -> frozenset[str] | None:
    """Returns the assets that a purge took out of a shard; None if it is not what was judged."""
    if receipt is None:
        return None
    if receipt.identity == shard.identity:
        return frozenset()
    purge = purge_of(evidence, shard, receipt)
    return None if purge is None else frozenset(purge.assets)


def admitted_of_others(evidence: str, shards: Set[str]) -> frozenset[str]:
    """Returns the names of the files that were admitted of all shards but some."""
    names = records(storage.join(evidence, "receipts")).keys() - shards
    receipts = (read_receipt(evidence, name) for name in sorted(names))
    return frozenset(
        str(entry["name"]) for receipt in receipts if receipt for entry in receipt.outputs
    )


class Vault:
    """The quarantine; its audit log is read once something is looked up in it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._size = -1
        self._holding: Holding | None = None

    def accounts_for(self, named: NamedObject) -> bool:
        """Whether an object is there as it was sealed, or was destroyed on record.

        Before it is said that it is not, it is held against the log as that is by now: keys may
        have been rewrapped, or samples destroyed, since the log was read.
        """
        while self._holding is None or not self._holding.accounts_for(named):
            path = log_path(self.root)
            size = storage.status(path).size if storage.exists(path) else 0
            if size == self._size:
                return False
            self._holding = Holding(self.root, read_log(self.root))
            self._size = size
        return True


class Sealed:
    """The manifest's rows of a shard, claimed one by one."""

    def __init__(self, vault: Vault, stem: str) -> None:
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
        """Takes the row of one quarantined asset; notes if there is none, or nothing sealed."""
        row = self._rows.pop(known, None)
        if row is None:
            census.object(f"{shard.name}: {member}: quarantined, but in no manifest")
        elif not self._is_sealed(row):
            census.object(f"{shard.name}: {member}: its sealed object or key is missing or changed")

    def unclaimed(self) -> list[str]:
        """Returns the members of the rows that nothing claimed, or that are there twice."""
        return self._twice + [row["member"] for row in self._rows.values()]

    def _is_sealed(self, row: dict[str, Any]) -> bool:
        path = row["sealed_object"]
        if path not in self._checked:
            (named,) = objects_named_in([row]).values()
            self._checked[path] = self._vault.accounts_for(named)
        return self._checked[path]


class LedgerRows:
    """The ledger's rows of a shard, one after another.

    Those that a purge took out of the shard are counted, and passed over.
    """

    def __init__(
        self,
        census: Census,
        evidence: str,
        shard: Shard,
        receipt: Receipt,
        sealed: Sealed,
        purged: frozenset[str],
    ) -> None:
        self.purged = purged
        self._rows = self._read(evidence, shard, receipt)
        self._census = census
        self._shard = shard
        self._sealed = sealed

    def next(self) -> dict[str, Any] | None:
        """Returns the next row; None at the end."""
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
        for batch in ledger_batches(evidence, shard, receipt, _COLUMNS):
            yield from batch.to_pylist()
