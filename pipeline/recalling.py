"""Recalls from notice to end: which shards have to be judged anew, and when a notice is done with.

A notice is open until every shard it names was committed after it, by all lists that it names or
newer ones. Then the evidence and the audit log say so. The notice itself stays where it is: copies
of what it recalls can exist for ever.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import UsageError
from ingestgate.assets.receipts import Receipt, finished_receipts, read_receipt
from ingestgate.assets.shard import Shard
from ingestgate.assets.withdrawn_receipts import withdrawals
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.audit_events import log_closed_recall
from ingestgate.pipeline.contexts import read_context
from ingestgate.pipeline.plan import Plan
from ingestgate.pipeline.recall_notices import RecallNotice, read_notice
from ingestgate.pipeline.run_events import named_lists
from ingestgate.transforms.settings import RunSettings

_SUFFIX = ".dsse.json"


@dataclass(frozen=True, slots=True)
class Recall:
    """A notice on record.

    Attributes:
        id: Its name.
        path: Where the evidence has it.
        notice: What it says.
        closed_at: When it was done with; None: it is open.
    """

    id: str
    path: str
    notice: RecallNotice
    closed_at: datetime | None

    @property
    def shards(self) -> frozenset[str]:
        """Names of the shards it recalls."""
        return frozenset(_shard_of(one) for one in self.notice.shards)


def _shard_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("shard", entry["name"]))


def recalls(evidence: str) -> list[Recall]:
    """Returns all notices in an evidence folder, in order.

    Raises:
        EvidenceError: One cannot be read.
    """
    folder = storage.join(evidence, "recalls")
    entries = storage.walk_if_there(folder)
    found = []
    for entry in entries:
        if entry.path.endswith(_SUFFIX):
            id = storage.basename(entry.path).removesuffix(_SUFFIX)
            found.append(Recall(id, entry.path, read_notice(entry.path), _closed_at(evidence, id)))
    return found


def open_recalls(evidence: str) -> list[Recall]:
    """Returns the notices that are not closed, in order; raises as `recalls` does."""
    return [recall for recall in recalls(evidence) if recall.closed_at is None]


def closed_path(evidence: str, id: str) -> str:
    """Returns where it is on record that a recall is done with."""
    return storage.join(evidence, "recalls-closed", f"{id}.json")


def _closed_at(evidence: str, id: str) -> datetime | None:
    """Returns when a recall was closed; a record that is damaged closes nothing."""
    path = closed_path(evidence, id)
    if not storage.exists(path):
        return None
    try:
        content = json.loads(storage.read_bytes(path))
        closed_at = datetime.fromisoformat(content["closed_at"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return closed_at if content.get("id") == id and closed_at.tzinfo is not None else None


def recalled_shards(settings: RunSettings, lists: ListSet) -> frozenset[str]:
    """Returns the names of the shards that a run by some lists has to judge anew.

    Those that open notices name, unless that was done, and only by lists that can settle it: by
    older ones a shard would be judged again and again.

    Raises:
        EvidenceError: A notice, or the record of some rules, is damaged.
    """
    in_force = named_lists(lists)
    return frozenset(
        shard
        for recall in open_recalls(settings.evidence)
        if not recall.notice.lacking(in_force)
        for shard in recall.shards
        if not _is_settled(recall, shard, settings)
    )


def _is_settled(recall: Recall, shard: str, settings: RunSettings) -> bool:
    """Whether a shard was committed since by lists that settle it, or nothing of it is left."""
    receipt = read_receipt(settings.evidence, shard)
    if receipt is None:
        return not _is_there(recall, shard, settings.output)
    rules = read_context(settings.evidence, receipt.context)
    committed_at = datetime.fromisoformat(receipt.committed_at)
    return rules is not None and recall.notice.is_answered_by(committed_at, rules.lists)


def _is_there(recall: Recall, shard: str, output: str) -> bool:
    paths = (
        storage.join(output, str(one["name"]))
        for one in recall.notice.shards
        if _shard_of(one) == shard
    )
    return any(map(storage.is_there, paths))


def recalled_plan(plan: Plan, settings: RunSettings, lists: ListSet) -> Plan:
    """Restricts a plan to the shards that open notices name.

    Raises:
        UsageError: There is no open notice, the lists are older than one's, or a recalled shard is
            not in the input any more.
    """
    found = open_recalls(settings.evidence)
    if not found:
        raise UsageError(f"{settings.evidence}: no open recall; 'ingestgate rescan' makes them")
    for recall in found:
        if lacking := recall.notice.lacking(named_lists(lists)):
            wanted = max(u["version"] for u in recall.notice.lists if u["id"] == lacking[0])
            raise UsageError(
                f"recall {recall.id} is by version {wanted} of list {lacking[0]}, which the lists "
                "in force do not have; give the lists that the rescan had, or newer ones"
            )
    there = {shard.name for shard in plan.discovery.shards}
    gone = sorted(
        shard
        for recall in found
        for shard in recall.shards - there
        if not _is_settled(recall, shard, settings)
    )
    if gone:
        raise UsageError(
            f"{gone[0]}: recalled, but not in the input any more ({len(gone)} such shards); put it "
            "back into the landing zone, or remove it from the output with its receipt and ledger"
        )
    names = frozenset().union(*(recall.shards for recall in found))
    todo = [shard for shard in plan.todo if shard.name in names]
    others = [shard for shard in plan.todo if shard.name not in names]
    keep = [s for s in others if read_receipt(settings.evidence, s.name) is not None]
    left = frozenset(shard.name for shard in others)
    return replace(plan, todo=todo, finished=[*plan.finished, *keep], others=left)


def to_forget(plan: Plan, settings: RunSettings) -> list[Shard]:
    """Returns the shards to do of which what was judged must not stand for judging them anew.

    Those that were recalled though the rules in force have judged them, and those that a run
    which was killed has not forgotten whole.
    """
    again = [shard for shard in plan.todo if shard.name in plan.again]
    done = finished_receipts(settings.evidence, settings.output, again, settings.context)
    half = {name for name, forgotten in withdrawals(settings.evidence).items() if not forgotten}
    return [shard for shard in plan.todo if shard.name in done or shard.name in half]


def close_recalls(settings: RunSettings, key: Ed25519PrivateKey | None) -> list[str]:
    """Closes the notices that are settled: by the audit log, and by a record in the evidence.

    Args:
        settings: The run's settings.
        key: Signs the lines of the log, or None.

    Returns:
        Their ids.

    Raises:
        EvidenceError: A notice, the record of some rules or the log is damaged.
        StorageError: It cannot be put on record; the notice stays open.
    """
    closed = []
    for recall in open_recalls(settings.evidence):
        if not all(_is_settled(recall, shard, settings) for shard in recall.shards):
            continue
        record = _closing(recall, settings.evidence)
        said = {
            "recall": recall.id,
            "evidence": shown(settings.evidence),
            "notice": hashlib.sha256(storage.read_bytes(recall.path)).hexdigest(),
            "lists": [dict(used) for used in recall.notice.lists],
            "shards": len(recall.shards),
            "record": hashlib.sha256(record).hexdigest(),
        }
        log_closed_recall(settings.quarantine, said, key)
        storage.write_bytes(closed_path(settings.evidence, recall.id), record, private=True)
        closed.append(recall.id)
    return closed


def _closing(recall: Recall, evidence: str) -> bytes:
    """Returns the record of a closed recall: what of each file was put in its place."""
    receipts: dict[str, Receipt | None] = {
        shard: read_receipt(evidence, shard) for shard in recall.shards
    }
    shards = []
    for one in recall.notice.shards:
        receipt = receipts[_shard_of(one)]
        outputs = {str(o["name"]): str(o["sha256"]) for o in (receipt.outputs if receipt else ())}
        shards.append(
            {
                "name": one["name"],
                "before": one["sha256"],
                "after": outputs.get(str(one["name"])),
                "context": receipt.context if receipt else None,
            }
        )
    content = {
        "version": 1,
        "id": recall.id,
        "closed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "shards": shards,
    }
    return json.dumps(content, indent=1).encode()
