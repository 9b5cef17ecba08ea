"""By which rules shards were let in, and by which rescan they were found clean since."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.receipts import Receipt
from ingestgate.assets.verdict import Action
from ingestgate.pipeline.certificate.statements import (
    ListException,
    ListUse,
    Rescan,
    Screening,
    SuppressionUse,
)
from ingestgate.pipeline.contexts import ContextRecord, united
from ingestgate.pipeline.rescan.records import RescanRecord
from ingestgate.pipeline.summary import group as tallied
from ingestgate.pipeline.summary import isolation


def newest_rescan(
    rescans: Sequence[RescanRecord], receipt: Receipt, ledger: str, context: str
) -> RescanRecord | None:
    """Returns the newest rescan of a shard by the rules in force; None if there was none.

    By it, it is known anew that nothing in the shard is listed. Without one, those rules must have
    judged the shard themselves.

    Args:
        rescans: Those with the lists in force, the latest first.
        receipt: The shard's.
        ledger: `shard_ledger_digest` of it.
        context: Digest of the rules in force.

    Raises:
        EvidenceError: Nothing says that the shard is clean by the rules in force.
    """
    of_it = (r for r in rescans if r.is_of(receipt.shard, ledger, context))
    newest = next(of_it, None)
    if newest is not None and not newest.covers(receipt.shard, ledger, context):
        raise EvidenceError(
            f"{receipt.shard}: the last rescan with the lists in force found something in it; run "
            "with --recall, which judges it anew"
        )
    if newest is None and receipt.context != context:
        raise EvidenceError(
            f"{receipt.shard}: was judged by other rules than those in force, and no rescan with "
            "the lists in force found it clean; run with it in the input, or rescan"
        )
    return newest


def screening_of(
    record: ContextRecord, rescan: RescanRecord | None, group: Sequence[Receipt]
) -> Screening:
    """Returns what a certificate says of shards that were let in by the same rules.

    Args:
        record: The rules that they were judged by.
        rescan: The newest rescan that held them against the rules in force, if there was one.
        group: Their receipts.
    """
    times = sorted(
        datetime.fromisoformat(receipt.committed_at).replace(microsecond=0) for receipt in group
    )
    total = sum((Counter(receipt.tallies) for receipt in group), Counter[str]())
    exceptions = united(record.exceptions, rescan.exceptions if rescan else ())
    return Screening(
        id=record.context[:16] + (f"+{rescan.id}" if rescan else ""),
        context_digest=record.context,
        policy_digest=record.policy_digest,
        judging_version=record.judging_version,
        judged_with=_uses(record.lists),
        rescanned_with=rescan
        and Rescan(
            id=rescan.id,
            lists=_uses(rescan.lists),
            ended_at=datetime.fromisoformat(rescan.ended_at),
            suppressions=_suppressions(
                rescan.suppressions,
                [rescan.shards[receipt.shard].get("suppressions", {}) for receipt in group],
            ),
        ),
        canaries={str(used["id"]): tuple(used["canaries"]) for used in record.lists},
        not_searched=tuple(sorted(record.not_searched)),
        isolation=tuple(one["measures"] for one in isolation(total)),
        exceptions=tuple(ListException.model_validate(one) for one in exceptions),
        suppressions=_suppressions(
            record.suppressions, [tallied(receipt.tallies, "suppression") for receipt in group]
        ),
        software=tuple(sorted({receipt.software for receipt in group})),
        shards=len(group),
        screened_from=times[0],
        screened_until=times[-1],
    )


def _suppressions(
    known: Sequence[Mapping[str, Any]], used: Sequence[Mapping[str, int]]
) -> tuple[SuppressionUse, ...]:
    """Returns those of the suppressions in force that let an asset pass."""
    assets = sum((Counter(one) for one in used), Counter[str]())
    return tuple(
        SuppressionUse(
            **{name: one[name] for name in ("id", "digest", "made", "until", "signed_by")},
            assets=assets[one["id"]],
        )
        for one in known
        if assets[one["id"]]
    )


def _uses(lists: Sequence[Mapping[str, Any]]) -> tuple[ListUse, ...]:
    uses = (
        ListUse(
            id=str(one["id"]),
            version=one["version"],
            digest=str(one["digest"]),
            action=one.get("action", Action.QUARANTINE),
            signal_types=tuple(one.get("signal_types", ())),
        )
        for one in lists
    )
    return tuple(sorted(uses, key=lambda use: use.id))
