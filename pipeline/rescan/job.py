"""One rescan: ledgers against newer lists, the record of it, and the recall of what now matches."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.errors import LedgerError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.remembered import remember
from ingestgate.pipeline.lock import run_lock
from ingestgate.pipeline.rescan.concluding import conclude
from ingestgate.pipeline.rescan.findings import gathered, ledger_digests
from ingestgate.pipeline.rescan.parts import whole_ledger
from ingestgate.pipeline.rescan.request import RescanRequest
from ingestgate.pipeline.rescan.rules import newly_needed, require_decided, rules_on_record
from ingestgate.pipeline.rescan.sealed_earlier import withdrawn_earlier
from ingestgate.pipeline.rescan.since import compared_versions
from ingestgate.pipeline.runners import run_job
from ingestgate.quarantine.audit_writing import require_sound_log
from ingestgate.transforms.rescan import RescanPart, RescanSettings, result_path
from ingestgate.transforms.settings import JUDGING_VERSION, context_digest

_TOLD_EVERY_S = 2.0

#: Called with how many of how many are done.
Tell = Callable[[int, int], None]


def rescan(request: RescanRequest, evidence: str, lists: ListSet, tell: Tell) -> dict[str, Any]:
    """Rescans one evidence folder.

    Args:
        request: What to hold against what.
        evidence: The folder.
        lists: Those of the request, opened.
        tell: Called now and then with how many of how many parts of the ledger are done.

    Returns:
        What was found, in counts and names of shards.

    Raises:
        RescanError: The ledger lacks something that the lists need.
        LedgerError: There is no ledger, or a part is damaged.
        EvidenceError: By which rules it was made is not on record, or were others; or what was
            sealed of it, where withdrawals are asked for, is not as it was.
        UsageError: It cannot be told where the output is, or it holds nothing of what was admitted.
    """
    evidence = storage.absolute(evidence)
    with run_lock(evidence):
        return _rescan(request, evidence, lists, tell)


def _rescan(request: RescanRequest, evidence: str, lists: ListSet, tell: Tell) -> dict[str, Any]:
    started = datetime.now(UTC)
    ledger = whole_ledger(evidence, request.output_of(evidence))
    parts = ledger.parts
    contexts = rules_on_record(evidence, request.policy)
    quarantine = request.quarantine_of(evidence)
    if quarantine is not None:
        require_sound_log(quarantine)
    earlier = []
    if request.withdrawals and quarantine is not None:
        earlier = withdrawn_earlier(evidence, quarantine, ledger.receipts, lists)
    older = compared_versions(request.since, request.lists, lists, request.policy)
    settings = RescanSettings(
        policy=request.policy,
        lists=storage.absolute(request.lists),
        lists_digest=lists.digest,
        work="",
        since={name: one.folders for name, one in older.items()},
        newly_needed=tuple(sorted(newly_needed(request.policy, lists, contexts.values()))),
        withdrawals=request.withdrawals,
        suppressions=request.suppressions.source._replace(at=""),
    )
    key = hashlib.sha256(repr((settings, older, JUDGING_VERSION, parts)).encode()).hexdigest()[:16]
    work = storage.join(evidence, "rescanning", key)
    job = replace(settings, work=work, suppressions=request.suppressions.source)
    numbered = [(number, part.path) for number, part in enumerate(parts)]

    def build(pipeline: Any) -> None:
        import apache_beam as beam
        from apache_beam.typehints import KV

        (
            pipeline
            | "Parts" >> beam.Create(numbered, reshuffle=False).with_output_types(KV[int, str])
            | "Spread" >> beam.GroupByKey()
            | "Rescan" >> beam.ParDo(RescanPart(job))
        )

    due = 0.0

    def poll() -> None:
        nonlocal due
        # On a store, each count would take a request.
        if time.monotonic() >= due and not storage.is_remote(work):
            tell(len(storage.walk_if_there(work)), len(parts))
            due = time.monotonic() + _TOLD_EVERY_S

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
    digests = ledger_digests(results)
    require_decided(results, digests, contexts, request, lists, older, evidence)
    now = context_digest(request.policy, lists.digest, request.suppressions.digest)
    findings = gathered(results, contexts, request.policy, lists, now)
    findings.withdrawn = sorted({*findings.withdrawn, *earlier})
    shards = findings.by_shard(digests, now)
    report = conclude(request, evidence, quarantine, lists, ledger, findings, shards, started)
    storage.delete_tree(storage.join(evidence, "rescanning"))
    return report
