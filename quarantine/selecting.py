"""Choosing rows of a quarantine's manifests, with what people decided and the cluster beside."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingestgate.assets.errors import UsageError
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.clustering import Clusters
from ingestgate.quarantine.decisions import decisions_of
from ingestgate.quarantine.manifest_reading import read_manifest
from ingestgate.quarantine.sealed_manifests import sealed_manifests


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows; None is no condition.

    Attributes:
        tier: Of this tier of evidence.
        list_id: With a finding of this list.
        category: With a finding of this category.
        source: With this text somewhere in a value of their provenance, whatever the case.
        since, until: Sealed then or later; sealed before then (dates or times, UTC).
        state: Of this state of review.
        cluster: In the cluster whose id starts so.
        up_for_review: Put up for review, and nobody has decided since; False is no condition.
    """

    tier: str | None = None
    list_id: str | None = None
    category: str | None = None
    source: str | None = None
    since: str | None = None
    until: str | None = None
    state: str | None = None
    cluster: str | None = None
    up_for_review: bool = False


def select(root: str, wanted: Selection) -> Iterator[dict[str, Any]]:
    """Yields the wanted rows one at a time, with ``cluster``, ``state`` and ``up_for_review``.

    Raises:
        UsageError: A date is none.
        EvidenceError, VaultError, StorageError: As `read_manifest` does.
    """
    since, until = _moment(wanted.since), _moment(wanted.until)
    lines = list(read_log(root))
    recorded = sealed_manifests(lines)
    decided, clusters = decisions_of(lines), Clusters(read_manifest(root, recorded))
    for row in read_manifest(root, recorded):
        sealed = datetime.fromisoformat(row["sealed_at"])
        if (since and sealed < since) or (until and sealed >= until):
            continue
        asset = row["asset_id"]
        full = {
            **row,
            "cluster": clusters.of(asset),
            "state": decided.state(asset).value,
            "up_for_review": asset in decided.up_for_review,
        }
        if _is_wanted(full, wanted):
            yield full


def assets_of_cluster(root: str, start: str) -> list[str]:
    """Returns the ids of all assets in the one cluster whose id starts so.

    Raises:
        UsageError: There is none, or there are several.
        EvidenceError, VaultError, StorageError: As `read_manifest` does.
    """
    recorded = sealed_manifests(read_log(root))
    clusters = Clusters(read_manifest(root, recorded))
    found: dict[str, set[str]] = {}
    for row in read_manifest(root, recorded):
        cluster = clusters.of(row["asset_id"])
        if cluster.startswith(start):
            found.setdefault(cluster, set()).add(row["asset_id"])
    if len(found) != 1:
        problem = "several clusters" if found else "no cluster"
        raise UsageError(f"{problem} of this quarantine start with {start}; see `list`")
    return sorted(found.popitem()[1])


def _is_wanted(row: Mapping[str, Any], wanted: Selection) -> bool:
    found = row["findings"]
    conditions = (
        wanted.tier is None or row["tier"] == wanted.tier,
        wanted.list_id is None or any(f["list_id"] == wanted.list_id for f in found),
        wanted.category is None or any(f["category"] == wanted.category for f in found),
        wanted.source is None or _mentions(row["provenance"], wanted.source),
        wanted.state is None or row["state"] == wanted.state,
        row["up_for_review"] or not wanted.up_for_review,
        wanted.cluster is None or row["cluster"].startswith(wanted.cluster),
    )
    return all(conditions)


def _mentions(provenance: Mapping[str, str], text: str) -> bool:
    return any(text.casefold() in value.casefold() for value in provenance.values())


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text}: not a date; write it as 2026-05-31") from None
    if moment.tzinfo is None:
        return datetime.fromisoformat(f"{moment.isoformat()}+00:00")
    return moment
