"""The three outcomes an asset can have, why, and on what evidence.

``admitted`` means that every check the policy requires ran and none matched; ``quarantined``
that at least one finding's list says so; ``unscannable`` is everything else, with one reason.
There is no fourth outcome, and nothing here defaults to ``admitted``.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """Outcome of judging one asset."""

    ADMITTED = "admitted"
    QUARANTINED = "quarantined"
    UNSCANNABLE = "unscannable"


class Reason(StrEnum):
    """Why an asset has its verdict; one per asset."""

    # admitted
    CLEAN = "clean"  #: every required check ran and none matched
    # quarantined
    MATCHED = "matched"  #: the asset has a finding of its own
    MATCHED_BEFORE = "matched_before"  #: it had one before, and nothing in force matches it now
    COMPANION_MATCHED = "companion_matched"  #: another asset of the same sample has one
    # unscannable
    EMPTY = "empty"  #: no bytes
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    TRUNCATED = "truncated"  #: the picture ends before its format says it does
    UNDECODABLE = "undecodable"  #: an allowed format whose decoder refused the bytes
    UNSUPPORTED_FORMAT = "unsupported_format"  #: looks like media, but is not on the allow-list
    UNSUPPORTED_MEDIA = "unsupported_media"  #: neither a picture nor a sidecar the policy knows
    LOW_QUALITY = "low_quality"  #: too flat for a perceptual hash to be relied on
    TIMED_OUT = "timed_out"  #: the decoder did not end within the time limit
    OUT_OF_MEMORY = "out_of_memory"  #: the decoder asked for more memory than it may have
    DECODER_DIED = "decoder_died"  #: it crashed, or broke out of its protocol
    BAD_SOURCE = "bad_source"  #: a source URL that cannot be parsed
    BAD_DECLARED_HASH = "bad_declared_hash"  #: a digest or hash column whose value is not one
    BAD_SIDECAR = "bad_sidecar"  #: a sidecar that should say where the asset is from cannot be read
    NO_SOURCE = "no_source"  #: policy requires a source, the asset carries none
    NOTHING_TO_CHECK = "nothing_to_check"  #: no bytes, no source and no digest to check
    NO_PICTURE = "no_picture"  #: a sample without any picture
    SKIPPED_BY_READERS = "skipped_by_readers"  #: a member that dataset readers do not see
    DUPLICATE_MEMBER = "duplicate_member"  #: a second member under the same name in its sample
    COMPANION_UNSCANNABLE = "companion_unscannable"  #: another asset of the sample is
    INTERNAL_ERROR = "internal_error"  #: a check raised; the run report counts these


REASONS: dict[Verdict, frozenset[Reason]] = {
    Verdict.ADMITTED: frozenset({Reason.CLEAN}),
    Verdict.QUARANTINED: frozenset(
        {Reason.MATCHED, Reason.MATCHED_BEFORE, Reason.COMPANION_MATCHED}
    ),
}
REASONS[Verdict.UNSCANNABLE] = frozenset(Reason) - frozenset().union(*REASONS.values())


class Action(StrEnum):
    """What a match on a list does."""

    QUARANTINE = "quarantine"
    OBSERVE = "observe"  #: recorded and counted, but does not change the verdict (shadow policy)


class Tier(StrEnum):
    """How strong the evidence against an asset is, strongest first."""

    EXACT = "exact"  #: a cryptographic digest of the bytes
    NEAR_SEVERAL = "near_several"  #: perceptual hashes, on entries of several lists
    NEAR = "near"  #: a perceptual hash, on one list
    SOURCE = "source"  #: the source only


class SignalKind(StrEnum):
    """The families of signal types; a tier follows from the kind."""

    DIGEST = "digest"
    PERCEPTUAL = "perceptual"
    SOURCE = "source"


#: The view of a finding that is on the digest of an asset's own bytes.
CONTENT_VIEW = "content"

#: How the view of a finding begins that is on the bytes of an asset's sidecar, not on its own.
SIDECAR_VIEW = "sidecar:"


class Finding(NamedTuple):
    """One match of an asset against one list entry. Never holds the listed value itself.

    Attributes:
        list_id: Identifier of the list.
        list_version: Its version, a positive integer.
        entry_id: The partner's (or the compiler's) identifier of the entry.
        category: The partner's category of the entry, or "".
        signal_type: ``md5``, ``pdq``, ``domain``, ...
        kind: The family of the signal type.
        view: Where the matching value came from: ``content``, ``declared:<column>``,
            ``full/r90``, a URL column's name, ...
        distance: Hamming distance in bits; 0 for digests and sources.
        threshold: The largest distance that counts as a match; 0 for digests and sources.
        action: What the list says a match does.
        feedback: What others made of the entry, as the partner passes it on, or "".
        suppression: Id of the signed suppression by which it does not count, or "".
    """

    list_id: str
    list_version: int
    entry_id: str
    category: str
    signal_type: str
    kind: str
    view: str
    distance: int
    threshold: int
    action: str
    feedback: str = ""
    suppression: str = ""

    @property
    def quarantines(self) -> bool:
        """Whether this finding alone sends its asset to the quarantine."""
        # Anything that is not exactly "observe" quarantines: an unknown action fails closed.
        return self.action != Action.OBSERVE and not self.suppression


def tier(findings: Iterable[Finding]) -> Tier | None:
    """Returns the strongest tier that the quarantining findings support, None without any."""
    kinds: dict[str, set[str]] = {}
    for finding in findings:
        if finding.quarantines:
            kinds.setdefault(finding.kind, set()).add(finding.list_id)
    if SignalKind.DIGEST in kinds:
        return Tier.EXACT
    if SignalKind.PERCEPTUAL in kinds:
        return Tier.NEAR_SEVERAL if len(kinds[SignalKind.PERCEPTUAL]) > 1 else Tier.NEAR
    return Tier.SOURCE if kinds else None
