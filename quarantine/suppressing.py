"""Making suppressions: an approved release, so that later runs know of it.

Two people released the assets, by the audit log; the suppression names the bytes and the entries
that they decided about, by the manifests on record. Each signature is a line of the log, durable
before it is made. One signature lets nothing in: runs want two at the least.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import UsageError, first_problem
from ingestgate.assets.verdict import SIDECAR_VIEW, Finding
from ingestgate.blocklists.manifest import utc_seconds
from ingestgate.blocklists.suppressions import (
    SUPPRESSION_TYPE,
    SuppressedAsset,
    SuppressedEntry,
    Suppression,
    left_out,
    read_suppression,
)
from ingestgate.quarantine.audit import AuditLine
from ingestgate.quarantine.audit_writing import audit_writer
from ingestgate.quarantine.decisions import ANY, Case, Decisions, Request, decisions_of
from ingestgate.quarantine.looking import content_of, entry_key
from ingestgate.quarantine.manifest_reading import read_manifest
from ingestgate.quarantine.reviewers import NEEDED, Registry, act
from ingestgate.quarantine.sealed_manifests import sealed_manifests

SIGNED: Final = "suppression.signed"


def suppress(
    root: str,
    number: int,
    to: str,
    key: Ed25519PrivateKey,
    *,
    until: datetime | None,
    now: datetime,
) -> tuple[Suppression, int]:
    """Makes the suppression of an approved release, or signs the one that is there.

    Args:
        root: The quarantine.
        number: The request's line in the log.
        to: The file of the suppression.
        key: Who signs.
        until: When it ends, with a time zone; None: when it is taken away.
        now: The time, with a time zone.

    Returns:
        The suppression, and how many signatures it has now.

    Raises:
        UsageError: There is no such release, it is about no bytes that matched, or the person
            may not.
        EvidenceError: Audit log or manifests do not hold.
        ListError: What lies under that name is something else.
        StorageError: Reading or writing failed; then nothing is signed.
    """
    with audit_writer(root) as writer:
        Registry(writer.lines).holder(key, NEEDED[SIGNED])
        found = decisions_of(writer.lines)
        request = _release(found, number)
        rows = _rows(root, writer.lines, found, request)
        try:
            wanted = Suppression(
                id=secrets.token_hex(8),
                assets=_assets(rows),
                decided_by=(request.by, request.approved_by),
                reason=request.reason,
                made=utc_seconds(now, "now"),
                until=None if until is None else utc_seconds(until, "until"),
            )
        except ValidationError as error:
            raise UsageError(f"a suppression of release {number}: {first_problem(error)}") from None
        envelope, suppression = _there(to, wanted)
        envelope = envelope.signed(key)
        fields = {
            "suppression": suppression.id,
            "request": number,
            "assets": request.assets,
            "until": None if suppression.until is None else suppression.until.isoformat(),
        }
        act(writer, SIGNED, fields, key)
        envelope.write(to)
    return suppression, len(envelope.signatures)


def signed_suppressions(lines: Iterable[AuditLine]) -> set[str]:
    """Returns the ids of the suppressions that some lines of a log say were signed."""
    return {str(line.fields.get("suppression")) for line in lines if line.event == SIGNED}


def _release(found: Decisions, number: int) -> Request:
    request = found.requests.get(number)
    if request is None:
        raise UsageError(f"{number}: there is no such request for release")
    if not request.approved:
        raise UsageError(
            f"request {number} is not approved; it takes two people, see "
            "'ingestgate quarantine release --approve'"
        )
    for case in request.cases:
        if not found.stands(case, request.approved):
            raise UsageError(
                f"{case[0]}: something else was decided since request {number} was approved"
            )
    return request


def _rows(
    root: str, lines: Sequence[AuditLine], found: Decisions, request: Request
) -> dict[Case, list[Mapping[str, Any]]]:
    """Returns the rows, as they are on record, that a release is about, of each of its cases."""
    rows: dict[Case, list[Mapping[str, Any]]] = {case: [] for case in request.cases}
    assets = set(request.assets)
    for row in read_manifest(root, sealed_manifests(lines)):
        if row["asset_id"] not in assets:
            continue
        review = found.review(row)
        if review is not None and review.line == request.approved:
            case = row["asset_id"], content_of(row)
            rows[case if case in rows else (row["asset_id"], ANY)].append(row)
    for (asset, _), several in rows.items():
        if not several:
            raise UsageError(
                f"{asset}: nothing on record is what was called a false positive; look again, and "
                "decide anew"
            )
    return rows


def _assets(rows: Mapping[Case, Sequence[Mapping[str, Any]]]) -> tuple[SuppressedAsset, ...]:
    """Returns bytes and entries; what only fell with its sample has none, and needs none."""
    entries: dict[str, set[tuple[str, str, int]]] = defaultdict(set)
    for (asset, _), several in rows.items():
        found = [Finding(**finding) for row in several for finding in row["findings"]]
        found = [finding for finding in found if finding.quarantines]
        if not found:
            continue
        digests = {row["sha256"] for row in several}
        if None in digests:
            raise UsageError(
                f"{asset}: its bytes were never there to be looked at; a suppression is for bytes"
            )
        if len(digests) > 1:
            raise UsageError(
                f"{asset}: was sealed with different bytes at different times, so nothing tells "
                "which were decided about"
            )
        if any(finding.view.startswith(SIDECAR_VIEW) for finding in found):
            raise UsageError(
                f"{asset}: a sidecar of it matched; a suppression is for an asset's own bytes"
            )
        if any(left_out(Finding(**finding) for finding in row["findings"]) for row in several):
            raise UsageError(
                f"{asset}: matched so many entries of a list that not all of them are on record"
            )
        (sha256,) = digests
        entries[sha256].update(entry_key(one) for one in found)
    if not entries:
        raise UsageError("none of these assets matched anything itself; there is nothing to sign")
    return tuple(
        SuppressedAsset(
            sha256=sha256,
            entries=tuple(
                SuppressedEntry(list_id=list_id, entry_id=entry, list_version=version or None)
                for list_id, entry, version in sorted(known)
            ),
        )
        for sha256, known in sorted(entries.items())
    )


def _there(to: str, wanted: Suppression) -> tuple[Envelope, Suppression]:
    """Returns the suppression in a file, if it is the wanted one; without the file, that."""
    found = read_suppression(to)
    if found is None:
        return Envelope(SUPPRESSION_TYPE, wanted.payload()), wanted
    envelope, there = found
    same = {"id": there.id, "made": there.made, "digest": there.digest}
    if wanted.model_copy(update=same) != there:
        raise UsageError(
            f"{to}: holds another suppression, or one with another end; give another name"
        )
    return envelope, there
