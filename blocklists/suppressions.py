"""Signed suppressions: what two people called a false positive is no match any more.

A suppression is for assets of known bytes, by the SHA-256 of the original, and by nothing else: a
perceptual hash would let in what only looks the same. It answers to the entries that people
decided about; another entry that matches the same bytes still counts. It counts if as many trusted
keys signed it as the policy says, two at the least, and until its date, if it has one.

A file of them is as confidential as a list: its digests are of what partners listed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError, UsageError, first_problem
from ingestgate.assets.verdict import SIDECAR_VIEW, Finding
from ingestgate.blocklists.manifest import Sha256
from ingestgate.blocklists.open_list import MAX_FINDINGS
from ingestgate.blocklists.trust import Trust

SUPPRESSION_TYPE = "application/vnd.ingestgate.suppression+json"
#: Nobody lets anything in alone.
LEAST_SIGNERS = 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class SuppressedEntry(_Part):
    """A list entry that is answered to.

    Attributes:
        list_id, entry_id: Which.
        list_version: The only version of the list that it holds for; None: every one. An entry
            whose id is a line's number may be another entry in the next version.
    """

    list_id: Annotated[str, Field(min_length=1)]
    entry_id: Annotated[str, Field(min_length=1)]
    list_version: Annotated[int, Field(gt=0)] | None = None


class SuppressedAsset(_Part):
    """An asset, by the SHA-256 of its original bytes, and the entries that are answered to."""

    sha256: Sha256
    entries: Annotated[tuple[SuppressedEntry, ...], Field(min_length=1)]


class Suppression(_Part):
    """One suppression.

    Attributes:
        id: Its name: random, so that it tells nothing of what it is about.
        assets: What it is about.
        decided_by: Names of the people who asked for the release and who approved it.
        reason: Why, as they said.
        made, until: UTC; it holds until then, or until it is taken away.
        digest: Hex SHA-256 of the signed bytes; not part of it.
        signed_by: Keys whose signature was verified; not part of it.
    """

    id: Annotated[str, Field(pattern=r"\A[0-9a-f]{16}\z")]
    assets: Annotated[tuple[SuppressedAsset, ...], Field(min_length=1)]
    decided_by: tuple[str, str]
    reason: Annotated[str, Field(min_length=1)]
    made: AwareDatetime
    until: AwareDatetime | None = None
    digest: Annotated[str, Field(exclude=True)] = ""
    signed_by: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.decided_by[0] == self.decided_by[1] or not all(self.decided_by):
            raise ValueError("it takes two people")
        if self.until is not None and self.until <= self.made:
            raise ValueError("it must end after it is made")
        if len({asset.sha256 for asset in self.assets}) < len(self.assets):
            raise ValueError("names an asset twice")
        return self

    def payload(self) -> bytes:
        """Returns the bytes to sign, a function of the fields alone."""
        fields = self.model_dump(mode="json", exclude_none=True)
        return (json.dumps(fields, sort_keys=True) + "\n").encode()

    def described(self) -> dict[str, Any]:
        """Returns what reports may say of it: no digest of an asset, and no entry."""
        return {
            "id": self.id,
            "digest": self.digest,
            "decided_by": list(self.decided_by),
            "reason": self.reason,
            "made": self.made.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "signed_by": list(self.signed_by),
        }


class SuppressionSource(NamedTuple):
    """Where workers find what the driver verified; no digest of an asset goes into a job.

    Attributes:
        path: File or folder, "" without.
        digest: Of those in force, see `Suppressions`.
        at: The time at which they were, RFC 3339.
    """

    path: str = ""
    digest: str = ""
    at: str = ""


NOWHERE = SuppressionSource()


def left_out(findings: Iterable[Finding]) -> set[str]:
    """Returns the lists of which an asset may match more entries than its findings name."""
    counts = Counter(one.list_id for one in findings)
    return {name for name, count in counts.items() if count >= MAX_FINDINGS}


def suppressions_digest(named: Iterable[tuple[str, str]]) -> str:
    """Returns the digest of a set of suppressions from their ids and digests, "" without any."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(named))
    return hashlib.sha256(lines.encode()).hexdigest() if lines else ""


