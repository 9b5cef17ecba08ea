"""Suppressions in a rescan: what they let pass now, and what judging anew would decide otherwise.

A ledger's rows are of the suppressions that were in force when they were judged. An admitted asset
that one let pass which is not in force any more has to be judged again, and so has a quarantined
one that they let pass by now.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.verdict import SIDECAR_VIEW, Action, Verdict
from ingestgate.blocklists.suppressions import NO_SUPPRESSIONS, Suppressions

#: Of findings, what is looked at.
FINDING_COLUMNS = ("list_id", "list_version", "entry_id", "view", "action", "suppression")


@dataclass(frozen=True)
class RescanSuppressions:
    """What a rescan asks of suppressions.

    Attributes:
        suppressions: Those in force.
        versions: By list id, the versions of the lists in use.
    """

    suppressions: Suppressions = NO_SUPPRESSIONS
    versions: Mapping[str, int] = field(default_factory=dict)

    def columns(self, tallies: Mapping[str, int]) -> list[str]:
        """Returns the columns of a ledger part that are needed, by the tallies in its header."""
        if self.suppressions or tallies.get(f"suppressed:{Verdict.ADMITTED}"):
            return ["sha256", *(f"findings.list.element.{name}" for name in FINDING_COLUMNS)]
        return []

    def to_judge_again(self, batch: pa.RecordBatch, tallies: Mapping[str, int]) -> list[str]:
        """Returns admitted assets that a suppression let pass which is not in force any more."""
        if not tallies.get(f"suppressed:{Verdict.ADMITTED}"):
            return []
        return [
            row["asset_id"]
            for row in _with_findings(batch, Verdict.ADMITTED)
            if any(
                one["suppression"] and not self._of(row["sha256"], one) for one in row["findings"]
            )
        ]

    def released(self, batch: pa.RecordBatch) -> list[str]:
        """Returns quarantined assets all of whose matches suppressions let pass by now."""
        if not self.suppressions:
            return []
        found = []
        for row in _with_findings(batch, Verdict.QUARANTINED):
            counted = [
                one
                for one in row["findings"]
                if one["action"] != Action.OBSERVE and not one["suppression"]
            ]
            if counted and all(self._of(row["sha256"], one) for one in counted):
                found.append(row["asset_id"])
        return found

    def _of(self, sha256: str | None, finding: Mapping[str, Any]) -> str:
        version = self.versions.get(finding["list_id"], finding["list_version"])
        if finding["view"].startswith(SIDECAR_VIEW):
            return ""
        return self.suppressions.of(sha256, finding["list_id"], version, finding["entry_id"])


#: None in force, as far as a rescan is concerned.
NONE_IN_FORCE = RescanSuppressions()


def _with_findings(batch: pa.RecordBatch, verdict: Verdict) -> list[dict[str, Any]]:
    chosen = pc.and_(
        pc.equal(batch["verdict"], verdict.value),
        pc.greater(pc.list_value_length(batch["findings"]), 0),
    )
    rows: list[dict[str, Any]] = (
        batch.select(["asset_id", "sha256", "findings"]).filter(chosen).to_pylist()
    )
    return rows
