"""Choosing rows of a quarantine's manifests, with what people decided and the cluster beside."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ingestgate.assets.errors import UsageError
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.clustering import Clusters
from ingestgate.quarantine.decisions import Decisions, decisions_of
from ingestgate.quarantine.inventory import rows_of, the_one
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
        UsageError: A date is none, or no cluster's id starts so, or several do.
        EvidenceError, VaultError, StorageError: As `read_manifest` does.
    """
    since, until = _moment(wanted.since), _moment(wanted.until)
    lines = list(read_log(root))
    recorded = sealed_manifests(lines)
    clusters = Clusters(read_manifest(root, recorded))
    if wanted.cluster is not None:
        wanted = replace(wanted, cluster=_whole_cluster(clusters, wanted.cluster))
    for row in _reviewed(read_manifest(root, recorded), clusters, decisions_of(lines)):
        sealed = datetime.fromisoformat(row["sealed_at"])
        if (since and sealed < since) or (until and sealed >= until):
            continue
        if _is_wanted(row, wanted):
            yield row


def select_asset(root: str, start: str) -> list[dict[str, Any]]:
    """Returns all rows of the one asset whose id starts so, with the same beside.

    Raises:
        UsageError: There is none, or there are several.
        EvidenceError, VaultError, StorageError: As `select` does.
    """
    rows, lines = rows_of(root, start), list(read_log(root))
    clusters = Clusters(read_manifest(root, sealed_manifests(lines)))
    return list(_reviewed(rows, clusters, decisions_of(lines)))


def _reviewed(
    rows: Iterable[Mapping[str, Any]], clusters: Clusters, decided: Decisions
) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            **row,
            "cluster": clusters.of(row["asset_id"]),
            "state": decided.state(row).value,
            "up_for_review": decided.is_up_for_review(row),
        }


def assets_of_cluster(root: str, start: str) -> list[str]:
    """Returns the ids of all assets in the one cluster whose id starts so.

    Raises:
        UsageError: There is none, or there are several.
        EvidenceError, VaultError, StorageError: As `read_manifest` does.
    """
    recorded = sealed_manifests(read_log(root))
    clusters = Clusters(read_manifest(root, recorded))
    cluster = _whole_cluster(clusters, start)
    every = {row["asset_id"] for row in read_manifest(root, recorded)}
    return sorted(asset for asset in every if clusters.of(asset) == cluster)


def _whole_cluster(clusters: Clusters, start: str) -> str:
    return the_one("cluster", start, clusters.starting(start))


def _is_wanted(row: Mapping[str, Any], wanted: Selection) -> bool:
    found = row["findings"]
    conditions = (
        wanted.tier is None or row["tier"] == wanted.tier,
        wanted.list_id is None or any(f["list_id"] == wanted.list_id for f in found),
        wanted.category is None or any(f["category"] == wanted.category for f in found),
        wanted.source is None or _mentions(row["provenance"], wanted.source),
        wanted.state is None or row["state"] == wanted.state,
        row["up_for_review"] or not wanted.up_for_review,
        wanted.cluster is None or row["cluster"] == wanted.cluster,
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