class Suppressions:
    """The suppressions of a run; see `open`.

    Args:
        in_force: Those that count.
        expired: Those that do not any more.
        path, at: Where they lie, and the time that they were looked at, for workers.

    Attributes:
        in_force, expired: As given, by id.
        digest: Hex SHA-256 over those in force, "" without any.
        source: How workers get the same.
    """

    def __init__(
        self,
        in_force: Iterable[Suppression] = (),
        expired: Iterable[Suppression] = (),
        *,
        path: str = "",
        at: str = "",
    ) -> None:
        self.in_force = tuple(sorted(in_force, key=lambda one: one.id))
        self.expired = tuple(sorted(expired, key=lambda one: one.id))
        self.digest = suppressions_digest((one.id, one.digest) for one in self.in_force)
        self.source = SuppressionSource(path, self.digest, at)
        self._entries: dict[str, dict[tuple[str, str, int | None], str]] = {}
        for one in reversed(self.in_force):  # of several, the first is named
            for asset in one.assets:
                known = self._entries.setdefault(asset.sha256, {})
                for entry in asset.entries:
                    known[entry.list_id, entry.entry_id, entry.list_version] = one.id

    @classmethod
    def open(
        cls, path: str | None, trust: Trust, *, now: datetime, expected_digest: str | None = None
    ) -> Self:
        """Reads the suppressions in a file or below a folder, every one of them verified.

        Args:
            path: The file or folder; None or "" for none.
            trust: Who may sign them, and how many have to.
            now: The time, with a time zone.
            expected_digest: `digest` of what was verified before.

        Raises:
            ListError: One does not count; says which and why. Nothing may be judged.
            UsageError: There is nothing at that path.
            StorageError: It cannot be read.
        """
        if not path:
            return cls()
        found: dict[str, Suppression] = {}
        for file in _files(path):
            one = _verified(file, trust)
            if one.id in found:
                raise ListError(f"{file}: suppression {one.id} lies there twice; remove one")
            if one.made > now:
                raise ListError(
                    f"{file}: was made in the future ({one.made.isoformat()}); check this "
                    "machine's clock"
                )
            found[one.id] = one
        expired = {one.id for one in found.values() if _has_ended(one, now)}
        opened = cls(
            (one for one in found.values() if one.id not in expired),
            (found[name] for name in expired),
            path=storage.absolute(path),
            at=now.isoformat(),
        )
        if expected_digest not in (None, opened.digest):
            raise ListError(
                f"{path}: the suppressions are not those the run began with; start the run again"
            )
        return opened

    def __bool__(self) -> bool:
        return bool(self.in_force)

    def as_of(self, now: datetime) -> "Suppressions":
        """Returns those of them that are still in force at a time; itself if all are."""
        ended = [one for one in self.in_force if _has_ended(one, now)]
        if not ended:
            return self
        return Suppressions(
            (one for one in self.in_force if one not in ended),
            (*self.expired, *ended),
            path=self.source.path,
            at=now.isoformat(),
        )

    def of(self, sha256: str | None, list_id: str, list_version: int, entry_id: str) -> str:
        """Returns the id of the suppression by which an entry does not count, "" if it does.

        Args:
            sha256: Hex SHA-256 of the asset's original bytes; None where nobody has them.
            list_id: The list that matched.
            list_version: Its version.
            entry_id: The entry.
        """
        entries = self._entries.get(sha256 or "")
        if not entries:
            return ""
        return entries.get((list_id, entry_id, None)) or entries.get(
            (list_id, entry_id, list_version), ""
        )

    def knows(self, sha256: str | None) -> bool:
        """Whether any suppression is about an asset."""
        return (sha256 or "") in self._entries

    def applied(self, sha256: str | None, findings: Sequence[Finding]) -> list[Finding]:
        """Returns an asset's findings, each with the suppression by which it does not count.

        What a sidecar matched counts in any case: its bytes are others. So do the matches of a
        list that are so many that some may have been left out (see `left_out`).
        """
        if not self.knows(sha256):
            return list(findings)
        counting = left_out(findings)
        return [
            one._replace(suppression=self.of(sha256, one.list_id, one.list_version, one.entry_id))
            if one.quarantines
            and one.list_id not in counting
            and not one.view.startswith(SIDECAR_VIEW)
            else one
            for one in findings
        ]


def _has_ended(one: Suppression, now: datetime) -> bool:
    return one.until is not None and one.until < now


NO_SUPPRESSIONS = Suppressions()


def read_suppression(path: str) -> tuple[Envelope, Suppression] | None:
    """Returns what is in a file, its signatures not looked at; None if there is no such file.

    Raises:
        ListError: It is no suppression.
        StorageError: It cannot be read.
    """
    envelope = Envelope.read(path, SUPPRESSION_TYPE, ListError)
    if envelope is None:
        return None
    try:
        read = Suppression.model_validate_json(envelope.payload)
    except ValidationError as error:
        raise ListError(f"{path}: not a suppression ({first_problem(error)}); remove it") from None
    digest = hashlib.sha256(envelope.payload).hexdigest()
    return envelope, read.model_copy(update={"digest": digest, "signed_by": ()})


def _files(path: str) -> Iterator[str]:
    if storage.is_directory(path):
        yield from (entry.path for entry in storage.walk(path))
    elif storage.exists(path):
        yield path
    else:
        raise UsageError(f"{path}: no suppression there, and no folder of them")


def _verified(path: str, trust: Trust) -> Suppression:
    found = read_suppression(path)
    if found is None:
        raise ListError(f"{path}: was there a moment ago; start the run again")
    envelope, suppression = found
    if not trust.keys:
        raise ListError(
            f"{path}: the policy trusts nobody with suppressions; name the keys of those who may "
            "sign them under trust.suppression_keys, or leave --suppressions out"
        )
    signers = envelope.signers(trust.keys)
    wanted = max(trust.threshold, LEAST_SIGNERS)
    if len(signers) < wanted:
        raise ListError(
            f"{path}: signed by {len(signers)} of the {len(trust.keys)} keys that the policy "
            f"trusts with suppressions{''.join(f' ({name})' for name in signers)}, it takes "
            f"{wanted}; have it signed with 'ingestgate quarantine suppress', or remove it"
        )
    return suppression.model_copy(update={"signed_by": signers})
