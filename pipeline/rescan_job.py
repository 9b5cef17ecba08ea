"""One rescan: ledgers against newer lists, the record of it, and the recall of what now matches."""

import hashlib
import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import EvidenceError, GateError, LedgerError, UsageError
from ingestgate.assets.receipts import Receipt
from ingestgate.assets.verdict import SignalKind, Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.remembered import remember
from ingestgate.blocklists.signals import signal_types
from ingestgate.blocklists.suppressions import NO_SUPPRESSIONS, Suppressions
from ingestgate.pipeline.audit_events import end_rescan, require_log
from ingestgate.pipeline.contexts import ContextRecord, read_context
from ingestgate.pipeline.lock import run_lock
from ingestgate.pipeline.recall_notices import RecallNotice, write_recall
from ingestgate.pipeline.rescan_parts import Ledger, whole_ledger
from ingestgate.pipeline.rescan_records import (
    NEWLY_MATCHED,
    RescanRecord,
    findings_path,
    found_before,
    read_rescans,
    shard_ledger_digest,
    write_rescan,
)
from ingestgate.pipeline.rescan_since import WHOLE, Since, compared_versions
from ingestgate.pipeline.runners import run_job
from ingestgate.pipeline.statements import current_certificate, digest_of
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescan import RescanPart, RescanSettings, result_path
from ingestgate.transforms.rescanning import Hit
from ingestgate.transforms.settings import JUDGING_VERSION, context_digest, policy_digest


class RescanError(GateError):
    """The ledger does not hold what the lists need: it has to be judged again."""


@dataclass(frozen=True, slots=True)
class RescanRequest:
    """What was asked for on the command line.

    Attributes:
        lists: Folder of compiled lists.
        policy: The policy that the ledgers were judged by.
        since: From which version on lists are looked at.
        list_state: File that remembers which lists were seen, or None.
        key: Signs recall notices, or None.
        workers: Local worker processes.
        output: Root of the admitted shards; None: as the evidence's report says.
        quarantine: Whose audit log has to say what was found; None: as the report says.
        withdrawals: Also look for quarantined assets that only withdrawn entries had matched.
        suppressions: Those that were verified.
        beam_options: Arguments for Beam.
    """

    lists: str
    policy: Policy
    since: Since = WHOLE
    list_state: str | None = None
    key: Ed25519PrivateKey | None = None
    workers: int = 1
    output: str | None = None
    quarantine: str | None = None
    withdrawals: bool = False
    suppressions: Suppressions = NO_SUPPRESSIONS
    beam_options: Sequence[str] = ()


def rescan(
    request: RescanRequest, evidence: str, lists: ListSet, poll: Callable[[], None]
) -> dict[str, Any]:
    """Rescans one evidence folder.

    Returns:
        What was found, in counts and names of shards.

    Raises:
        RescanError: The ledger lacks something that the lists need.
        LedgerError: There is no ledger, or a part is damaged.
        EvidenceError: By which rules it was made is not on record, or were others.
    """
    evidence = storage.absolute(evidence)
    with run_lock(evidence):
        return _rescan(request, evidence, lists, poll)


