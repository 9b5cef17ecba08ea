"""Making the certificate of an output from the evidence, and signing it.

Everything in it is read from what lies there: receipts, ledger, manifests, the records of rules and
of rescans. The output has to hold exactly what the receipts name. Nothing is certified that was
neither judged by the rules in force nor found clean by a rescan with their lists.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.printable import counted
from ingestgate.assets.receipts import (
    Receipt,
    every_receipt,
    read_failures,
    require_their_ledgers,
)
from ingestgate.assets.verdict import Reason, Verdict
from ingestgate.pipeline.audit_events import log_certificate
from ingestgate.pipeline.certificate.history import (
    last_certificate,
    may_be_signed_again,
    successor,
)
from ingestgate.pipeline.certificate.listings import evidence_listings
from ingestgate.pipeline.certificate.screenings import newest_rescan, screening_of
from ingestgate.pipeline.certificate.statements import (
    PAYLOAD_TYPE,
    Certificate,
    Evidence,
    Predicate,
    StatedHead,
    Subject,
    certificate_path,
    digest_of,
    kept_certificate_path,
)
from ingestgate.pipeline.certificate.subjects import admitted_subjects
from ingestgate.pipeline.contexts import read_context
from ingestgate.pipeline.hashing import Show
from ingestgate.pipeline.rescan.records import RescanRecord, read_rescans
from ingestgate.quarantine.audit import head, log_path


class Certified(NamedTuple):
    """A certificate that was made or signed.

    Attributes:
        path: Where it lies with the output.
        digest: What it is called by.
        signatures: How many it has.
        certificate: What it says.
        added: Whether it was there, and only signatures were added.
    """

    path: str
    digest: str
    signatures: int
    certificate: Certificate
    added: bool


@dataclass(frozen=True, slots=True)
class CertifyRequest:
    """What is to be certified.

    Attributes:
        output, evidence: The run's folders.
        quarantine: Its quarantine, or None: then its manifests and audit log are not named.
        context: Digest of the rules in force.
        lists_digest: Of the lists in force.
        dataset: The landing zone as the run was told; None: as the last certificate says.
        rehash: Compare the output's bytes with the receipts.
    """

    output: str
    evidence: str
    quarantine: str | None
    context: str
    lists_digest: str
    dataset: str | None = None
    rehash: bool = True


def certify(
    request: CertifyRequest,
    keys: Sequence[Ed25519PrivateKey],
    now: datetime,
    show: Show | None = None,
) -> Certified:
    """Makes the certificate of an output and signs it, or signs the last one.

    A certificate that says the same, but for when, gains signatures; any other is superseded. So
    its time is when the checks that it states were first stated, all of them. One whose time is
    still to come, or whose history lacks one that the evidence keeps, is superseded as well.

    Args:
        request: What is to be certified.
        keys: Who signs.
        now: The time, with a time zone.
        show: Told how far it is with comparing the output, see `Meter`.

    Raises:
        EvidenceError: Output and evidence do not allow it; says what stands against it.
        StorageError: Something cannot be read or written.
    """
    if not keys:
        raise UsageError("no key to sign with")
    if failures := read_failures(request.evidence):
        raise EvidenceError(
            f"{counted(len(failures), 'shard')} failed, {min(failures)} among them; mend or remove "
            "what failed and run again before the output is certified"
        )
    receipts = every_receipt(request.evidence)
    if not receipts:
        raise EvidenceError(f"{request.evidence}: no receipt of any shard; nothing to certify")
    _require_room_for_it(request.output)
    subjects = admitted_subjects(request.output, receipts, rehash=request.rehash, show=show)
    there = last_certificate(request.output, request.evidence)
    dataset = request.dataset
    if dataset is None:
        dataset = there[1].predicate.dataset if there else ""
    made, listings = _statement(request, receipts, subjects, dataset, now, show)
    envelope, added = Envelope(PAYLOAD_TYPE, made.payload()), False
    if there is not None:
        again = _restated(made, there[1])
        says_the_same = again.payload() == there[0].payload
        if says_the_same and may_be_signed_again(there, request.evidence, now):
            envelope, made, added = there[0], again, True
        else:
            made = successor(made, there, request.evidence)
            envelope = Envelope(PAYLOAD_TYPE, made.payload())
    for key in keys:
        envelope = envelope.signed(key)
    digest = digest_of(envelope.payload)
    if request.quarantine is not None:
        about = {
            "subjects": len(made.subject),
            "lists": made.lists(),
            "supersedes": made.predicate.supersedes,
        }
        log_certificate(request.quarantine, digest, about, keys)
    for name, listing in listings.items():
        path = storage.join(request.evidence, "certificates", f"{digest}.{name}.sha256")
        storage.write_bytes(path, listing, private=True)
    envelope.write(kept_certificate_path(request.evidence, digest))
    path = certificate_path(request.output)
    envelope.write(path, private=False)
    return Certified(path, digest, len(envelope.signatures), made, added)


def _require_room_for_it(output: str) -> None:
    """Refuses an output that takes no certificate, before all of it is read.

    Only the folder of statements need be writable, once it is there.

    Raises:
        StorageError: No file can be made where it would lie.
    """
    for folder in (storage.parent(certificate_path(output)), output):
        if storage.is_directory(folder):
            storage.require_writable(folder)
            return


def _restated(made: Certificate, there: Certificate) -> Certificate:
    """Returns a statement with the times, and what only its first signer saw, of an earlier."""
    earlier = there.predicate
    update = {
        "issued_at": earlier.issued_at,
        "supersedes": earlier.supersedes,
        "supersedes_also": earlier.supersedes_also,
    }
    now, then = made.predicate.evidence, earlier.evidence
    evidence = {
        "audit_log": then.audit_log or now.audit_log,
        "manifests_digest": now.manifests_digest or then.manifests_digest,
    }
    update["evidence"] = now.model_copy(update=evidence)  # type: ignore[assignment]
    return made.model_copy(update={"predicate": made.predicate.model_copy(update=update)})


def _statement(
    request: CertifyRequest,
    receipts: Mapping[str, Receipt],
    subjects: Mapping[str, list[Subject]],
    dataset: str,
    now: datetime,
    show: Show | None,
) -> tuple[Certificate, dict[str, bytes]]:
    ledgers, listings = evidence_listings(request.evidence, request.quarantine, receipts, show)
    rescans = [
        record
        for record in read_rescans(request.evidence)
        if record.lists_digest == request.lists_digest
    ]
    groups: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
    chosen: dict[str, RescanRecord] = {}
    for shard, receipt in sorted(receipts.items()):
        newest = newest_rescan(rescans, receipt, ledgers[shard], request.context)
        if newest is not None:
            chosen[newest.id] = newest
        groups[receipt.context, newest.id if newest else ""].append(receipt)
    screenings, final = [], []
    for (context, rescan), group in sorted(groups.items()):
        rules = read_context(request.evidence, context)
        if rules is None:
            raise EvidenceError(
                f"{group[0].shard}: by which rules it was judged is not on record; run again"
            )
        screening = screening_of(rules, chosen.get(rescan), group)
        screenings.append(screening)
        for receipt in group:
            for one in subjects[receipt.shard]:
                annotations = one.annotations.model_copy(update={"screening": screening.id})
                final.append(one.model_copy(update={"annotations": annotations}))
    require_their_ledgers(request.evidence, receipts)
    total = sum((Counter(receipt.tallies) for receipt in receipts.values()), Counter[str]())
    predicate = Predicate(
        issued_at=now.astimezone(UTC).replace(microsecond=0),
        dataset=dataset,
        screenings=tuple(screenings),
        counts={verdict.value: total[f"verdict:{verdict}"] for verdict in Verdict},
        reasons={
            reason.value: total[f"reason:{reason}"]
            for reason in sorted(Reason)
            if total[f"reason:{reason}"] and reason != Reason.CLEAN
        },
        evidence=Evidence(
            ledger_digest=_sha256(listings["ledger"]),
            receipts_digest=_sha256(listings["receipts"]),
            manifests_digest=_sha256(listings["manifests"]) if "manifests" in listings else None,
            audit_log=_audit_head(request.quarantine),
        ),
    )
    return Certificate.of(final, predicate), listings


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _audit_head(quarantine: str | None) -> StatedHead | None:
    """Returns the end of the quarantine's audit log, where it has one."""
    if quarantine is None or not storage.exists(log_path(quarantine)):
        return None
    end = head(quarantine)
    return StatedHead(count=end.count, head=end.head)
