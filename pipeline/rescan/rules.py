"""Whether a ledger can tell what lists match: by which rules it was made, and what it lacks.

A rescan stands for a judging by today's rules. So all but the lists has to be as it was then, and a
part of a ledger that was made otherwise, or does not hold what a list needs, decides nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, GateError, UsageError
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import signal_types
from ingestgate.pipeline.contexts import ContextRecord, read_context
from ingestgate.pipeline.rescan.records import RescanRecord, read_rescans
from ingestgate.pipeline.rescan.request import RescanRequest
from ingestgate.pipeline.rescan.since import Older
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import JUDGING_VERSION, context_digest


class RescanError(GateError):
    """The ledger does not hold what the lists need: it has to be judged again."""


def rules_on_record(evidence: str, policy: Policy) -> dict[str, ContextRecord]:
    """Returns the rules on record that the ledger may have been made by."""
    folder = storage.join(evidence, "contexts")
    entries = storage.walk_if_there(folder)
    found = {}
    for entry in entries:
        name = storage.basename(entry.path).removesuffix(".json")
        if record := read_context(evidence, name):
            found[name] = record
    return {n: r for n, r in found.items() if _same_rules(r, policy)}


def _same_rules(record: ContextRecord, policy: Policy) -> bool:
    """Whether, lists aside, a ledger made by these rules would be made the same today."""
    now = policy.model_dump(mode="json")
    for left_out in ("lists", "trust"):
        now.pop(left_out)
    then = {name: value for name, value in record.policy.items() if name in now}
    return record.judging_version == JUDGING_VERSION and then == now


def same_override(record: ContextRecord, policy: Policy, list_id: str) -> bool:
    """Whether the policy said of a list then what it says now."""
    then = record.policy.get("lists", {}).get(list_id)
    return bool(then == policy.model_dump(mode="json")["lists"].get(list_id))


def newly_needed(
    policy: Policy, lists: ListSet, contexts: Iterable[ContextRecord]
) -> frozenset[str]:
    """Returns the hashes that some earlier judging may have had no need of, where that decides."""
    needed = {
        name
        for name in lists.signal_types
        if signal_types()[name].kind is SignalKind.PERCEPTUAL and policy.holds_low_quality(name)
    }
    counts = {(i.id, i.digest): set(i.counts) for i in (*lists.infos, *lists.superseded)}
    had_by_all = [
        set().union(
            *(
                counts.get((u["id"], u["digest"]), set())
                | set(u.get("signal_types", u["canaries"]))
                for u in record.lists
            )
        )
        for record in contexts
    ]
    return frozenset(name for name in needed if not all(name in had for had in had_by_all))


def require_decided(
    results: Sequence[Mapping[str, Any]],
    digests: Mapping[str, str],
    contexts: Mapping[str, ContextRecord],
    request: RescanRequest,
    lists: ListSet,
    older: Mapping[str, Older],
    evidence: str,
) -> None:
    """Refuses what cannot be decided from the ledger.

    Args:
        results: What was found in each part, as `as_json` has it.
        digests: By shard, `shard_ledger_digest` of what was looked at.
        contexts: As of `rules_on_record`.
        request: What was asked.
        lists: What the ledger was held against.
        older: As of `compared_versions`.
        evidence: Where it lies.

    Raises:
        RescanError: The ledger lacks something that the lists need.
        EvidenceError: By which rules a part was made is not on record, or were others.
        UsageError: A shard was held neither against the version since which a list was looked at
            nor against the one in force. A later one does not do: what it had left out may be back.
    """
    missing = Counter(name for found in results for name in found["missing"])
    if missing:
        name = min(missing)
        where = next(found["shard"] for found in results if name in found["missing"])
        raise RescanError(
            f"{where}: the lists hold {name}, which its ledger lacks ({missing[name]} parts of "
            f"{len(results)}); judge again: run with these lists, and `perceptual` and "
            "`digests` in the policy naming what later lists may need"
        )
    rescans = read_rescans(evidence) if older else []
    for found in results:
        record = contexts.get(found["context"])
        if record is None:
            raise EvidenceError(
                f"{found['shard']}: was judged by other rules than this policy and program, or by "
                "rules that are not on record; give the run's --policy, or run again, which judges "
                "it anew"
            )
        shard = found["shard"]
        held = _held_against(record, rescans, shard, digests[shard], request) if older else set()
        for info in lists.infos:
            if info.id not in older:
                continue
            version, digest, _ = older[info.id]
            if not held & {(info.id, digest), (info.id, info.digest)}:
                raise UsageError(
                    f"--since {info.id}={version}: {shard} was not held against that version by "
                    "this policy (one of the same number with other entries does not count), or "
                    "what was found then has yet to be judged: run first, which judges it, leave "
                    "--since out, or name the version that it was held against"
                )


def _held_against(
    record: ContextRecord,
    rescans: Iterable[RescanRecord],
    shard: str,
    digest: str,
    request: RescanRequest,
) -> set[tuple[str, str]]:
    """Returns id and digest of the lists of which nothing in a shard is left to be found."""
    judged = (u for u in record.lists if same_override(record, request.policy, u["id"]))
    found = {(str(one["id"]), str(one["digest"])) for one in judged}
    # By other suppressions something may have been let pass that counts now.
    suppressed = request.suppressions.digest
    for rescan in rescans:
        context = context_digest(request.policy, rescan.lists_digest, suppressed)
        if rescan.settles(shard, digest, context):
            found |= {(str(one["id"]), str(one["digest"])) for one in rescan.lists}
    return found