def _rescan(
    request: RescanRequest, evidence: str, lists: ListSet, poll: Callable[[], None]
) -> dict[str, Any]:
    started = datetime.now(UTC)
    ledger = whole_ledger(evidence)
    parts = ledger.parts
    contexts = _contexts(evidence, request.policy)
    quarantine = _quarantine(request, evidence)
    if quarantine is not None:
        require_log(quarantine)
    settings = RescanSettings(
        policy=request.policy,
        lists=storage.absolute(request.lists),
        lists_digest=lists.digest,
        work="",
        since=compared_versions(request.since, request.lists, lists, request.policy),
        newly_needed=_newly_needed(request.policy, lists, contexts.values()),
        withdrawals=request.withdrawals,
        suppressions=request.suppressions.source._replace(at=""),
    )
    key = hashlib.sha256(repr((settings, JUDGING_VERSION, parts)).encode()).hexdigest()[:16]
    work = storage.join(evidence, "rescanning", key)
    job = replace(settings, work=work, suppressions=request.suppressions.source)
    numbered = [(number, part.path) for number, part in enumerate(parts)]

    def build(pipeline: Any) -> None:
        import apache_beam as beam

        (
            pipeline
            | "Parts" >> beam.Create(numbered)
            | "Spread" >> beam.Reshuffle()
            | "Rescan" >> beam.ParDo(RescanPart(job))
        )

    run_job(build, request.beam_options, workers=request.workers, poll=poll)
    if request.list_state is not None:
        remember(request.list_state, lists.infos)
    results = []
    for number, path in numbered:
        found = json.loads(storage.read_bytes(result_path(work, number)))
        if found["path"] != path or "problem" in found:
            storage.delete(result_path(work, number))
            raise LedgerError(path, found.get("problem", "was not looked at; rescan again"))
        results.append(found)
    _check(results, contexts, request, lists, evidence)
    report = _conclude(request, evidence, quarantine, lists, contexts, ledger, results, started)
    storage.delete(storage.join(evidence, "rescanning"))
    return report


def _contexts(evidence: str, policy: Policy) -> dict[str, ContextRecord]:
    """Returns the rules on record that the ledger may have been made by."""
    folder = storage.join(evidence, "contexts")
    entries = storage.walk(folder) if storage.match_directories(folder) else []
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


def _same_override(record: ContextRecord, policy: Policy, list_id: str) -> bool:
    """Whether the policy said of a list then what it says now."""
    then = record.policy.get("lists", {}).get(list_id)
    return bool(then == policy.model_dump(mode="json")["lists"].get(list_id))


def _newly_needed(policy: Policy, lists: ListSet, contexts: Any) -> frozenset[str]:
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


def _check(
    results: Sequence[Mapping[str, Any]],
    contexts: Mapping[str, ContextRecord],
    request: RescanRequest,
    lists: ListSet,
    evidence: str,
) -> None:
    """Refuses what cannot be decided from the ledger."""
    missing = Counter(name for found in results for name in found["missing"])
    if missing:
        name = min(missing)
        where = next(found["shard"] for found in results if name in found["missing"])
        raise RescanError(
            f"{where}: the lists hold {name}, which its ledger lacks ({missing[name]} parts of "
            f"{len(results)}); judge again: run with these lists, and `perceptual` and "
            "`digests` in the policy naming what later lists may need"
        )
    read = read_rescans(evidence)
    # By other suppressions something may have been let pass that counts now.
    suppressed = request.suppressions.digest
    digests = _ledger_digests(results)
    for found in results:
        record = contexts.get(found["context"])
        if record is None:
            raise EvidenceError(
                f"{found['shard']}: was judged by other rules than this policy and program, or by "
                "rules that are not on record; run again, which judges it anew"
            )
        for info in lists.infos:
            since = request.since.version(info)
            if since is None:
                continue
            shard = found["shard"]
            bases = [record.lists] if _same_override(record, request.policy, info.id) else []
            bases += [
                r.lists
                for r in read
                if r.covers(
                    shard,
                    digests[shard],
                    context_digest(request.policy, r.lists_digest, suppressed),
                )
            ]
            versions = [u["version"] for base in bases for u in base if u["id"] == info.id]
            if max(versions, default=0) < since:
                raise UsageError(
                    f"--since {info.id}={since}: {shard} was not held against that version or a "
                    "later one by this policy; leave --since out, or name an older one"
                )


