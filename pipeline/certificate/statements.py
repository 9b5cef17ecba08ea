"""The certificate of a dataset: an in-toto Statement v1 about what a gate let through.

The predicate is one of our own, `PREDICATE_TYPE`. The nearest public one is SVR v0.2 (Simple
Verification Result: a verifier, its policies, a list of properties that hold). It has no place for
what a training job asks of a screened dataset: with which version of each list was *this* shard
judged, by which was it checked again later, under which exceptions, by which isolation. As
free-text properties nobody could compare them, so each has a field here, named for what it says.

A subject is one admitted file with its ``sha256``; an image folder, which is admitted as a whole,
is one subject with its ``dirHash`` (in-toto's DigestSet: Go's directory hash in hex). Each subject
names, in its annotations, its size and the screening that let it in.

Monotonic: who leaves a field out gains nothing by it. A subject without a screening, a screening
without lists, a list that is not named count as not screened; fields that a reader does not know
are ignored and can only have made it stricter.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from ingestgate.assets import storage
from ingestgate.assets.containers.earlier_runs import STATEMENTS
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.verdict import Action

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
#: A name, not an address: there is nothing to fetch.
PREDICATE_TYPE: Final = "urn:ingestgate:dataset-screening:v1"
#: Folder below an output that holds statements about it, and no asset.
FOLDER: Final = STATEMENTS

#: By how much clocks may differ; what is issued later than that has not been issued yet.
CLOCK_SKEW: Final = timedelta(minutes=5)

Sha256 = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    # Fields of later versions are passed over; those that are known are what they must be.
    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
    )


class ListUse(_Part):
    """One version of a list; `digest` is the SHA-256 of its ``list.json``.

    `action` is what a match did, and `signal_types` are what it holds; older records do not say.
    """

    id: str
    version: Annotated[int, Field(gt=0)]
    digest: Sha256
    action: Action = Action.QUARANTINE
    signal_types: tuple[str, ...] = ()


class SuppressionUse(_Part):
    """Assets were let in by a signed suppression although a list entry matched them.

    Attributes:
        id, digest: The suppression; `digest` is of its signed bytes.
        made, until: From when, and until when if it ends.
        signed_by: Names of the trusted keys whose signatures were verified.
        assets: How many, and not what they are.
    """

    id: str
    digest: Sha256
    made: AwareDatetime
    until: AwareDatetime | None = None
    signed_by: tuple[str, ...]
    assets: Count


class Rescan(_Part):
    """A later check of what was admitted, by its fingerprints, against newer lists."""

    id: str
    lists: Annotated[tuple[ListUse, ...], Field(min_length=1)]
    ended_at: AwareDatetime
    suppressions: tuple[SuppressionUse, ...] = ()


class ListException(_Part):
    """An expired list was used by a signed exception."""

    list_id: str
    version: int
    until: str
    reason: str
    signed_by: tuple[str, ...]


class Screening(_Part):
    """The rules that a group of subjects was let in by.

    Attributes:
        id: What subjects name it by.
        context_digest: Of all that decides a verdict: policy, lists, version of the judging.
        policy_digest: Of the policy alone.
        judging_version: Raised when the same bytes, policy and lists could be judged otherwise.
        judged_with: The lists that the bytes were judged with.
        rescanned_with: The newest check by fingerprints since, if there was one.
        canaries: By list id, the signal types whose canary each judging process had to catch,
            and did: a run that misses one admits nothing. What the policy has nothing looked for
            by is not among them.
        not_searched: Signal types that the policy had nothing looked for by.
        isolation: What confined the decoder, by each process's word, one entry for each kind.
        exceptions, suppressions: What was let by although a rule stood against it; `exceptions` in
            the rescan as well.
        software: Versions of the program that committed shards of this group.
        shards: How many there are.
        screened_from, screened_until: Time of the first and last commit among them.
    """

    id: str
    context_digest: Sha256
    policy_digest: Sha256
    judging_version: int
    judged_with: Annotated[tuple[ListUse, ...], Field(min_length=1)]
    rescanned_with: Rescan | None = None
    canaries: Mapping[str, tuple[str, ...]]
    not_searched: tuple[str, ...] = ()
    isolation: tuple[Mapping[str, str], ...]
    exceptions: tuple[ListException, ...] = ()
    suppressions: tuple[SuppressionUse, ...] = ()
    software: tuple[str, ...]
    shards: Count
    screened_from: AwareDatetime
    screened_until: AwareDatetime

    def kept_out_by(self) -> list[ListUse]:
        """Returns the lists that kept out what matched, by the run and by the rescan since.

        Those that only observe are none of them, nor those of which nothing was looked for.
        """
        later = self.rescanned_with.lists if self.rescanned_with else ()
        closed = set(self.not_searched)
        return [
            use
            for use in (*self.judged_with, *later)
            if use.action is Action.QUARANTINE
            and not (use.signal_types and closed.issuperset(use.signal_types))
        ]

    def versions(self) -> dict[str, int]:
        """Returns the newest version of each of these lists, by id in order."""
        found: dict[str, int] = {}
        for use in self.kept_out_by():
            found[use.id] = max(use.version, found.get(use.id, 0))
        return dict(sorted(found.items()))


class StatedHead(_Part):
    """The end of the quarantine's audit log: how many entries, and the digest of the last."""

    count: Count
    head: str


class Evidence(_Part):
    """Digests of what the operator keeps; each of a listing in ``sha256sum``'s format.

    The listings lie in the evidence beside the certificate's copy.
    """

    ledger_digest: Sha256
    receipts_digest: Sha256
    manifests_digest: Sha256 | None = None
    audit_log: StatedHead | None = None


