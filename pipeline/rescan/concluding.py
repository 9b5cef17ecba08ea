"""The end of a rescan: findings, notice, audit log and record, in this order.

The record comes last: without it the rescan counts as not done, and is done again.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.receipts import Receipt, require_published
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.audit_events import end_rescan
from ingestgate.pipeline.certificate.statements import current_certificate, digest_of
from ingestgate.pipeline.recall_notices import RecallNotice, write_recall
from ingestgate.pipeline.rescan.findings import Findings
from ingestgate.pipeline.rescan.parts import Ledger, remedy_without_receipt
from ingestgate.pipeline.rescan.records import (
    NEWLY_MATCHED,
    RescanRecord,
    findings_path,
    found_before,
    write_rescan,
)
from ingestgate.pipeline.rescan.request import RescanRequest
from ingestgate.transforms.settings import policy_digest


def conclude(
    request: RescanRequest,
    evidence: str,
    quarantine: str | None,
    lists: ListSet,
    ledger: Ledger,
    findings: Findings,
    shards: Mapping[str, Mapping[str, Any]],
    started: datetime,
) -> dict[str, Any]:
    """Writes what a rescan found, and that it was done.

    Args:
        request: What was asked.
        evidence: Whose ledger it was.
        quarantine: Whose audit log says it; None for a dry run's ledger, of which none says it.
        lists: What the ledger was held against.
        ledger: All of it.
        findings: What was found.
        shards: As `RescanRecord.shards`.
        started: When the rescan began.

    Returns:
        What was found, in counts and names of shards.

    Raises:
        EvidenceError: What was admitted of a recalled shard is not on record, or an earlier
            rescan's record is damaged.
        UsageError: The output holds nothing of what was admitted of the recalled shards.
        StorageError: Something could not be written.
    """
    matched, again = findings.matched, findings.to_judge_again
    tallies = findings.tallies()
    every = findings.recalled()
    tallies[NEWLY_MATCHED] = len(every - found_before(evidence)) if every else 0
    # Two may begin in one second, and what was closed under a name must not close another.
    unique = secrets.token_hex(4)
    name = f"{started.strftime('%Y%m%dT%H%M%SZ')}-{lists.digest[:12]}-{unique}"
    used = [{"id": i.id, "version": i.version, "digest": i.digest} for i in lists.infos]
    exceptions = [one.described() for one in lists.exemptions.values()]
    output = request.output_of(evidence)
    # Of a dry run, nothing was admitted.
    recalled: list[dict[str, Any]] = []
    missing: list[str] = []
    if quarantine is not None:
        recalled, missing = _recalled(evidence, output, ledger.receipts, findings)
    paths = []
    if findings.lines or again:
        _write_findings(evidence, name, findings)
    if recalled:
        certificate = current_certificate(output)
        notice = RecallNotice(
            dataset=shown(output),
            made_at=started.isoformat(timespec="seconds"),
            # All of them: what has to be judged again was found by no list in particular.
            lists=used,
            shards=recalled,
            certificate=digest_of(certificate[0].payload) if certificate else "",
            exceptions=exceptions,
        )
        paths = write_recall(output, evidence, name, notice, request.key)
    if request.withdrawals:
        _write_withdrawn(evidence, name, findings.withdrawn)
    record = RescanRecord(
        id=name,
        lists=[
            {
                **one,
                "issued": info.issued.isoformat(),
                "action": info.action.value,
                "signal_types": sorted(info.counts),
                "since": request.since.version(info),
            }
            for one, info in zip(used, lists.infos, strict=True)
        ],
        lists_digest=lists.digest,
        rows=findings.rows,
        matched=matched + again,
        shards=shards,
        started_at=started.isoformat(timespec="seconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tallies=dict(tallies),
        suppressions=[one.described() for one in request.suppressions.in_force],
        exceptions=exceptions,
    )
    counts = {
        "policy_digest": policy_digest(request.policy),
        "rows": findings.rows,
        "compared": findings.compared,
        "matched": matched,
        "to_judge_again": again,
    }
    put_up = 0
    if quarantine is not None:
        said = {
            "evidence": evidence,
            "lists": used,
            "exceptions": exceptions,
            **counts,
            "recalled": len(recalled),
        }
        ids = [asset for _, asset in findings.withdrawn] if request.withdrawals else []
        put_up = end_rescan(quarantine, name, said, ids, paths, request.key)
    write_rescan(evidence, record)
    return {
        "evidence": evidence,
        "id": name,
        "lists": record.lists,
        "exceptions": exceptions,
        **counts,
        "unscannable_matched": tallies["unscannable_matched"],
        "suppressed": tallies["suppressed"],
        "released": tallies["released"],
        "suppressions_expired": [one.id for one in request.suppressions.expired],
        "withdrawn": len(findings.withdrawn),
        "put_up_for_review": put_up,
        "shards": len(shards),
        "left_out": list(ledger.left_out),
        "recalled": [entry["name"] for entry in recalled],
        "notices": paths,
        "missing": sorted({*ledger.missing, *missing}),
    }


def _recalled(
    evidence: str, output: str, receipts: Mapping[str, Receipt], findings: Findings
) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the admitted files of shards in which something was found, and which are missing.

    What is missing is recalled, too: somebody may have a copy.

    Raises:
        EvidenceError: Something was, and what was admitted of its shard is not on record.
        UsageError: The output holds nothing of it: no training job would see the notice there.
    """
    recalled: list[dict[str, Any]] = []
    shards = sorted({shard for shard, _ in findings.recalled()})
    for shard in shards:
        if shard not in receipts:
            raise EvidenceError(
                f"{shard}: something in it matches, and no receipt says what was admitted of it; "
                f"{remedy_without_receipt(evidence, output, shard)}"
            )
    missing = require_published(evidence, output, (receipts[shard] for shard in shards))
    for shard in shards:
        for entry in receipts[shard].outputs:
            recalled.append(
                {
                    "name": entry["name"],
                    "sha256": entry["sha256"],
                    "shard": shard,
                    "assets": len(findings.sure.get(shard, ())),
                    "to_judge_again": len(findings.near.get(shard, ())),
                }
            )
    return recalled, missing


def _write_findings(evidence: str, name: str, findings: Findings) -> None:
    lines = [dict(sorted(line.items())) for line in findings.lines]
    lines += [
        {"shard": shard, "asset_id": asset, "judge_again": True}
        for shard, assets in sorted(findings.near.items())
        for asset in sorted(assets)
    ]
    _write_lines(findings_path(evidence, name), lines)


def _write_withdrawn(evidence: str, name: str, withdrawn: Sequence[tuple[str, str]]) -> None:
    lines = [{"shard": shard, "asset_id": asset} for shard, asset in sorted(withdrawn)]
    _write_lines(storage.join(evidence, "withdrawn", f"{name}.jsonl"), lines)


def _write_lines(path: str, lines: Sequence[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    storage.write_bytes(path, text.encode(), private=True)
