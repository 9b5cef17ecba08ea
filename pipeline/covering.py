"""Shards that older lists judged and a rescan has found clean: they need not be judged again."""

from collections.abc import Sequence

from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.receipts import is_finished, read_receipt
from ingestgate.assets.shard import Shard
from ingestgate.pipeline.rescan.records import read_rescans
from ingestgate.transforms.settings import RunSettings


def covered(shards: Sequence[Shard], settings: RunSettings) -> list[Shard]:
    """Returns the shards that a rescan found as clean as judging by the rules in force would.

    Judged by the same policy and program with older lists, the ledger unchanged since, its output
    still there, and held against the lists in force without any match.
    """
    records = [
        r for r in read_rescans(settings.evidence) if r.lists_digest == settings.lists_digest
    ]
    found = []
    for shard in shards if records else ():
        receipt = read_receipt(settings.evidence, shard.name)
        if receipt is None or not is_finished(
            receipt, shard, receipt.context, settings.output, settings.evidence
        ):
            continue
        digest = hash_shard_ledger(settings.evidence, shard.name, receipt.ranges)
        if any(record.settles(shard.name, digest, settings.context) for record in records):
            found.append(shard)
    return found
