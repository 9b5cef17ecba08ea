"""The run report: what a run did, added up from receipts and ledger, for machines and people.

`report.json` and `report.html` lie in the evidence folder. Neither holds a listed hash, a
listed URL or anything of an asset.
"""

import functools
import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ingestgate.assets import ledger, storage
from ingestgate.assets.errors import LedgerError
from ingestgate.assets.purges import is_as_judged
from ingestgate.assets.receipts import Receipt, finished_receipts, read_receipts
from ingestgate.assets.shard import Shard
from ingestgate.assets.verdict import Verdict
from ingestgate.blocklists.exemptions import Exemption
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.suppressions import Suppressions
from ingestgate.pipeline import report_history
from ingestgate.pipeline.templating import template
from ingestgate.transforms.canaries import not_looked_for
from ingestgate.transforms.settings import RunSettings, policy_digest

REPORT_VERSION = 1


def tallies(shards: Sequence[Shard], settings: RunSettings) -> dict[str, Counter[str]]:
    """Returns the tallies of the shards that are done, by their names.

    From receipts; in a dry run, which leaves none, from the ledger's parts.
    """
    if settings.dry_run:
        judged = {shard.name: list(_headers(shard, settings)) for shard in shards}
        return {
            name: sum(
                (Counter(header.tallies) for header in headers),
                Counter(ledger.tally_isolation(headers)),
            )
            for name, headers in judged.items()
            if headers and len(headers) == headers[0].total
        }
    done = finished_receipts(settings.evidence, settings.output, shards, settings.context)
    return {name: Counter(receipt.tallies) for name, receipt in done.items()}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a report adds up.

    Attributes:
        done: Tallies of the shards that this run has done, by their names.
        total: Tallies of these and of what earlier runs have finished. Receipts of the latter may
            be of older rules: where a rescan found a shard clean, or a recall leaves it as it is.
        unreported: Tallies of what no earlier report has counted: what this run did, and what a
            run committed which was killed before it could write its report.
        counted: Digests of the ledgers that ``unreported`` is of.
        replaced: Names of those of ``done`` whose admitted output has taken the place of what an
            earlier content of the landing zone had under that name.
    """

    done: Mapping[str, Counter[str]]
    total: Counter[str]
    unreported: Counter[str]
    counted: Sequence[str]
    replaced: Sequence[str] = ()


def of_other_content(todo: Sequence[Shard], settings: RunSettings) -> dict[str, Receipt]:
    """Returns the receipts of shards that were another content of the landing zone, by their names.

    Not of those that are what a purge has left of that.

    Raises:
        EvidenceError: What lies in the place of a purge's receipt is none.
        StorageError: One cannot be read.
    """
    receipts = read_receipts(settings.evidence, todo)
    return {
        shard.name: receipts[shard.name]
        for shard in todo
        if shard.name in receipts
        and not is_as_judged(settings.evidence, shard, receipts[shard.name].identity)
    }


def add_up(
    todo: Sequence[Shard],
    finished: Sequence[Shard],
    settings: RunSettings,
    others: Mapping[str, Receipt],
) -> Figures:
    """Returns the figures of a run.

    Args:
        todo: What it had to do.
        finished: What was finished before.
        settings: The run's settings.
        others: What `of_other_content` returned before it began.
    """
    before = read_receipts(settings.evidence, finished)
    earlier = _sum(receipt.tallies for receipt in before.values())
    if settings.dry_run:
        judged = tallies(todo, settings)
        fresh = _sum(judged.values())
        return Figures(judged, fresh + earlier, fresh, ())
    made = finished_receipts(settings.evidence, settings.output, todo, settings.context)
    new = report_history.uncounted(settings.evidence, {**before, **made})
    return Figures(
        done={name: Counter(receipt.tallies) for name, receipt in made.items()},
        total=_sum(receipt.tallies for receipt in made.values()) + earlier,
        unreported=_sum(receipt.tallies for receipt in new.values()),
        counted=report_history.digests(new),
        replaced=[
            name
            for name, receipt in others.items()
            if name in made and made[name].outputs != receipt.outputs
        ],
    )


def _sum(each: Iterable[Mapping[str, int]]) -> Counter[str]:
    return sum((Counter(one) for one in each), Counter[str]())


def _headers(shard: Shard, settings: RunSettings) -> Iterator[ledger.PartHeader]:
    root = settings.ledger_of(shard.name)
    number, total = 0, 1
    while number < total:
        try:
            header = ledger.read_header(ledger.part_path(root, shard.name, number))
        except LedgerError:
            return
        if header is None or (header.identity, header.format, header.context) != (
            shard.identity,
            shard.format,
            settings.context,
        ):
            return
        yield header
        number, total = number + 1, header.total


def group(total: Mapping[str, int], prefix: str) -> dict[str, int]:
    """Returns the tallies under a prefix, most first."""
    found = {
        key.removeprefix(f"{prefix}:"): count
        for key, count in total.items()
        if key.startswith(f"{prefix}:")
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def counts(total: Mapping[str, int]) -> dict[str, int]:
    """Returns how many assets have each verdict."""
    return {verdict.value: total.get(f"verdict:{verdict}", 0) for verdict in Verdict}


def isolation(total: Mapping[str, int]) -> list[dict[str, Any]]:
    """Returns what confined the decoders, by measure, and of how many shards; most first."""
    found = group(total, "isolation").items()
    return [{"shards": count, "measures": json.loads(text)} for text, count in found]


def describe_lists(lists: ListSet, matched: Mapping[str, int]) -> list[dict[str, Any]]:
    """Returns what the report says of each list that was used."""
    return [
        {
            "id": info.id,
            "version": info.version,
            "partner": info.partner,
            "issued": str(info.issued),
            "expires": None if info.expires is None else str(info.expires),
            "entries": info.listed,
            "thresholds": dict(info.thresholds),
            "action": info.action,
            "digest": info.digest,
            "canaries": sorted(info.canaries),
            "signed_by": list(info.signed_by),
            "exception": _exception(lists.exemptions.get(info.id)),
            "assets_matched": matched.get(info.id, 0),
        }
        for info in lists.infos
    ]


def not_searched(lists: ListSet, settings: RunSettings) -> dict[str, list[str]]:
    """Returns, by list id, the signal types that the policy keeps from being looked for."""
    closed = not_looked_for(settings.policy)
    found = {info.id: sorted(closed & info.counts.keys()) for info in lists.infos}
    return {name: signals for name, signals in found.items() if signals}


def describe_suppressions(suppressions: Suppressions, total: Mapping[str, int]) -> dict[str, Any]:
    """Returns what the report says of suppressions: which, and how many assets they let pass.

    Args:
        suppressions: Those that were verified.
        total: The tallies of all shards.
    """
    used = group(total, "suppression")
    return {
        "in_force": [
            {**one.described(), "assets": used.get(one.id, 0)} for one in suppressions.in_force
        ],
        "expired": [one.described() for one in suppressions.expired],
        "assets": group(total, "suppressed"),
    }


def _exception(exemption: Exemption | None) -> dict[str, Any] | None:
    if exemption is None:
        return None
    said = exemption.model_dump(mode="json", include={"made", "until", "reason"})
    return {**said, "signed_by": list(exemption.signed_by)}


@functools.cache  # each version is a file to be parsed
def software() -> Mapping[str, str]:
    """Returns the versions that decide what a run does."""
    names = ("apache-beam", "pillow", "numpy", "pyarrow", "imagehash", "can-ada", "pyrage")
    return {
        "ingestgate": version("ingestgate"),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def describe_policy(settings: RunSettings) -> dict[str, Any]:
    """Returns the effective policy and its digest."""
    return {
        "digest": policy_digest(settings.policy),
        "effective": settings.policy.model_dump(mode="json"),
    }


def report_digest(report: Mapping[str, Any]) -> str:
    """Returns the hex SHA-256 of a report's bytes, as they are or will be written."""
    return hashlib.sha256(_encoded(report)).hexdigest()


def _encoded(report: Mapping[str, Any]) -> bytes:
    return (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def write_report(evidence: str, report: Mapping[str, Any], counted: Sequence[str]) -> None:
    """Writes ``report.json`` and ``report.html`` into the evidence folder.

    A copy of the former stays in ``reports/``, so that reports can be added up. It comes first:
    a run that is killed between the two is in the history, and counted once.

    Args:
        evidence: The evidence folder.
        report: What to write.
        counted: Digests of the receipts that it counts, see `Figures`.
    """
    encoded = _encoded(report)
    report_history.keep(evidence, report["ended_at"], encoded, counted)
    storage.write_bytes(storage.join(evidence, "report.json"), encoded, private=True)
    page = template("report.html").render(report=report)
    storage.write_bytes(
        storage.join(evidence, "report.html"), page.encode("utf-8", "replace"), private=True
    )
