"""What a rescan looks for, and so which columns of a ledger it reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.open_list import OpenList
from ingestgate.blocklists.signals import signal_type
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescanning.suppressing import NONE_IN_FORCE, RescanSuppressions
from ingestgate.transforms.rescanning.withdrawals import FINDING_COLUMNS


@dataclass(frozen=True)
class RescanLists:
    """What is looked for.

    Attributes:
        matcher: The lists, or what has come to them since a version.
        policy: Whose columns are sources and declared digests.
        newly_needed: Perceptual hashes that no list needed when the ledger was made: whose quality
            nothing has hung on so far.
        withdrawals: Whole lists, to tell which quarantined assets only withdrawn entries had
            matched; none: that is not looked at.
        suppressing: The suppressions in force.
    """

    matcher: Matcher
    policy: Policy
    newly_needed: frozenset[str] = frozenset()
    withdrawals: Sequence[OpenList] = ()
    suppressing: RescanSuppressions = NONE_IN_FORCE

    def of_kind(self, kind: SignalKind) -> list[str]:
        """Returns the signal types of a kind that are looked for."""
        names = sorted(self.matcher.signal_types)
        return [name for name in names if signal_type(name).kind is kind]

    def columns(self, there: Sequence[str]) -> list[str]:
        """Returns the columns of a ledger part that have to be read, by those that it has.

        Of nested ones, only what is looked at.
        """
        columns = ["asset_id", "verdict", "size", "frames"]
        digests = self.of_kind(SignalKind.DIGEST)
        columns += [name for name in digests if name in there]
        columns += sorted({f"sidecars.list.element.{n if n in there else 'size'}" for n in digests})
        for name in self.of_kind(SignalKind.PERCEPTUAL):
            if f"{name}_views" in there:
                columns.append(f"{name}_views.list.element.hashes")
                if name in self.newly_needed:
                    columns.append(f"{name}_views.list.element.quality")
        if self.reads_provenance():
            columns.append("provenance")
        if self.withdrawals:
            columns += [f"findings.list.element.{n}" for n in FINDING_COLUMNS]
        return columns

    def reads_provenance(self) -> bool:
        """Whether anything is looked for in what assets say of themselves."""
        named = {name for name, patterns in self.policy.digest_columns.items() if patterns}
        return bool(self.of_kind(SignalKind.SOURCE) or named & self.matcher.signal_types)
