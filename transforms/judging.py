"""Judging: what is known of an asset and what its bytes show, against the lists, to a verdict.

Plain functions of the rooms below, put together; `transforms.judge` and `transforms.gate` wire
them into Beam.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ingestgate.assets.kinds import kind_of
from ingestgate.assets.ledger import LedgerRow, Sidecar
from ingestgate.assets.media import sniff
from ingestgate.assets.provenance import SIDECAR_ERROR
from ingestgate.assets.shard import (
    Kind,
    Member,
    Sample,
    accountable_members,
    asset_id,
    sidecar_members,
)
from ingestgate.assets.verdict import (
    CONTENT_VIEW,
    SIDECAR_VIEW,
    Finding,
    Reason,
    SignalKind,
    Verdict,
    tier,
)
from ingestgate.blocklists.columns import decode_hex_value
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import signal_types
from ingestgate.blocklists.sources import BadSource, is_absent, says_source
from ingestgate.blocklists.suppressions import NO_SUPPRESSIONS, Suppressions
from ingestgate.fingerprints.digests import DIGESTS, digests_of
from ingestgate.fingerprints.fingerprinter import Fingerprint
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.transforms.batching import batches
from ingestgate.transforms.earlier_matches import EarlierMatches
from ingestgate.transforms.evidence import Checked, Evidence
from ingestgate.transforms.looking import AnyFingerprinter, Look, Looker
from ingestgate.transforms.policy import Policy, matches_column

_log = logging.getLogger(__name__)
_LONG_NAME = 256  # characters; those of longer ones are not kept, as a record may have any
_remembered_match = lru_cache(maxsize=4096)(matches_column)


def _matches_column(name: str, patterns: tuple[str, ...]) -> bool:
    matches = matches_column if len(name) > _LONG_NAME else _remembered_match
    return matches(name, patterns)


class _Seen(NamedTuple):
    """What was computed of a batch's bytes all at once, in the order in which it is asked for.

    Attributes:
        digests: Of each sample's sidecars, then of its accountable members, if they have bytes;
            and what they match.
        looks: Of each accountable member that is looked at.
    """

    digests: Iterator[tuple[dict[str, str], list[Finding]]]
    looks: Iterator[Look]


class Judge:
    """Judges assets against a policy and a set of lists. One per worker process.

    Args:
        policy: The policy.
        lists: The opened lists.
        suppressions: Those in force.
        fingerprinter: Of another judge by this policy, to share it; None: the process's own.

    Attributes:
        fingerprinter: What takes perceptual hashes.
        hash_bytes: Width in bytes of each that is taken.
        needed: Those that a list needs.
        further: Digests that are taken beyond the usual, as a list or the policy needs them.
    """

    def __init__(
        self,
        policy: Policy,
        lists: ListSet,
        suppressions: Suppressions = NO_SUPPRESSIONS,
        fingerprinter: AnyFingerprinter | None = None,
    ) -> None:
        self.policy = policy
        self.lists = lists
        self.suppressions = suppressions
        self._looker = Looker(policy, lists, fingerprinter)
        self.fingerprinter = self._looker.fingerprinter
        self.needed, self.hash_bytes = self._looker.needed, self._looker.hash_bytes
        kinds = signal_types()
        wanted = {n for n in lists.signal_types if kinds[n].kind is SignalKind.DIGEST}
        self.further = tuple(sorted((wanted | set(policy.digests)) - set(DIGESTS)))

    def check(self, member: Member, provenance: Mapping[str, str]) -> Checked:
        """Runs every check on one asset that has no companions."""
        contents = [] if member.content is None else [member.content]
        seen = self._see(contents, [CONTENT_VIEW] * len(contents), [member])
        return self._check(member, self._check_provenance(provenance), seen)

    @property
    def isolation(self) -> dict[str, str]:
        """Where pictures are decoded, and what confines that process, by measure.

        Raises:
            GateError: There should be a confined process, and it cannot be started.
        """
        if isinstance(self.fingerprinter, IsolatedFingerprinter):
            # How much memory a process had before differs from one to the next, and limits none.
            measures = self.fingerprinter.measures.items()
            found = {name: said.partition(" beyond ")[0] for name, said in measures}
            return {"decoder": "in a process of its own", **found}
        return {"decoder": "in the worker process"}

    def judge(self, shard: str, sample: Sample) -> list[LedgerRow]:
        """Judges a sample: one row per accountable member.

        One match removes the whole sample, and so does one asset that cannot be scanned;
        the companions say so in their reason.
        """
        return list(self.judge_all(shard, [sample]))

    def judge_all(
        self, shard: str, samples: Iterable[Sample], earlier: EarlierMatches | None = None
    ) -> Iterator[LedgerRow]:
        """Judges samples, in their order; cheaper than each by itself (see `judge`).

        Args:
            shard: The shard's name.
            samples: The samples.
            earlier: What of the shard was quarantined before, and stays so; None: nothing was.
        """
        earlier = earlier or EarlierMatches()
        for batch in batches(samples):
            seen = self._see_all(batch)
            for sample in batch:
                yield from self._judge(shard, sample, seen, earlier)

    def _see_all(self, batch: Sequence[Sample]) -> _Seen:
        """Computes all digests and fingerprints of a batch."""
        contents: list[bytes] = []
        views: list[str] = []
        members: list[Member] = []
        for sample in batch:
            for member in sidecar_members(sample):
                contents.append(member.content or b"")
                views.append(f"{SIDECAR_VIEW}{member.name}")
            accountable = accountable_members(sample)
            for member in accountable:
                if member.content is not None:
                    contents.append(member.content)
                    views.append(CONTENT_VIEW)
            members += accountable
        return self._see(contents, views, members)

    def _see(
        self, contents: Sequence[bytes], views: Sequence[str], members: Sequence[Member]
    ) -> _Seen:
        computed = digests_of(contents, (*DIGESTS, *self.further))
        findings: list[list[Finding]] = [[] for _ in contents]
        for signal in (*DIGESTS, *self.further):
            if signal in self.lists.signal_types:
                values = [digests[signal] for digests in computed]
                for place, hits in self.lists.match_digest_each(signal, values, views).items():
                    findings[place] += hits
        pictures = [
            member.content
            for member in members
            if member.content is not None and self._kind(member) is Kind.PICTURE
        ]
        digests = zip(computed, findings, strict=True)
        return _Seen(digests, iter(self._looker.look_at(pictures)))

    def _judge(
        self, shard: str, sample: Sample, seen: _Seen, earlier: EarlierMatches
    ) -> list[LedgerRow]:
        shared = self._check_provenance(sample.provenance)
        members = accountable_members(sample)
        sidecars, sidecar_findings = self._check_sidecars(sidecar_members(sample), seen)
        shared.findings += sidecar_findings
        ids = [asset_id(shard, each.name, each.field, each.discriminator) for each in members]
        checks = []
        for member, known in zip(members, ids, strict=True):
            check = self._check(member, shared, seen)
            if not check.matches:
                # Whatever lets go of a match by what people decided has to let go of these, too.
                sha256 = check.digests.get("sha256")
                before = earlier.findings_of(known, sha256, sample.provenance)
                before = tuple(self.suppressions.applied(sha256, before))
                check = replace(check, before=before) if before else check
            checks.append(check)
        verdicts = {check.verdict for check in checks}
        provenance = self.recorded(sample.provenance)  # the same for all, and held but once
        rows = []
        for number, (member, check) in enumerate(zip(members, checks, strict=True)):
            verdict, reason = check.verdict, check.reason
            if Verdict.QUARANTINED in verdicts and verdict is not Verdict.QUARANTINED:
                verdict, reason = Verdict.QUARANTINED, Reason.COMPANION_MATCHED
            elif Verdict.UNSCANNABLE in verdicts and verdict is Verdict.ADMITTED:
                verdict, reason = Verdict.UNSCANNABLE, Reason.COMPANION_UNSCANNABLE
            picture = check.fingerprint
            rows.append(
                LedgerRow(
                    asset_id=ids[number],
                    shard=shard,
                    member=member.name,
                    field=member.field,
                    position=member.position,
                    sample=sample.key,
                    verdict=verdict,
                    reason=reason,
                    tier=tier(check.findings),
                    findings=check.findings,
                    size=None if member.content is None else len(member.content),
                    media_type=check.media_type,
                    width=picture.width if picture else None,
                    height=picture.height if picture else None,
                    frames=picture.frames if picture else None,
                    digests=check.digests,
                    perceptual=picture.perceptual if picture else {},
                    provenance=provenance,
                    sidecars=sidecars if number == 0 else (),
                )
            )
        return rows

    def recorded(self, provenance: Mapping[str, str]) -> dict[str, str]:
        """Returns the part of the provenance that goes into the ledger."""
        columns = recorded_columns(provenance, self.policy)
        return {column: provenance[column] for column in columns}

    def _check_provenance(self, provenance: Mapping[str, str]) -> Evidence:
        evidence = Evidence()
        if SIDECAR_ERROR in provenance:
            evidence.hold(Reason.BAD_SIDECAR)
        for column, value in provenance.items():
            if is_absent(value):
                continue
            is_source = _matches_column(column, self.policy.source_columns)
            if is_source or _matches_column(column, self.policy.likely_source_columns):
                is_source = is_source or says_source(value)
                evidence.sources += is_source
                try:
                    evidence.findings += self.lists.match_source(value, column)
                except BadSource as bad:
                    evidence.findings += bad.findings
                    if is_source:
                        evidence.hold(Reason.BAD_SOURCE)
            for signal, patterns in self.policy.digest_columns.items():
                if _matches_column(column, patterns):
                    evidence.candidates += 1
                    self._check_declared(signal, value, f"declared:{column}", evidence)
        if self.policy.require_source and not evidence.sources:
            evidence.hold(Reason.NO_SOURCE)
        return evidence

    def _check_declared(self, signal: str, value: str, view: str, evidence: Evidence) -> None:
        width = signal_types()[signal].width
        raw = decode_hex_value(value, width)
        if raw is None:
            evidence.hold(Reason.BAD_DECLARED_HASH)
        elif signal not in self.lists.signal_types:
            return
        elif signal_types()[signal].kind is SignalKind.DIGEST:
            evidence.findings += self.lists.match_digest(signal, raw, view)
        else:
            query = np.frombuffer(raw, np.uint8).reshape(1, width)
            evidence.findings += self.lists.match_perceptual(signal, query, [view])

    def _check_sidecars(
        self, members: Iterable[Member], seen: _Seen
    ) -> tuple[tuple[Sidecar, ...], list[Finding]]:
        sidecars: list[Sidecar] = []
        findings: list[Finding] = []
        for member in members:
            computed, matches = next(seen.digests)
            findings += matches
            size = len(member.content or b"")
            sidecars.append(Sidecar(member.name, member.position, size, computed))
        return tuple(sidecars), findings

    def _kind(self, member: Member) -> Kind:
        """Returns as what a member is checked."""
        if member.kind is Kind.SKIPPED and self.policy.skipped_members == "screen":
            return kind_of("", member.content or b"", frozenset())
        return member.kind

    def _check(self, member: Member, shared: Evidence, seen: _Seen) -> Checked:
        """Checks one member, by what was seen of it."""
        evidence = Evidence(list(shared.findings), shared.reason, shared.sources, shared.candidates)
        if member.content is None:
            if member.kind is Kind.OTHER:
                evidence.hold(Reason.UNSUPPORTED_MEDIA)  # it has bytes, but not here
            self._hold_by_kind(member.kind, evidence)
            if not evidence.sources and not evidence.candidates:
                evidence.hold(Reason.NOTHING_TO_CHECK)
            return Checked(evidence, {}, None, "")
        computed, matches = next(seen.digests)
        evidence.findings += matches
        kind = self._kind(member)
        self._hold_by_kind(kind, evidence)
        fingerprint = self._use(next(seen.looks), evidence) if kind is Kind.PICTURE else None
        evidence.findings = self.suppressions.applied(computed["sha256"], evidence.findings)
        media_type = fingerprint.media_type if fingerprint else sniff(member.content)
        return Checked(evidence, computed, fingerprint, media_type)

    def _hold_by_kind(self, kind: Kind, evidence: Evidence) -> None:
        policy = self.policy
        if kind is Kind.SKIPPED:
            evidence.hold(Reason.SKIPPED_BY_READERS)
        elif kind is Kind.DUPLICATE:
            evidence.hold(Reason.DUPLICATE_MEMBER)
        elif kind is Kind.OTHER and policy.other_members == "hold":
            evidence.hold(Reason.UNSUPPORTED_MEDIA)
        elif kind is Kind.SIDECAR and policy.samples_without_picture == "hold":
            evidence.hold(Reason.NO_PICTURE)

    def _use(self, look: Look, evidence: Evidence) -> Fingerprint | None:
        """Adds what a look shows to the evidence; returns the fingerprint if there is one."""
        outcome = look.outcome
        if isinstance(outcome, Unscannable):
            if outcome.reason is Reason.INTERNAL_ERROR:
                _log.warning("%s; the asset is held", outcome.detail)
            evidence.hold(outcome.reason)
            return None
        evidence.findings += look.findings
        if any(self.policy.holds_low_quality(name) for name in outcome.low_quality & self.needed):
            evidence.hold(Reason.LOW_QUALITY)
        return outcome


def recorded_columns(columns: Iterable[str], policy: Policy) -> list[str]:
    """Returns the columns that the ledger carries: sources, declared digests, provenance."""
    patterns = (
        *policy.source_columns,
        *policy.likely_source_columns,
        *policy.provenance_columns,
        *(pattern for group in policy.digest_columns.values() for pattern in group),
    )
    return [column for column in columns if _matches_column(column, patterns)]
