"""Judging: what is known of an asset and what its bytes show, against the lists, to a verdict.

Plain functions of the rooms below, put together; `transforms.judge` and `transforms.gate` wire
them into Beam.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ingestgate.assets.errors import UsageError
from ingestgate.assets.ledger import LedgerRow, Sidecar
from ingestgate.assets.media import kind_of, sniff
from ingestgate.assets.perceptual_view import PerceptualView
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
from ingestgate.blocklists.sources import BadSource, is_absent
from ingestgate.blocklists.suppressions import NO_SUPPRESSIONS, Suppressions
from ingestgate.fingerprints.digests import DIGESTS, digests_of
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import QUALITY_MARGIN, perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import NEED_NOT_BE_SEEN, ORIENTATIONS, variant_of
from ingestgate.transforms.earlier_matches import EarlierMatches
from ingestgate.transforms.evidence import Checked, Evidence
from ingestgate.transforms.policy import Policy, matches_column

_log = logging.getLogger(__name__)
_matches_column = lru_cache(maxsize=4096)(matches_column)

_BATCH_SAMPLES = 32
_BATCH_BYTES = 8 << 20


@dataclass(slots=True)
class _Look:
    """What an asset's pictures look like, or why that cannot be told; and whom they look like."""

    outcome: Fingerprint | Unscannable
    findings: list[Finding] = field(default_factory=list)


class _Seen(NamedTuple):
    """What was computed of a batch's bytes all at once, in the order in which it is asked for.

    Attributes:
        digests: Of each sample's sidecars, then of its accountable members, if they have bytes.
        looks: Of each accountable member that is looked at.
    """

    digests: Iterator[dict[str, str]]
    looks: Iterator[_Look]