class Annotations(_Part):
    """What is said of a subject beside its digest.

    Attributes:
        size: Bytes.
        screening: The group of rules that it was let in by.
        committed_at: When it was let in; without it, no recall counts as answered.
    """

    size: Count
    screening: str
    committed_at: AwareDatetime | None = None


class Subject(_Part):
    """One admitted file or image folder; its name is relative to the output."""

    name: Annotated[str, Field(min_length=1)]
    digest: Mapping[str, Sha256]
    annotations: Annotations

    @model_validator(mode="after")
    def _known(self) -> "Subject":
        if len(self.digest) != 1 or not set(self.digest) <= {"sha256", "dirHash"}:
            raise ValueError("a subject needs one digest, sha256 or dirHash")
        return self

    @property
    def is_folder(self) -> bool:
        """Whether it is an image folder."""
        return "dirHash" in self.digest

    @property
    def value(self) -> str:
        """Its digest in hex."""
        return next(iter(self.digest.values()))


class Predicate(_Part):
    """What is said of all subjects together.

    Attributes:
        issued_at: When this was stated.
        dataset: The landing zone as the run was told, without credentials.
        screenings: The rules, by groups of subjects.
        counts: Assets of the landing zone by verdict.
        reasons: Why those that were not admitted were not.
        evidence: What the operator can show.
        supersedes: Digest of the certificate that this one replaces.
        supersedes_also: Digests of all that were replaced before that one, in no order that says
            anything: a copy may be any number of certificates behind.
    """

    issued_at: AwareDatetime
    dataset: str
    screenings: Annotated[tuple[Screening, ...], Field(min_length=1)]
    counts: Mapping[str, Count]
    reasons: Mapping[str, Count]
    evidence: Evidence
    supersedes: Sha256 | None = None
    supersedes_also: tuple[Sha256, ...] | None = None

    @property
    def replaced(self) -> frozenset[str]:
        """Digests of all certificates that this one replaces, however long ago."""
        last = () if self.supersedes is None else (self.supersedes,)
        return frozenset((*last, *(self.supersedes_also or ())))


class Certificate(_Part):
    """The statement."""

    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[Subject, ...], Field(min_length=1)]
    predicate_type: Literal["urn:ingestgate:dataset-screening:v1"]
    predicate: Predicate

    @model_validator(mode="after")
    def _whole(self) -> "Certificate":
        known = {screening.id for screening in self.predicate.screenings}
        if len(known) < len(self.predicate.screenings):
            raise ValueError("two screenings of one name")
        for subject in self.subject:
            if subject.annotations.screening not in known:
                raise ValueError(f"{subject.name}: names no screening")
        if len({subject.name for subject in self.subject}) < len(self.subject):
            raise ValueError("two subjects of one name")
        return self

    @classmethod
    def of(cls, subjects: list[Subject], predicate: Predicate) -> "Certificate":
        """Returns the statement about subjects, in order of their names."""
        return cls(
            type_=STATEMENT_TYPE,
            subject=tuple(sorted(subjects, key=lambda subject: subject.name)),
            predicate_type=PREDICATE_TYPE,
            predicate=predicate,
        )

    def checked(self) -> dict[str, datetime]:
        """Returns when each subject was judged, or found clean by a rescan since, by its name.

        No later than this was stated, and without a time of its own no later than its group began.
        """
        groups = {screening.id: screening for screening in self.predicate.screenings}
        found = {}
        for subject in self.subject:
            group = groups[subject.annotations.screening]
            judged = subject.annotations.committed_at or group.screened_from
            rescan = group.rescanned_with
            last = max(judged, rescan.ended_at) if rescan else judged
            found[subject.name] = min(last, self.predicate.issued_at)
        return found

    def payload(self) -> bytes:
        """Returns the bytes to sign, a function of the fields alone."""
        fields = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode() + b"\n"

    def lists(self) -> dict[str, int]:
        """Returns the lists that kept out what matched of every subject, by lowest version."""
        groups = [one.versions() for one in self.predicate.screenings]
        common = set(groups[0]).intersection(*groups[1:])
        return {name: min(group[name] for group in groups) for name in sorted(common)}


def digest_of(payload: bytes) -> str:
    """Returns what a certificate is called by: the SHA-256 of its payload.

    Not of the file, which changes when somebody adds a signature.
    """
    return hashlib.sha256(payload).hexdigest()


def parse_certificate(path: str, envelope: Envelope) -> Certificate:
    """Returns the certificate in an envelope; its signatures are not looked at.

    Raises:
        EvidenceError: It is none.
    """
    try:
        return Certificate.model_validate_json(envelope.payload)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][:4])
        raise EvidenceError(
            f"{path}: not a certificate of a screened dataset ({where}: {first['msg']})"
        ) from None


def certificate_path(output: str) -> str:
    """Returns where the current certificate of an output lies."""
    return storage.join(output, FOLDER, "certificate.dsse.json")


def kept_certificate_path(evidence: str, digest: str) -> str:
    """Returns where the evidence keeps a certificate."""
    return storage.join(evidence, "certificates", f"{digest}.dsse.json")


def current_certificate(output: str) -> tuple[Envelope, Certificate] | None:
    """Returns the certificate that lies with an output; None if there is none.

    Raises:
        EvidenceError: What lies there is no certificate.
    """
    path = certificate_path(output)
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    return None if envelope is None else (envelope, parse_certificate(path, envelope))
