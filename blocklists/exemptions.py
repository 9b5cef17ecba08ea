"""Dated, signed exceptions that let an expired list be used for a little longer.

The only way past a list's expiry. An exception is for one version of one list (by the digest of
its ``list.json``), says until when and why, lies beside the list, counts only if as many trusted
keys signed it as lists need, and ends by itself: a month after it was made at the latest.
"""

import json
import shlex
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError, UsageError, first_problem
from ingestgate.blocklists.locking import CHANGE, alone
from ingestgate.blocklists.manifest import (
    MANIFEST,
    ListInfo,
    Sha256,
    read_manifest,
    utc_seconds,
)
from ingestgate.blocklists.trust import EXEMPTION, Trust

EXEMPTION_TYPE = "application/vnd.ingestgate.list-exception+json"
MAX_DURATION = timedelta(days=31)


class Exemption(BaseModel):
    """One exception.

    Attributes:
        list_id, version, digest: The list, and the SHA-256 of its ``list.json``.
        made, until: UTC; it holds from one to the other.
        reason: Why, for the reports.
        signed_by: Keys whose signature was verified; not part of it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    list_id: str
    version: int
    digest: Sha256
    made: AwareDatetime
    until: AwareDatetime
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    signed_by: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    @model_validator(mode="after")
    def _dated(self) -> Self:
        if not self.made < self.until <= self.made + MAX_DURATION:
            raise ValueError(f"it must end within {MAX_DURATION.days} days after it is made")
        return self

    def described(self) -> dict[str, Any]:
        """Returns what the records of what used it say of it."""
        return {
            "list_id": self.list_id,
            "version": self.version,
            "until": self.until.isoformat(),
            "reason": self.reason,
            "signed_by": list(self.signed_by),
        }


def except_list(
    directory: str,
    key: Ed25519PrivateKey,
    *,
    until: datetime,
    reason: str,
    now: datetime,
    replace: bool = False,
) -> tuple[Exemption, int]:
    """Makes an exception for a list, or adds a signature to the one that is there.

    Args:
        directory: The compiled list's own directory.
        key: The private key.
        until: When it ends; with a time zone.
        reason: Why.
        now: The time, with a time zone.
        replace: Whether another exception for the list may go, with whoever's signatures it has.

    Returns:
        The exception, and how many signatures it has now. One that is there for the same list
        with the same end and reason gains a signature; one that is over, or for another list, is
        replaced.

    Raises:
        UsageError: It is not the directory of a list, the end or reason will not do, or there is
            an exception with others, which would be replaced.
        ListError: What is there in place of a list or an exception is something else, or somebody
            else is at it.
        StorageError: Reading or writing failed.
    """
    manifest = storage.join(directory, MANIFEST)
    if not storage.exists(manifest):
        raise UsageError(f"{directory}: wants the directory of one list, where its {MANIFEST} lies")
    info = read_manifest(manifest, storage.read_bytes(manifest))
    path = storage.join(directory, EXEMPTION)
    try:
        wanted = Exemption(
            list_id=info.id,
            version=info.version,
            digest=info.digest,
            made=utc_seconds(now, "now"),
            until=utc_seconds(until, "until"),
            reason=reason,
        )
    except ValidationError as error:
        raise UsageError(f"an exception for {info.name}: {first_problem(error)}") from None
    with alone(directory, CHANGE):  # else of two at once one signature would be lost
        envelope = Envelope.read(path, EXEMPTION_TYPE, ListError)
        there = None if envelope is None else _read(path, envelope)
        if (
            envelope is None
            or there is None
            or there.model_copy(update={"made": wanted.made}) != wanted
        ):
            if there and envelope and not replace and _is_of_use(there, wanted):
                raise UsageError(
                    _problem_of_replacing(path, there, wanted, len(envelope.signatures))
                )
            fields = wanted.model_dump(mode="json")
            envelope = Envelope(
                EXEMPTION_TYPE, (json.dumps(fields, sort_keys=True) + "\n").encode()
            )
            there = wanted
        envelope = envelope.signed(key)
        envelope.write(path)
    return there, len(envelope.signatures)


def _is_of_use(there: Exemption, wanted: Exemption) -> bool:
    return there.digest == wanted.digest and wanted.made <= there.until


def _problem_of_replacing(path: str, there: Exemption, wanted: Exemption, signatures: int) -> str:
    others = [name for name in ("until", "reason") if getattr(there, name) != getattr(wanted, name)]
    return (
        f"{path}: an exception with another {' and '.join(others)} is there, signed by "
        f"{signatures}; to sign that one give --until {there.until:%Y-%m-%dT%H:%M:%S} "
        f"--reason {shlex.quote(there.reason)}; to put yours in its place give --replace, and "
        "whoever signed it has to sign again"
    )


def exemption_in_force(
    directory: str, info: ListInfo, now: datetime, trust: Trust
) -> Exemption | None:
    """Returns the exception under which an expired list may be used now; None if there is none.

    Raises:
        ListError: There is an exception, but it does not count; says why.
    """
    path = storage.join(directory, EXEMPTION)
    envelope = Envelope.read(path, EXEMPTION_TYPE, ListError)
    if envelope is None:
        return None
    if not trust.keys:
        raise ListError(
            f"{path}: the list has expired, and there are no trusted keys to check this exception "
            "by; get the partner's current list, or name trusted keys in the policy"
        )
    signed_by = trust.enough(path, envelope, command="lists except")
    exemption = _read(path, envelope)
    if (exemption.list_id, exemption.version, exemption.digest) != (
        info.id,
        info.version,
        info.digest,
    ):
        raise ListError(f"{path}: is for another list than {info.name}; {_REMEDY}")
    if not exemption.made <= now <= exemption.until:
        raise ListError(
            f"{path}: {info.name} expired, and this exception holds from "
            f"{exemption.made.isoformat()} to {exemption.until.isoformat()} only; {_REMEDY}"
        )
    return exemption.model_copy(update={"signed_by": signed_by})


_REMEDY = "get the partner's current list and compile it as a higher version"


def _read(path: str, envelope: Envelope) -> Exemption:
    try:
        read = Exemption.model_validate_json(envelope.payload)
    except ValidationError as error:
        raise ListError(
            f"{path}: not an exception for a list ({first_problem(error)}); remove it"
        ) from None
    return read.model_copy(update={"signed_by": ()})
