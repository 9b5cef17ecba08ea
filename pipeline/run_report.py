"""What the report of a run holds: see `summary` for its figures."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingestgate.assets.errors import GateError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.suppressions import Suppressions
from ingestgate.pipeline import report_history, summary
from ingestgate.pipeline.exit_codes import ExitCode, exit_code
from ingestgate.pipeline.plan import Plan
from ingestgate.transforms.settings import RunSettings


def run_report(
    settings: RunSettings,
    plan: Plan,
    lists: ListSet,
    suppressions: Suppressions,
    figures: summary.Figures,
    failed: Mapping[str, str],
    error: GateError | None,
    started_at: datetime,
    seconds: float,
) -> dict[str, Any]:
    """Returns what the report says, but for what is only known once it is certified and logged.

    Args:
        settings: The run's, as are the others.
        plan: What there was to do.
        lists: By what it was judged.
        suppressions: What let matches pass.
        figures: What it came to.
        failed: Why shards could not be done, by their names.
        error: Why the run failed, if it did.
        started_at: When it began.
        seconds: How long it took.
    """
    shards = plan.discovery.shards
    total, unreported = figures.total, figures.unreported
    fresh = sum(figures.done.values(), Counter[str]())
    judged = sum(summary.counts(fresh).values())
    code = ExitCode.DONE if error is None else exit_code(error)
    return {
        "version": summary.REPORT_VERSION,
        "status": "done" if error is None else "failed",
        "exit_code": int(code),
        "error": None if error is None else str(error),
        "dry_run": settings.dry_run,
        "started_at": started_at.isoformat(timespec="seconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": summary.counts(total),
        "reasons": summary.group(total, "reason"),
        "tiers": summary.group(total, "tier"),
        "lists": summary.describe_lists(lists, summary.group(total, "list")),
        "lists_digest": settings.lists_digest,
        "not_searched": summary.not_searched(lists, settings),
        "suppressions": summary.describe_suppressions(suppressions, total),
        "since_last_report": {
            "counts": summary.counts(unreported),
            "reasons": summary.group(unreported, "reason"),
            "tiers": summary.group(unreported, "tier"),
            "lists": summary.group(unreported, "list"),
            "categories": summary.group(unreported, "category"),
            "suppressed": summary.group(unreported, "suppressed"),
            "receipts": report_history.describe(figures.counted),
        },
        "certificate": None,
        "superseded_lists": [info.name for info in lists.superseded],
        "throughput": {
            "seconds": round(seconds, 3),
            "assets": judged,
            "assets_per_second": round(judged / seconds, 1),
            "bytes_per_second": round(
                sum(shard.size for shard in plan.todo if shard.name in figures.done) / seconds
            ),
        },
        "shards": {
            "total": len(shards),
            "finished_before": len(plan.finished),
            "left_out": len(shards) - len(plan.finished) - len(plan.todo),
            "done": len(figures.done),
            "replaced": list(figures.replaced),
            "failed": [
                {"shard": name, "problem": problem} for name, problem in sorted(failed.items())
            ],
        },
        "input": {
            "root": plan.discovery.root,
            "bytes": sum(shard.size for shard in shards),
            "left_behind": list(plan.discovery.left_behind),
        },
        "paths": {
            "output": settings.output,
            "quarantine": settings.quarantine,
            "evidence": settings.evidence,
        },
        "recipients": list(settings.recipients),
        "isolation": summary.isolation(total),
        "policy": summary.describe_policy(settings),
        "software": summary.software(),
    }
