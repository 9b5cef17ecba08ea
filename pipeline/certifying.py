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
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.containers.pending_folder import listing_sha256
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.receipts import (
    Receipt,
    every_receipt,
    read_failures,
    require_their_ledgers,
)
from ingestgate.assets.verdict import Reason, Verdict
from ingestgate.pipeline.audit_events import log_certificate
from ingestgate.pipeline.contexts import ContextRecord, read_context
from ingestgate.pipeline.hashing import Meter, Show, folder_digest, hash_files
from ingestgate.pipeline.rescan_records import RescanRecord, read_rescans, shard_ledger_digest
from ingestgate.pipeline.statements import (
    FOLDER,
    PAYLOAD_TYPE,
    Annotations,
    AuditHead,
    Certificate,
    Evidence,
    ListException,
    ListUse,
    Predicate,
    Rescan,
    Screening,
    Subject,
    SuppressionUse,
    certificate_path,
    current_certificate,
    digest_of,
    kept_certificate_path,
)
from ingestgate.pipeline.summary import group as tallied
from ingestgate.pipeline.summary import isolation
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
        dataset: The landing zone as the run was told; None: as the certificate there says.
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
    """Makes the certificate of an output and signs it, or signs the one that is there.

    A certificate that says the same, but for when, gains signatures; any other is superseded. So
    its time is renewed by a rescan, with newer lists or the same, and by nothing else.

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
            f"{len(failures)} shards failed, {min(failures)} among them; mend or remove them and "
            "run again before the output is certified"
        )
    receipts = every_receipt(request.evidence)
    if not receipts:
        raise EvidenceError(f"{request.evidence}: no receipt of any shard; nothing to certify")
    subjects = _subjects(request, receipts, show)
    made, listings = _statement(request, receipts, subjects, now, show)
    there = current_certificate(request.output)
    envelope, added = Envelope(PAYLOAD_TYPE, made.payload()), False
    if there is not None:
        again = _restated(made, there[1])
        if again.payload() == there[0].payload:
            envelope, made, added = there[0], again, True
        else:
            superseded = {"supersedes": digest_of(there[0].payload)}
            predicate = made.predicate.model_copy(update=superseded)
            made = made.model_copy(update={"predicate": predicate})
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


def _restated(made: Certificate, there: Certificate) -> Certificate:
    """Returns a statement with the times, and what only its first signer saw, of an earlier."""
    earlier = there.predicate
    update = {"issued_at": earlier.issued_at, "supersedes": earlier.supersedes}
    evidence = {"audit_log": earlier.evidence.audit_log}
    if made.predicate.evidence.manifests_digest is None:
        evidence["manifests_digest"] = earlier.evidence.manifests_digest  # type: ignore[assignment]
    update["evidence"] = made.predicate.evidence.model_copy(update=evidence)  # type: ignore[assignment]
    return made.model_copy(update={"predicate": made.predicate.model_copy(update=update)})


def _subjects(
    request: CertifyRequest, receipts: Mapping[str, Receipt], show: Show | None
) -> dict[str, list[Subject]]:
    """Returns the subjects of each shard, after comparing the output with the receipts."""
    output = storage.absolute(request.output)
    files = storage.walk(output, partials=True) if storage.exists(output) else []
    sizes = {entry.path[len(output) + 1 :]: entry.size for entry in files}
    sizes = {name: size for name, size in sizes.items() if not name.startswith(f"{FOLDER}/")}
    below: dict[str, dict[str, int]] = defaultdict(dict)
    folders = {
        str(entry["name"])
        for receipt in receipts.values()
        if receipt.format == "folder"
        for entry in receipt.outputs
    }
    for name in list(sizes):
        for folder in _ancestors(name):
            if folder in folders:
                below[folder][name] = sizes.pop(name)
    subjects: dict[str, list[Subject]] = {}
    for shard, receipt in receipts.items():
        subjects[shard] = []
        for out in receipt.outputs:
            name, size = str(out["name"]), int(out["size"])
            is_folder = name in folders
            found = sum(below[name].values()) if name in below else sizes.pop(name, None)
            if found is None and not (is_folder and size == 0):
                raise EvidenceError(
                    f"{name}: admitted by the receipt of {shard}, but not in the output; run again"
                )
            if found is not None and found != size:
                raise _changed(name, shard)
            kind = "dirHash" if is_folder else "sha256"
            subjects[shard].append(
                Subject(
                    name=name,
                    digest={kind: str(out["sha256"])},
                    annotations=Annotations(
                        size=size,
                        screening=receipt.context[:16],
                        committed_at=datetime.fromisoformat(receipt.committed_at),
                    ),
                )
            )
    if sizes:
        raise EvidenceError(
            f"{min(sizes)}: in the output, but admitted by no receipt; remove it "
            f"({len(sizes)} such files)"
        )
    if request.rehash:
        _rehash(output, subjects, below, show)
    return subjects


def _ancestors(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _rehash(
    output: str,
    subjects: Mapping[str, Sequence[Subject]],
    below: Mapping[str, Mapping[str, int]],
    show: Show | None,
) -> None:
    shard_of = {one.name: shard for shard, several in subjects.items() for one in several}
    wanted = {one.name: one for several in subjects.values() for one in several}
    files = [name for name, one in wanted.items() if not one.is_folder]
    files += [name for folder in below for name in below[folder]]
    paths = [storage.join(output, name) for name in files]
    meter = Meter(sum(one.annotations.size for one in wanted.values()), show)
    found = dict(hash_files(paths, meter))
    for name, one in wanted.items():
        path = storage.join(output, name)
        if one.is_folder:
            inside = {p: found[p] for n in below.get(name, {}) if (p := storage.join(output, n))}
            actual = folder_digest(path, inside)
        else:
            actual = found[path]
        if actual != one.value:
            raise _changed(name, shard_of[name])


def _changed(name: str, shard: str) -> EvidenceError:
    return EvidenceError(
        f"{name}: is not what the receipt of {shard} says was admitted; find out who changed it, "
        "remove it, and run again"
    )


def _statement(
    request: CertifyRequest,
    receipts: Mapping[str, Receipt],
    subjects: Mapping[str, list[Subject]],
    now: datetime,
    show: Show | None,
) -> tuple[Certificate, dict[str, bytes]]:
    ledgers, listings = _listings(request, receipts, show)
    rescans = [
        record
        for record in read_rescans(request.evidence)
        if record.lists_digest == request.lists_digest
    ]
    groups: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
    chosen: dict[str, RescanRecord] = {}
    for shard, receipt in sorted(receipts.items()):
        newest = _newest_rescan(rescans, receipt, ledgers[shard], request.context)
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
        screening = _screening(rules, chosen.get(rescan), group)
        screenings.append(screening)
        for receipt in group:
            for one in subjects[receipt.shard]:
                annotations = one.annotations.model_copy(update={"screening": screening.id})
                final.append(one.model_copy(update={"annotations": annotations}))
    require_their_ledgers(request.evidence, receipts)
    total = sum((Counter(receipt.tallies) for receipt in receipts.values()), Counter[str]())
    there = current_certificate(request.output)
    dataset = request.dataset
    if dataset is None:
        dataset = there[1].predicate.dataset if there else ""
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


def _newest_rescan(
    rescans: Sequence[RescanRecord], receipt: Receipt, ledger: str, context: str
) -> RescanRecord | None:
    """Returns the newest rescan of a shard by the rules in force; None if those judged it.

    Also of one that they judged: a rescan is how it is known anew that nothing in it is listed.
    """
    of_it = (r for r in rescans if r.is_of(receipt.shard, ledger, context))
    newest = next(of_it, None)
    if newest is not None and not newest.covers(receipt.shard, ledger, context):
        raise EvidenceError(
            f"{receipt.shard}: the last rescan with the lists in force found something in it; run "
            "with --recall, which judges it anew"
        )
    if newest is None and receipt.context != context:
        raise EvidenceError(
            f"{receipt.shard}: was judged by other rules than those in force, and no rescan with "
            "the lists in force found it clean; run with it in the input, or rescan"
        )
    return newest


def _screening(
    record: ContextRecord, rescan: RescanRecord | None, group: Sequence[Receipt]
) -> Screening:
    times = sorted(
        datetime.fromisoformat(receipt.committed_at).replace(microsecond=0) for receipt in group
    )
    total = sum((Counter(receipt.tallies) for receipt in group), Counter[str]())
    return Screening(
        id=record.context[:16] + (f"+{rescan.id}" if rescan else ""),
        context_digest=record.context,
        policy_digest=record.policy_digest,
        judging_version=record.judging_version,
        judged_with=_uses(record.lists),
        rescanned_with=rescan
        and Rescan(
            id=rescan.id,
            lists=_uses(rescan.lists),
            ended_at=datetime.fromisoformat(rescan.ended_at),
            suppressions=_suppressions(
                rescan.suppressions,
                [rescan.shards[receipt.shard].get("suppressions", {}) for receipt in group],
            ),
        ),
        canaries={str(used["id"]): tuple(used["canaries"]) for used in record.lists},
        isolation=tuple(one["measures"] for one in isolation(total)),
        exceptions=tuple(ListException.model_validate(one) for one in record.exceptions),
        suppressions=_suppressions(
            record.suppressions, [tallied(receipt.tallies, "suppression") for receipt in group]
        ),
        software=tuple(sorted({receipt.software for receipt in group})),
        shards=len(group),
        screened_from=times[0],
        screened_until=times[-1],
    )


def _suppressions(
    known: Sequence[Mapping[str, Any]], used: Sequence[Mapping[str, int]]
) -> tuple[SuppressionUse, ...]:
    """Returns those of the suppressions in force that let an asset pass."""
    assets = sum((Counter(one) for one in used), Counter[str]())
    return tuple(
        SuppressionUse(
            **{name: one[name] for name in ("id", "digest", "made", "until", "signed_by")},
            assets=assets[one["id"]],
        )
        for one in known
        if assets[one["id"]]
    )


def _uses(lists: Sequence[Mapping[str, Any]]) -> tuple[ListUse, ...]:
    uses = (
        ListUse(
            id=str(one["id"]),
            version=one["version"],
            digest=str(one["digest"]),
            signal_types=tuple(one.get("signal_types", ())),
        )
        for one in lists
    )
    return tuple(sorted(uses, key=lambda use: use.id))


def _listings(
    request: CertifyRequest, receipts: Mapping[str, Receipt], show: Show | None
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Returns each shard's ledger digest, and the listings that the certificate has digests of."""
    roots = {name: storage.join(request.evidence, name) for name in ("ledger", "receipts")}
    if request.quarantine is not None:
        roots["manifests"] = storage.join(request.quarantine, "manifest")
    files = {
        name: storage.walk(root) if storage.match_directories(root) else []
        for name, root in roots.items()
    }
    meter = Meter(sum(entry.size for several in files.values() for entry in several), show)
    digests = {
        name: {
            path[len(roots[name]) + 1 :]: sha256
            for path, sha256 in hash_files([entry.path for entry in several], meter)
        }
        for name, several in files.items()
    }
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for path, sha256 in digests["ledger"].items():
        shard, _, part = path.rpartition(".parts/")
        parts[shard][part] = sha256
    for shard, receipt in receipts.items():
        if len(parts[shard]) != receipt.ranges:
            raise EvidenceError(
                f"{shard}: its ledger has {len(parts[shard])} parts, its receipt says "
                f"{receipt.ranges}; run again"
            )
        if receipt.manifest and "manifests" in digests:
            _require_manifest(receipt, digests["manifests"])
    listings = {name: _listing(several) for name, several in digests.items()}
    return {shard: shard_ledger_digest(several) for shard, several in parts.items()}, listings


def _require_manifest(receipt: Receipt, digests: Mapping[str, str]) -> None:
    for suffix, sha256 in receipt.manifest_digests.items():
        name = f"{receipt.manifest}.{suffix}"
        if digests.get(name) != sha256:
            what = "is not what was sealed" if name in digests else "is not there"
            raise EvidenceError(
                f"manifest/{name}: {what}, by the receipt of {receipt.shard}; find out who changed "
                "it, see `ingestgate quarantine check`"
            )


def _listing(digests: Mapping[str, str]) -> bytes:
    """Returns files and their SHA-256 as lines; `listing_sha256` is the digest of these bytes."""
    encoded = sorted((path.encode("utf-8", "surrogateescape"), s) for path, s in digests.items())
    lines = b"".join(b"%s  %s\n" % (sha256.encode(), path) for path, sha256 in encoded)
    if _sha256(lines) != listing_sha256(digests.items()):
        raise AssertionError("the listing is not what its digest is of")
    return lines


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _audit_head(quarantine: str | None) -> AuditHead | None:
    """Returns the end of the quarantine's audit log, where it has one."""
    if quarantine is None or not storage.exists(log_path(quarantine)):
        return None
    end = head(quarantine)
    return AuditHead(count=end.count, head=end.head)