def _ledger_digests(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for found in results:
        parts[found["shard"]][storage.basename(found["path"])] = found["sha256"]
    return {shard: shard_ledger_digest(several) for shard, several in parts.items()}


def _conclude(
    request: RescanRequest,
    evidence: str,
    quarantine: str | None,
    lists: ListSet,
    contexts: Mapping[str, ContextRecord],
    ledger: Ledger,
    results: Sequence[Mapping[str, Any]],
    started: datetime,
) -> dict[str, Any]:
    """Writes findings, notice, audit log and record, in this order, and returns the report."""
    now = context_digest(request.policy, lists.digest, request.suppressions.digest)
    digests = _ledger_digests(results)
    sure: dict[str, set[str]] = defaultdict(set)
    near: dict[str, set[str]] = defaultdict(set)
    held: dict[str, set[str]] = defaultdict(set)
    released: dict[str, set[str]] = defaultdict(set)
    passed: dict[str, Counter[str]] = defaultdict(Counter)
    tallies: Counter[str] = Counter()
    lines = []
    for found in results:
        shard = found["shard"]
        # Judged by these very lists: what is near was decided then.
        near_counts = found["context"] != now
        record_then = contexts[found["context"]]
        before = {(used["id"], used["digest"]) for used in record_then.lists}
        unchanged = {
            info.id
            for info in lists.infos
            if (info.id, info.digest) in before
            and _same_override(record_then, request.policy, info.id)
        }
        for values in found["hits"]:
            hit = Hit(*values)
            if not hit.certain and (not near_counts or hit.list_id in unchanged):
                continue
            lines.append({"shard": shard, **{n: getattr(hit, n) for n in Hit.__slots__}})
            tallies[f"list:{hit.list_id}"] += 1
            if not hit.quarantines:
                continue
            if hit.verdict != Verdict.ADMITTED:
                held[shard].add(hit.asset_id)
            elif hit.certain:
                sure[shard].add(hit.asset_id)
            else:
                near[shard].add(hit.asset_id)
        if near_counts:
            near[shard].update(found["unclear"])
            released[shard].update(found["released"])
        passed[shard].update({name: len(ids) for name, ids in found["suppressed"].items()})
    for shard, names in near.items():
        names -= sure[shard]
    shards = {}
    for shard, digest in sorted(digests.items()):
        count = len(sure[shard]) + len(near[shard])
        shards[shard] = {
            "ledger": digest,
            "matched": count,
            "held": len(held[shard]) + len(released[shard]),
            "context": now,
            "suppressions": dict(passed[shard]),
        }
    rows = sum(found["rows"] for found in results)
    matched = sum(len(names) for names in sure.values())
    again = sum(len(names) for names in near.values())
    tallies["unscannable_matched"] = sum(len(names) for names in held.values())
    tallies["suppressed"] = sum(
        len(set().union(*found["suppressed"].values())) for found in results
    )
    tallies["released"] = sum(len(names) for names in released.values())
    tallies["to_judge_again"] = again
    every = {(shard, asset) for found in (sure, near) for shard in found for asset in found[shard]}
    tallies[NEWLY_MATCHED] = len(every - found_before(evidence)) if every else 0
    # Two may begin in one second, and what was closed under a name must not close another.
    unique = secrets.token_hex(4)
    name = f"{started.strftime('%Y%m%dT%H%M%SZ')}-{lists.digest[:12]}-{unique}"
    used = [{"id": i.id, "version": i.version, "digest": i.digest} for i in lists.infos]
    output = request.output or _output(evidence)
    dry = quarantine is None  # of a dry run, nothing was admitted
    recalled, paths = _recalled(ledger.receipts, sure, near, dry=dry), []
    if lines or any(near.values()):
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        text += "".join(
            json.dumps({"shard": shard, "asset_id": asset, "judge_again": True}) + "\n"
            for shard, names in sorted(near.items())
            for asset in sorted(names)
        )
        path = findings_path(evidence, name)
        storage.write_bytes(path, text.encode(), private=True)
    if recalled:
        certificate = current_certificate(output)
        matching = {line["list_id"] for line in lines}
        notice = RecallNotice(
            dataset=shown(output),
            made_at=started.isoformat(timespec="seconds"),
            lists=[one for one in used if one["id"] in matching] or used,
            shards=recalled,
            certificate=digest_of(certificate[0].payload) if certificate else "",
        )
        paths = write_recall(output, evidence, name, notice, request.key)
    withdrawn = [(f["shard"], asset) for f in results for asset in f["withdrawn"]]
    if request.withdrawals:
        _write_withdrawn(evidence, name, withdrawn)
    record = RescanRecord(
        id=name,
        lists=[
            {
                **one,
                "issued": info.issued.isoformat(),
                "signal_types": sorted(info.counts),
                "since": request.since.version(info),
            }
            for one, info in zip(used, lists.infos, strict=True)
        ],
        lists_digest=lists.digest,
        rows=rows,
        matched=matched + again,
        shards=shards,
        started_at=started.isoformat(timespec="seconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tallies=dict(tallies),
        suppressions=[one.described() for one in request.suppressions.in_force],
    )
    put_up = 0
    if quarantine is not None:
        said = {
            "evidence": evidence,
            "lists": used,
            "policy_digest": policy_digest(request.policy),
            "rows": rows,
            "matched": matched,
            "to_judge_again": again,
            "recalled": len(recalled),
        }
        ids = [asset for _, asset in withdrawn] if request.withdrawals else []
        put_up = end_rescan(quarantine, name, said, ids, paths, request.key)
    write_rescan(evidence, record)
    return {
        "evidence": evidence,
        "id": name,
        "lists": record.lists,
        "policy_digest": policy_digest(request.policy),
        "rows": rows,
        "matched": matched,
        "to_judge_again": again,
        "unscannable_matched": tallies["unscannable_matched"],
        "suppressed": tallies["suppressed"],
        "released": tallies["released"],
        "suppressions_expired": [one.id for one in request.suppressions.expired],
        "withdrawn": len(withdrawn),
        "put_up_for_review": put_up,
        "shards": len(shards),
        "left_out": list(ledger.left_out),
        "recalled": [entry["name"] for entry in recalled],
        "notices": paths,
    }


def _output(evidence: str) -> str:
    return str(_reported(evidence, "output")["paths"]["output"])


def _quarantine(request: RescanRequest, evidence: str) -> str | None:
    """Returns the quarantine of what was judged; None where that was a dry run, which has none."""
    if request.quarantine is not None:
        return storage.absolute(request.quarantine)
    report = _reported(evidence, "quarantine")
    receipts = storage.match_directories(storage.join(evidence, "receipts"))
    return None if report["dry_run"] and not receipts else str(report["paths"]["quarantine"])


def _reported(evidence: str, folder: str) -> dict[str, Any]:
    """Returns the report of the last run, which says where its folders are."""
    try:
        report = json.loads(storage.read_bytes(storage.join(evidence, "report.json")))
        if isinstance(report["paths"][folder], str) and isinstance(report["dry_run"], bool):
            return dict(report)
    except (GateError, ValueError, KeyError, TypeError):
        pass
    raise UsageError(f"{evidence}: has no report that says where its {folder} is; give --{folder}")


def _recalled(
    receipts: Mapping[str, Receipt],
    sure: Mapping[str, set[str]],
    near: Mapping[str, set[str]],
    *,
    dry: bool,
) -> list[dict[str, Any]]:
    """Returns the admitted files of shards in which something was found.

    Raises:
        EvidenceError: Something was, and what was admitted of its shard is not on record.
    """
    recalled: list[dict[str, Any]] = []
    for shard in sorted({name for found in (sure, near) for name, ids in found.items() if ids}):
        if dry:
            continue
        if shard not in receipts:
            raise EvidenceError(
                f"{shard}: something in it matches, and no receipt says what was admitted of it; "
                "run again, which judges it by the newer lists, and rescan then"
            )
        for entry in receipts[shard].outputs:
            recalled.append(
                {
                    "name": entry["name"],
                    "sha256": entry["sha256"],
                    "shard": shard,
                    "assets": len(sure.get(shard, ())),
                    "to_judge_again": len(near.get(shard, ())),
                }
            )
    return recalled


def _write_withdrawn(evidence: str, name: str, withdrawn: Sequence[tuple[str, str]]) -> None:
    text = "".join(
        json.dumps({"shard": shard, "asset_id": asset}) + "\n" for shard, asset in sorted(withdrawn)
    )
    path = storage.join(evidence, "withdrawn", f"{name}.jsonl")
    storage.write_bytes(path, text.encode(), private=True)
