"""What a rescan is asked, and where what it is about lies: as told, or as the last run said."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.bound_output import bound_output, require_output
from ingestgate.assets.errors import GateError, UsageError
from ingestgate.blocklists.suppressions import NO_SUPPRESSIONS, Suppressions
from ingestgate.pipeline.rescan.since import WHOLE, Since
from ingestgate.transforms.policy import Policy


@dataclass(frozen=True, slots=True)
class RescanRequest:
    """What was asked for on the command line.

    Attributes:
        lists: Folder of compiled lists.
        policy: The policy that the ledgers were judged by.
        since: From which version on lists are looked at.
        list_state: File that remembers which lists were seen, or None.
        key: Signs recall notices, or None.
        workers: Local worker processes.
        output: Root of the admitted shards; None: as the evidence says.
        quarantine: Whose audit log has to say what was found; None: as the report says.
        withdrawals: Also look for quarantined assets that only withdrawn entries had matched.
        suppressions: Those that were verified.
        beam_options: Arguments for Beam.
    """

    lists: str
    policy: Policy
    since: Since = WHOLE
    list_state: str | None = None
    key: Ed25519PrivateKey | None = None
    workers: int = 1
    output: str | None = None
    quarantine: str | None = None
    withdrawals: bool = False
    suppressions: Suppressions = NO_SUPPRESSIONS
    beam_options: Sequence[str] = ()

    def output_of(self, evidence: str) -> str:
        """Returns the root of the shards that were admitted.

        Raises:
            UsageError: It was not told, and nothing in the evidence says it; or it was, and is
                another than that of the evidence, which is still there.
            EvidenceError: What says it is damaged.
        """
        if self.output:
            output = storage.absolute(self.output)
            require_output(evidence, output)
            return output
        # The report of a dry run may be of another.
        return bound_output(evidence) or str(_reported(evidence, "output")["paths"]["output"])

    def quarantine_of(self, evidence: str) -> str | None:
        """Returns the quarantine of what was judged; None where that was a dry run's, without one.

        Raises:
            UsageError: It was not told, and the evidence has no report that says it.
        """
        if self.quarantine is not None:
            return storage.absolute(self.quarantine)
        report = _reported(evidence, "quarantine")
        receipts = storage.is_directory(storage.join(evidence, "receipts"))
        return None if report["dry_run"] and not receipts else str(report["paths"]["quarantine"])


def _reported(evidence: str, folder: str) -> dict[str, Any]:
    """Returns the report of the last run, which says where its folders are."""
    try:
        report = json.loads(storage.read_bytes(storage.join(evidence, "report.json")))
        if isinstance(report["paths"][folder], str) and isinstance(report["dry_run"], bool):
            return dict(report)
    except (GateError, ValueError, KeyError, TypeError):
        pass
    raise UsageError(f"{evidence}: has no report that says where its {folder} is; give --{folder}")
