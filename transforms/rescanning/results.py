"""What a rescan found in a ledger part, and how it is handed from a worker to the driver."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingestgate.assets.ledger import PartHeader


@dataclass(frozen=True, slots=True)
class Hit:
    """A row of the ledger that a list matches, or may match.

    Attributes:
        asset_id: The asset.
        verdict: What the ledger says of it.
        list_id, entry_id, signal_type: What it matches.
        distance: In bits; beyond the threshold where only the picture can tell.
        certain: Whether it matches as recorded; if not, it has to be judged again.
        quarantines: Whether the list quarantines.
    """

    asset_id: str
    verdict: str
    list_id: str
    entry_id: str
    signal_type: str
    distance: int
    certain: bool
    quarantines: bool


@dataclass(slots=True)
class PartResult:
    """What a rescan found in one ledger part.

    Attributes:
        sha256: Digest of the part that was looked at.
        rows: How many rows it has.
        compared: How many of these were held against lists: those that are not in the quarantine.
        verdicts: How many of each verdict.
        hits: What was found.
        unclear: Admitted assets that have to be judged again without any match: a list now needs a
            hash that low quality may have kept them from, or lists URLs on a host whose URLs could
            not be read further.
        missing: Signal types that a list needs and the part does not hold.
        withdrawn: Quarantined assets that no entry of a list that is there matches any more.
        suppressed: By suppression, admitted assets that it lets pass though an entry matches them.
        released: Quarantined assets that suppressions let pass by now.
    """

    header: PartHeader
    sha256: str
    rows: int = 0
    compared: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    hits: list[Hit] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    withdrawn: list[str] = field(default_factory=list)
    suppressed: dict[str, set[str]] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)


def as_json(result: PartResult) -> Mapping[str, Any]:
    """Returns a result as what JSON can hold."""
    return {
        "shard": result.header.shard,
        "number": result.header.number,
        "total": result.header.total,
        "context": result.header.context,
        "sha256": result.sha256,
        "rows": result.rows,
        "compared": result.compared,
        "verdicts": dict(result.verdicts),
        "hits": [[getattr(hit, name) for name in Hit.__slots__] for hit in result.hits],
        "unclear": result.unclear,
        "missing": sorted(result.missing),
        "withdrawn": result.withdrawn,
        "suppressed": {name: sorted(ids) for name, ids in sorted(result.suppressed.items())},
        "released": result.released,
    }
