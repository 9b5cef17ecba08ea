"""What workers found in the parts of a ledger, put together by shards."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.ledger_digest import shard_ledger_digest
from ingestgate.assets.verdict import Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.contexts import ContextRecord
from ingestgate.pipeline.rescan.records import COMPARED
from ingestgate.pipeline.rescan.rules import same_override
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescanning import Hit


def _sets() -> defaultdict[str, set[str]]:
    return defaultdict(set)


@dataclass(slots=True)
class Findings:
    """What was found in a whole ledger.

    Attributes:
        rows: How many rows were looked at.
        compared: How many of these were held against lists.
        lines: Each match: its shard, and the fields of `Hit`.
        sure: By shard, admitted assets that match.
        near: By shard, the other admitted assets of which only judging again can tell.
        held: By shard, unscannable assets that match.
        released: By shard, quarantined assets that suppressions let pass by now.
        passed: By shard and suppression, how many admitted assets it let pass.
        suppressed: How many admitted assets suppressions let pass.
        withdrawn: Shard and id of quarantined assets that only withdrawn entries had matched.
    """

    rows: int = 0
    compared: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    sure: defaultdict[str, set[str]] = field(default_factory=_sets)
    near: defaultdict[str, set[str]] = field(default_factory=_sets)
    held: defaultdict[str, set[str]] = field(default_factory=_sets)
    released: defaultdict[str, set[str]] = field(default_factory=_sets)
    passed: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    suppressed: int = 0
    withdrawn: list[tuple[str, str]] = field(default_factory=list)

    @property
    def matched(self) -> int:
        """How many admitted assets match."""
        return _count(self.sure)

    @property
    def to_judge_again(self) -> int:
        """How many other admitted assets have to be judged again."""
        return _count(self.near)

    def recalled(self) -> set[tuple[str, str]]:
        """Returns shard and id of the admitted assets that match or have to be judged again."""
        return {
            (shard, asset)
            for found in (self.sure, self.near)
            for shard, assets in found.items()
            for asset in assets
        }

    def tallies(self) -> Counter[str]:
        """Returns the counts that a rescan's record has, but for those that need earlier ones."""
        tallies = Counter(f"list:{line['list_id']}" for line in self.lines)
        tallies[COMPARED] = self.compared
        tallies["unscannable_matched"] = _count(self.held)
        tallies["suppressed"] = self.suppressed
        tallies["released"] = _count(self.released)
        tallies["to_judge_again"] = self.to_judge_again
        return tallies

    def by_shard(self, digests: Mapping[str, str], context: str) -> dict[str, dict[str, Any]]:
        """Returns what `RescanRecord.shards` says of each shard.

        Args:
            digests: As of `ledger_digests`.
            context: Digest of the rules that the ledger was held against.
        """
        return {
            shard: {
                "ledger": digest,
                "matched": len(self.sure[shard]) + len(self.near[shard]),
                "held": len(self.held[shard]) + len(self.released[shard]),
                "context": context,
                "suppressions": dict(self.passed[shard]),
            }
            for shard, digest in sorted(digests.items())
        }


def _count(found: Mapping[str, set[str]]) -> int:
    return sum(len(assets) for assets in found.values())


def ledger_digests(results: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns by shard `shard_ledger_digest` of what workers looked at."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for found in results:
        parts[found["shard"]][storage.basename(found["path"])] = found["sha256"]
    return {shard: shard_ledger_digest(several) for shard, several in parts.items()}


def gathered(
    results: Sequence[Mapping[str, Any]],
    contexts: Mapping[str, ContextRecord],
    policy: Policy,
    lists: ListSet,
    now: str,
) -> Findings:
    """Returns what was found in all parts.

    Args:
        results: What was found in each, as `as_json` has it.
        contexts: The rules on record that they were made by.
        policy: Today's.
        lists: What the ledger was held against.
        now: Digest of today's rules.
    """
    all_found = Findings()
    for found in results:
        shard = found["shard"]
        # Judged by these very lists: what is near was decided then.
        near_counts = found["context"] != now
        unchanged = _unchanged(lists, contexts[found["context"]], policy)
        for values in found["hits"]:
            hit = Hit(*values)
            if not hit.certain and (not near_counts or hit.list_id in unchanged):
                continue
            all_found.lines.append({"shard": shard, **{n: getattr(hit, n) for n in Hit.__slots__}})
            if not hit.quarantines:
                continue
            if hit.verdict != Verdict.ADMITTED:
                all_found.held[shard].add(hit.asset_id)
            elif hit.certain:
                all_found.sure[shard].add(hit.asset_id)
            else:
                all_found.near[shard].add(hit.asset_id)
        if near_counts:
            all_found.near[shard].update(found["unclear"])
            all_found.released[shard].update(found["released"])
        all_found.passed[shard].update({n: len(ids) for n, ids in found["suppressed"].items()})
        all_found.suppressed += len(set().union(*found["suppressed"].values()))
        all_found.withdrawn += [(shard, asset) for asset in found["withdrawn"]]
        all_found.rows += found["rows"]
        all_found.compared += found["compared"]
    for shard, assets in all_found.near.items():
        assets -= all_found.sure[shard]
    return all_found


def _unchanged(lists: ListSet, then: ContextRecord, policy: Policy) -> set[str]:
    """Returns the ids of lists by which all was judged then as it would be now."""
    before = {(used["id"], used["digest"]) for used in then.lists}
    return {
        info.id
        for info in lists.infos
        if (info.id, info.digest) in before and same_override(then, policy, info.id)
    }
