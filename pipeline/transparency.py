"""Figures for a yearly transparency report, added up from runs, rescans and decisions.

Runs count through their kept reports, each only by what no earlier one has counted, so a run that
was resumed counts once; dry runs do not count. An asset that was judged again under newer lists was
screened twice, and counts twice; one that several rescans match, before its shard is judged anew,
was matched once. Nothing that identifies an asset is in the result: no identifier, name, URL, hash
or entry. Small numbers could point at single events; they are given as they are, and whoever
publishes them decides whether to round.
"""

import json
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.verdict import REASONS, Action, Reason, Verdict
from ingestgate.pipeline.rescan.records import RescanRecord, Time, read_rescans
from ingestgate.pipeline.templating import template
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.decisions import APPROVED, DECIDED, Decision, decisions_of
from ingestgate.quarantine.presence import require_log
from ingestgate.quarantine.suppressing import signed_suppressions

TRANSPARENCY_VERSION = 1


class _Read(BaseModel):
    model_config = ConfigDict(strict=True)


class _Exception(_Read):
    until: Time


class _ListUsed(_Read):
    id: str
    version: int
    issued: Time
    partner: str | None = None
    action: str | None = None
    exception: _Exception | None = None


class _Tallies(_Read):
    counts: Mapping[str, int]
    reasons: Mapping[str, int]
    tiers: Mapping[str, int]
    lists: Mapping[str, int]
    categories: Mapping[str, int]
    suppressed: Mapping[str, int] = {}


class _Run(_Read):
    """What is read of a run's report."""

    started_at: Time
    ended_at: Time
    dry_run: bool
    status: str
    lists: list[_ListUsed]
    since_last_report: _Tallies


class _Gate(NamedTuple):
    """What one evidence folder has on record."""

    runs: Sequence[Mapping[str, Any]]
    rescans: Sequence[RescanRecord]


def transparency(year: int, evidence: Sequence[str], quarantines: Sequence[str]) -> dict[str, Any]:
    """Returns the figures of a year (UTC).

    Args:
        year: Which.
        evidence: Evidence folders of every gate.
        quarantines: Quarantine folders whose audit logs hold the decisions.

    Raises:
        UsageError: A folder is named twice, holds no reports, or is no quarantine.
        EvidenceError: A report, record or log is damaged, or a log is gone.
    """
    for root in quarantines:
        require_log(root)
    for folders in (evidence, quarantines):
        if len({_place(folder) for folder in folders}) < len(folders):
            raise UsageError("a folder is named twice, and would be counted twice")
    gates = [_Gate(_reports(folder), read_rescans(folder)) for folder in evidence]
    every = [report for gate in gates for report in gate.runs]
    runs = [one for one in every if _year(one["ended_at"]) == year and not one["dry_run"]]
    rescans = [r for gate in gates for r in gate.rescans if _year(r.ended_at) == year]
    hours = _update_hours(year, gates)
    tallies = [run["since_last_report"] for run in runs]
    counts = _sum(one["counts"] for one in tallies)
    held = {reason.value for reason in REASONS[Verdict.UNSCANNABLE]}
    return {
        "version": TRANSPARENCY_VERSION,
        "year": year,
        "runs": {
            "done": sum(run["status"] == "done" for run in runs),
            "failed": sum(run["status"] != "done" for run in runs),
        },
        "assets": {
            "screened": sum(counts.values()),
            **{verdict.value: counts[verdict.value] for verdict in Verdict},
        },
        "by_month": _by_month(runs),
        "matched": {
            "by_tier": _ordered(_sum(one["tiers"] for one in tallies)),
            "by_category": _ordered(_sum(one["categories"] for one in tallies)),
            "by_partner": _ordered(_by_partner(runs, observing=False)),
            "by_partner_observed_only": _ordered(_by_partner(runs, observing=True)),
        },
        "unscannable_by_reason": _ordered(
            Counter({k: v for k, v in _sum(t["reasons"] for t in tallies).items() if k in held})
        ),
        "let_pass_by_suppressions": _sum(one.get("suppressed", {}) for one in tallies)[
            Verdict.ADMITTED
        ],
        "companions_of_matches": _sum(t["reasons"] for t in tallies)[Reason.COMPANION_MATCHED],
        "matched_before": _sum(t["reasons"] for t in tallies)[Reason.MATCHED_BEFORE],
        "rescans": {
            "count": len(rescans),
            "assets_held_against_newer_lists": sum(record.compared for record in rescans),
            "matched": sum(record.newly_matched for record in rescans),
            "let_pass_by_suppressions": sum(r.tallies.get("suppressed", 0) for r in rescans),
        },
        "hours_from_list_update_to_use": _spread(hours["use"]),
        "hours_from_list_update_to_run": _spread(hours["run"]),
        "hours_from_list_update_to_rescan": _spread(hours["rescan"]),
        "list_age_in_days_at_runs": _spread(_ages(runs)),
        "exceptions_for_expired_lists": len(_exceptions(runs, rescans)),
        "decisions": _decisions(year, quarantines),
    }


def _place(folder: str) -> str:
    """Returns what two names of one folder have in common: links are names."""
    if storage.is_remote(folder):
        return shown(storage.absolute(folder))
    return os.path.realpath(folder)


