"""What the checks of one asset bring up, and the verdict that it supports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingestgate.assets.verdict import Finding, Reason, Verdict
from ingestgate.fingerprints.fingerprinter import Fingerprint


@dataclass(slots=True)
class Evidence:
    """What the checks of one asset brought up.

    Attributes:
        findings: Every match.
        reason: Why the asset cannot be called clean though nothing matched, or None.
        sources, candidates: How many source URLs, and digests or hashes, were checked.
    """

    findings: list[Finding] = field(default_factory=list)
    reason: Reason | None = None
    sources: int = 0
    candidates: int = 0

    def hold(self, reason: Reason) -> None:
        """Notes why the asset cannot be clean; the first reason stands."""
        self.reason = self.reason or reason


@dataclass(frozen=True, slots=True)
class Checked:
    """An asset's own verdict, before its companions are looked at.

    Attributes:
        evidence: What the checks brought up.
        digests: Of its bytes.
        fingerprint: Of its picture, if it has one.
        media_type: What its bytes are.
        before: What it was quarantined for before, where nothing in force matches it now.
    """

    evidence: Evidence
    digests: Mapping[str, str]
    fingerprint: Fingerprint | None
    media_type: str
    before: Sequence[Finding] = ()

    @property
    def matches(self) -> bool:
        """Whether something in force sends it to the quarantine."""
        return any(finding.quarantines for finding in self.evidence.findings)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What matches it, and what it is kept in the quarantine for."""
        return (*self.evidence.findings, *self.before)

    @property
    def verdict(self) -> Verdict:
        """The verdict the evidence supports."""
        if self.matches or any(finding.quarantines for finding in self.before):
            return Verdict.QUARANTINED
        return Verdict.ADMITTED if self.evidence.reason is None else Verdict.UNSCANNABLE

    @property
    def reason(self) -> Reason:
        """The reason that goes with `verdict`."""
        if self.verdict is Verdict.QUARANTINED:
            return Reason.MATCHED if self.matches else Reason.MATCHED_BEFORE
        return self.evidence.reason or Reason.CLEAN
