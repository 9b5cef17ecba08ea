"""Recalls from notice to end: which shards have to be judged anew, and when a notice is done with.

A notice is open until every shard it names has been committed by newer rules. It is kept: in the
evidence always, beside the output as long as copies of what it recalls can exist.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.assets.receipts import read_receipt
from ingestgate.pipeline.plan import Plan
from ingestgate.pipeline.recall_notices import RecallNotice, read_notice, recall_folders
from ingestgate.transforms.settings import RunSettings


@dataclass(frozen=True, slots=True)
class OpenRecall:
    """A notice that is not done with.

    Attributes:
        id: Its name.
        notice: What it says.
    """

    id: str
    notice: RecallNotice

    @property
    def shards(self) -> frozenset[str]:
        """Names of the shards it recalls."""
        return frozenset(str(one.get("shard", one["name"])) for one in self.notice.shards)


def open_recalls(evidence: str) -> list[OpenRecall]:
    """Returns the notices in an evidence folder that are not closed, in order.

    Raises:
        EvidenceError: One cannot be read.
    """
    folder = storage.join(evidence, "recalls")
    entries = storage.walk(folder) if storage.match_directories(folder) else []
    found = []
    for entry in entries:
        name = storage.basename(entry.path).removesuffix(".dsse.json")
        if name == storage.basename(entry.path) or storage.exists(closed_path(evidence, name)):
            continue
        found.append(OpenRecall(name, read_notice(entry.path)))
    return found


def closed_path(evidence: str, id: str) -> str:
    """Returns where it is on record that a recall is done with."""
    return storage.join(evidence, "recalls-closed", f"{id}.json")


def recalled_plan(plan: Plan, settings: RunSettings) -> Plan:
    """Restricts a plan to the shards that open notices name.

    Raises:
        UsageError: There is no open notice, or a recalled shard is not in the input any more.
    """
    recalls = open_recalls(settings.evidence)
    if not recalls:
        raise UsageError(f"{settings.evidence}: no open recall; 'ingestgate rescan' makes them")
    names = frozenset().union(*(recall.shards for recall in recalls))
    there = {shard.name for shard in plan.discovery.shards}
    if gone := sorted(names - there):
        raise UsageError(
            f"{gone[0]}: recalled, but not in the input any more ({len(gone)} such shards); put it "
            "back into the landing zone, or remove it from the output with its receipt and ledger"
        )
    todo = [shard for shard in plan.todo if shard.name in names]
    others = [shard for shard in plan.todo if shard.name not in names]
    keep = [s for s in others if read_receipt(settings.evidence, s.name) is not None]
    return Plan(plan.discovery, todo, [*plan.finished, *keep])


def close_recalls(settings: RunSettings) -> list[str]:
    """Closes the notices all of whose shards are committed by the rules in force.

    Returns:
        Their ids.
    """
    closed = []
    for recall in open_recalls(settings.evidence):
        receipts = [read_receipt(settings.evidence, name) for name in sorted(recall.shards)]
        if any(one is None or one.context != settings.context for one in receipts):
            continue
        after = {str(o["name"]): str(o["sha256"]) for r in receipts if r for o in r.outputs}
        before = {str(one["name"]): str(one["sha256"]) for one in recall.notice.shards}
        content = {
            "version": 1,
            "id": recall.id,
            "closed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "context": settings.context,
            "shards": [
                {"name": name, "before": old, "after": after.get(name)}
                for name, old in sorted(before.items())
            ],
        }
        # A shard that was found clean is what it was: a notice of it would recall it for ever.
        if any(after.get(name) == old for name, old in before.items()):
            folder, _ = recall_folders(settings.output, settings.evidence)
            storage.delete(storage.join(folder, f"{recall.id}.dsse.json"))
        path = closed_path(settings.evidence, recall.id)
        storage.write_bytes(path, json.dumps(content, indent=1).encode(), private=True)
        closed.append(recall.id)
    return closed
