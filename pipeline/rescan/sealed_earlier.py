"""What was sealed of shards and is in their ledgers no more, as after a purge and a new judging.

Nothing but the manifests tells what it had matched, so that entries which are withdrawn by now put
it up for review like everything else that is sealed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import pyarrow as pa

from ingestgate.assets import ledger, storage
from ingestgate.assets.receipts import Receipt
from ingestgate.blocklists.listset import ListSet
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.manifest import manifest_name
from ingestgate.quarantine.manifest_reading import read_as_sealed
from ingestgate.quarantine.sealed_manifests import sealed_manifests
from ingestgate.transforms.rescanning.withdrawals import FINDING_COLUMNS, withdrawn

_FINDING = pa.struct([(name, pa.string()) for name in FINDING_COLUMNS])
_SCHEMA = pa.schema([("asset_id", pa.string()), ("findings", pa.list_(_FINDING))])

#: An asset's id, and the digest of its bytes: in one place, one may lie after another.
_Content = tuple[str, str | None]


def withdrawn_earlier(
    evidence: str, quarantine: str, receipts: Mapping[str, Receipt], lists: ListSet
) -> list[tuple[str, str]]:
    """Returns shard and id of sealed assets in no ledger that only withdrawn entries had matched.

    All that it had ever matched counts, whichever run sealed it.

    Args:
        evidence: Whose ledger it is.
        quarantine: Whose manifests on record are looked at.
        receipts: By shard, what was committed.
        lists: Whole lists, as they are now.

    Raises:
        EvidenceError: A manifest is missing or not what was sealed, or the log does not hold.
        LedgerError: A part of a ledger is missing or damaged.
        VaultError, StorageError: A manifest is damaged, or something cannot be read.
    """
    sealed = sealed_manifests(read_log(quarantine))
    by_shard: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(sealed):
        by_shard[name.rpartition("-")[0]].append(name)
    found = []
    for shard, receipt in sorted(receipts.items()):
        findings: defaultdict[_Content, list[dict[str, str]]] = defaultdict(list)
        for name in by_shard[manifest_name(shard)]:
            if name == receipt.manifest:
                continue  # it is of the ledger
            for row in read_as_sealed(quarantine, name, sealed[name].jsonl):
                if row["shard"] == shard:
                    said = [{n: each[n] for n in FINDING_COLUMNS} for each in row["findings"]]
                    findings[row["asset_id"], row["sha256"]] += said
        if findings:
            for content in _in_ledger(evidence, receipt):
                findings.pop(content, None)
        rows = [{"asset_id": id, "findings": said} for (id, _), said in findings.items()]
        batch = pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)
        found += [(shard, asset) for asset in sorted(set(withdrawn(batch, lists.lists)))]
    return found


def _in_ledger(evidence: str, receipt: Receipt) -> Iterator[_Content]:
    root = storage.join(evidence, "ledger")
    for number in range(receipt.ranges):
        _, table = ledger.read_part(ledger.part_path(root, receipt.shard, number))
        yield from zip(table["asset_id"].to_pylist(), table["sha256"].to_pylist(), strict=True)