def _reports(evidence: str) -> list[dict[str, Any]]:
    folder = storage.join(evidence, "reports")
    entries = storage.walk_if_there(folder)
    if not entries:
        raise UsageError(f"{evidence}: holds no reports of runs; give the --evidence of a run")
    found = []
    for entry in entries:
        try:
            report = json.loads(storage.read_bytes(entry.path))
            found.append(_Run.model_validate(report).model_dump())
        except ValueError:
            raise EvidenceError(
                f"{entry.path}: not a run's report; put back what was there"
            ) from None
    return found


def _year(time: str) -> int:
    return _utc(time).year


def _utc(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)


def _sum(tallies: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally)
    return total


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _by_month(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    months: dict[int, Counter[str]] = {month: Counter() for month in range(1, 13)}
    for run in runs:
        months[_utc(run["ended_at"]).month].update(run["since_last_report"]["counts"])
    return [
        {"month": month, **{verdict.value: total[verdict.value] for verdict in Verdict}}
        for month, total in months.items()
    ]


def _by_partner(runs: Sequence[Mapping[str, Any]], *, observing: bool) -> Counter[str]:
    """Counts assets by the partner of the list that they match; one may match several."""
    total: Counter[str] = Counter()
    for run in runs:
        known = {used["id"]: used for used in run["lists"]}
        for name, count in run["since_last_report"]["lists"].items():
            used = known.get(name, {})
            if (used.get("action") == Action.OBSERVE) == observing:
                total[used.get("partner") or f"list {name}"] += count
    return total


def _update_hours(year: int, gates: Sequence[_Gate]) -> dict[str, list[float]]:
    """Returns, for each list version issued in a year, the hours until assets were held to it.

    By a run, by a rescan, and by whichever was first. A rescan with what a run had judged by
    before is no update.
    """
    issued: dict[tuple[str, int], datetime] = {}
    used: dict[str, dict[tuple[str, int], datetime]] = {"use": {}, "run": {}, "rescan": {}}

    def use(how: str, key: tuple[str, int], at: datetime) -> None:
        for first in (used[how], used["use"]):
            first[key] = min(at, first.get(key, at))

    for gate in gates:
        judged: dict[tuple[str, int], datetime] = {}
        for run in gate.runs:
            ended = _utc(run["ended_at"])
            for one in run["lists"]:
                key = (one["id"], one["version"])
                issued[key] = _utc(one["issued"])
                if not run["dry_run"] and run["status"] == "done":
                    judged[key] = min(ended, judged.get(key, ended))
                    use("run", key, ended)
        for record in gate.rescans:
            ended = _utc(record.ended_at)
            for one in record.lists:
                key = (one["id"], one["version"])
                if "issued" in one:
                    issued[key] = _utc(one["issued"])
                if key not in judged or ended < judged[key]:
                    use("rescan", key, ended)
    return {
        how: [
            (at - issued[key]).total_seconds() / 3600
            for key, at in first.items()
            if key in issued and issued[key].year == year
        ]
        for how, first in used.items()
    }


def _ages(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    return [
        (_utc(run["started_at"]) - _utc(used["issued"])).total_seconds() / 86400
        for run in runs
        for used in run["lists"]
    ]


def _exceptions(
    runs: Sequence[Mapping[str, Any]], rescans: Sequence[RescanRecord]
) -> set[tuple[str, int, datetime]]:
    """Returns list, version and end of the exceptions that anything used."""
    by_runs = {
        (used["id"], used["version"], _utc(used["exception"]["until"]))
        for run in runs
        for used in run["lists"]
        if used.get("exception")
    }
    by_rescans = {
        (one["list_id"], one["version"], _utc(one["until"]))
        for record in rescans
        for one in record.exceptions
    }
    return by_runs | by_rescans


def _spread(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"count": 0, "median": None, "longest": None}
    return {
        "count": len(values),
        "median": round(statistics.median(values), 1),
        "longest": round(max(values), 1),
    }


def _decisions(year: int, quarantines: Sequence[str]) -> dict[str, Any]:
    """Counts what people decided in a year: of each asset the last decision.

    An asset is released if nobody has decided about it again since, in a later year neither.
    """
    last: dict[tuple[str, str], str] = {}
    released: set[tuple[str, str]] = set()
    suppressions: set[str] = set()
    for root in quarantines:
        requests: dict[int, Any] = {}
        lines = list(read_log(root))
        decisions_of(lines)  # refuses what somebody did who might not
        for line in lines:
            requests[line.number] = line.fields.get("assets", ())
            of_year = _year(line.time) == year
            if line.event == DECIDED:
                for asset in line.fields["assets"]:
                    released.discard((root, asset))
                    if of_year:
                        last[root, asset] = str(line.fields["decision"])
            elif line.event == APPROVED and of_year:
                asked = requests.get(int(line.fields["request"]), ())
                released |= {(root, asset) for asset in asked}
        suppressions |= signed_suppressions(one for one in lines if _year(one.time) == year)
    counts = Counter(last.values())
    settled = counts[Decision.CONFIRMED] + counts[Decision.FALSE_POSITIVE]
    share = counts[Decision.FALSE_POSITIVE] / settled if settled else None
    return {
        **{decision.value: counts[decision.value] for decision in Decision},
        "released": len(released),
        "suppressions_signed": len(suppressions),
        "false_positive_share": None if share is None else round(share, 4),
    }


def page(figures: Mapping[str, Any]) -> str:
    """Returns the figures as a page of HTML, plots included; it loads nothing."""
    return template("transparency.html").render(figures=figures)