class Judge:
    """Judges assets against a policy and a set of lists. One per worker process.

    Args:
        policy: The policy.
        lists: The opened lists.
        suppressions: Those in force.

    Attributes:
        hash_bytes: Width in bytes of each perceptual hash that is taken.
        needed: Those that a list needs.
        further: Digests that are taken beyond the usual, as a list or the policy needs them.
    """

    def __init__(
        self, policy: Policy, lists: ListSet, suppressions: Suppressions = NO_SUPPRESSIONS
    ) -> None:
        self.policy = policy
        self.lists = lists
        self.suppressions = suppressions
        listed = {
            kind: {n for n in lists.signal_types if signal_types()[n].kind is kind}
            for kind in (SignalKind.DIGEST, SignalKind.PERCEPTUAL)
        }
        perceptual = listed[SignalKind.PERCEPTUAL]
        names = perceptual | set(policy.perceptual)
        _check_widths(names)
        wanted = listed[SignalKind.DIGEST] | set(policy.digests)
        self.further = tuple(sorted(wanted - set(DIGESTS)))
        self.needed = frozenset(perceptual)
        self.fingerprinter = _fingerprinter(
            policy.decoder, tuple(sorted(names)), policy.decode_limits(), policy.limits.max_seconds
        )
        known = perceptual_hashes()
        self.hash_bytes = {name: known[name].bits // 8 for name in sorted(names)}

    def check(self, member: Member, provenance: Mapping[str, str]) -> Checked:
        """Runs every check on one asset that has no companions."""
        seen = self._see([] if member.content is None else [member.content], [member])
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
        for batch in _batches(samples):
            seen = self._see_all(batch)
            for sample in batch:
                yield from self._judge(shard, sample, seen, earlier)

    def _see_all(self, batch: Sequence[Sample]) -> _Seen:
        """Computes all digests and fingerprints of a batch."""
        contents: list[bytes] = []
        members: list[Member] = []
        for sample in batch:
            accountable = accountable_members(sample)
            contents += [member.content or b"" for member in sidecar_members(sample)]
            contents += [each.content for each in accountable if each.content is not None]
            members += accountable
        return self._see(contents, members)

    def _see(self, contents: Sequence[bytes], members: Sequence[Member]) -> _Seen:
        computed = digests_of(contents, (*DIGESTS, *self.further))
        return _Seen(iter(computed), iter(self._look_at(members)))

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
                    provenance=self.recorded(sample.provenance),
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
            if _matches_column(column, self.policy.url_columns):
                evidence.sources += 1
                try:
                    evidence.findings += self.lists.match_source(value, column)
                except BadSource as bad:
                    evidence.findings += bad.findings
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

    def _check_digests(self, seen: _Seen, view: str, findings: list[Finding]) -> dict[str, str]:
        """Returns the digests of the next content, and adds what they match to the findings."""
        computed = next(seen.digests)
        for signal, value in computed.items():
            if signal in self.lists.signal_types:
                findings += self.lists.match_digest(signal, value, view)
        return computed

    def _check_sidecars(
        self, members: Iterable[Member], seen: _Seen
    ) -> tuple[tuple[Sidecar, ...], list[Finding]]:
        sidecars: list[Sidecar] = []
        findings: list[Finding] = []
        for member in members:
            computed = self._check_digests(seen, f"{SIDECAR_VIEW}{member.name}", findings)
            size = len(member.content or b"")
            sidecars.append(Sidecar(member.name, member.position, size, computed))
        return tuple(sidecars), findings

    def _look_at(self, members: Iterable[Member]) -> list[_Look]:
        """Looks at those of the members that are decoded, in their order.

        First the quick way. What comes near an entry, or near the quality that is needed, is
        looked at again the exact way, and that decides.
        """
        contents = [
            member.content
            for member in members
            if member.content is not None and self._kind(member) is Kind.PICTURE
        ]
        quick = self.fingerprinter.fingerprint_many(contents)
        if self.fingerprinter.is_exact:
            return self._match(quick)
        looks = self._match(quick, with_margin=True)
        doubted = [number for number, look in enumerate(looks) if self._is_in_doubt(look)]
        again = [contents[number] for number in doubted]
        exact = self.fingerprinter.fingerprint_many(again, exact=True) if again else []
        for number, look in zip(doubted, self._match(exact), strict=True):
            looks[number] = look
        return looks

    def _is_in_doubt(self, look: _Look) -> bool:
        """Whether the exact way could decide otherwise."""
        if isinstance(look.outcome, Unscannable):
            return False
        if look.findings:
            return True
        if look.outcome.low_quality & self.needed:
            return True
        return any(_is_borderline(name, look.outcome.perceptual[name]) for name in self.needed)

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
        computed = self._check_digests(seen, "content", evidence.findings)
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

    def _use(self, look: _Look, evidence: Evidence) -> Fingerprint | None:
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

    def _match(
        self, outcomes: Sequence[Fingerprint | Unscannable], *, with_margin: bool = False
    ) -> list[_Look]:
        """Matches what several assets look like: all at once, in less time than one by one."""
        looks = [_Look(outcome) for outcome in outcomes]
        seen = [
            (look, look.outcome.perceptual)
            for look in looks
            if isinstance(look.outcome, Fingerprint)
        ]
        for name in sorted(self.needed):
            width = self.hash_bytes[name]
            hashes, labels = [], []
            for _, perceptual in seen:
                views = perceptual[name]
                whole = np.frombuffer(b"".join(view.hashes for view in views), np.uint8)
                hashes.append(whole.reshape(-1, width))
                labels.append(
                    [
                        _label(view.frame, view.view, orientation)
                        for view in views
                        for orientation in range(len(view.hashes) // width)
                    ]
                )
            margin = perceptual_hashes()[name].margin if with_margin else 0
            found = self.lists.match_perceptual_each(name, hashes, labels, margin=margin)
            for (look, _), findings in zip(seen, found, strict=True):
                look.findings += findings
        return looks


def _check_widths(names: Iterable[str]) -> None:
    """Refuses a hash and a signal type of one name that are not of one kind and width."""
    signals, known = signal_types(), perceptual_hashes()
    for name in sorted(names):
        signal = signals.get(name)
        if signal is None or name not in known:
            continue
        if signal.kind is not SignalKind.PERCEPTUAL or signal.bits != known[name].bits:
            raise UsageError(
                f"the perceptual hash {name!r} has {known[name].bits} bits, and the {signal.kind} "
                f"signal type {name!r} has {signal.bits}: they cannot be compared. Repair or "
                "uninstall the package of one of them"
            )


@lru_cache(maxsize=1)
def _fingerprinter(
    decoder: str, names: tuple[str, ...], limits: DecodeLimits, max_seconds: int
) -> Fingerprinter | IsolatedFingerprinter:
    # Judges that differ in other things share the process that decodes for them.
    if decoder == "in_process":
        return Fingerprinter(names, limits)
    return IsolatedFingerprinter(names, limits, timeout_s=max_seconds)


def release_fingerprinter() -> None:
    """Lets go of the shared fingerprinter; its process ends with the last judge that has it."""
    _fingerprinter.cache_clear()


def _is_borderline(name: str, views: Iterable[PerceptualView]) -> bool:
    """Whether a picture is of sufficient quality by so little that the exact way may not be."""
    least = perceptual_hashes()[name].min_quality
    if least is None:
        return False
    best: dict[tuple[int, str], int] = {}
    for view in views:
        variant = variant_of(view.view)
        if variant not in NEED_NOT_BE_SEEN:
            shown = view.frame, variant
            best[shown] = max(view.quality, best.get(shown, -1))
    return any(least <= quality < least + QUALITY_MARGIN for quality in best.values())


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Yields samples by the few, so that little of a shard is held in memory at a time."""
    batch: list[Sample] = []
    size = 0
    for sample in samples:
        batch.append(sample)
        size += sum(len(member.content or b"") for member in sample.members)
        if len(batch) == _BATCH_SAMPLES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@lru_cache(maxsize=4096)
def _label(frame: int, view: str, orientation: int) -> str:
    label = f"{view}/{ORIENTATIONS[orientation]}"
    return f"{label}@{frame}" if frame else label


def recorded_columns(columns: Iterable[str], policy: Policy) -> list[str]:
    """Returns the columns that the ledger carries: sources, declared digests, provenance."""
    patterns = (
        *policy.url_columns,
        *policy.provenance_columns,
        *(pattern for group in policy.digest_columns.values() for pattern in group),
    )
    return [column for column in columns if _matches_column(column, patterns)]
