"""What certifying, purging, rescanning and recalling put in a quarantine's audit log.

A machine's lines: chained, and signed only where the operator gave the command a key. Each is
durable before what it announces, or, where that is many steps, at its begin and at its end; what
was done by a command that was killed in between is put on record by the same command again.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.purges import purge_path
from ingestgate.assets.receipts import read_receipt
from ingestgate.assets.signing_keys import public_line
from ingestgate.quarantine.audit_writing import (
    AuditWriter,
    append_machine,
    audit_writer,
    per_line,
    require_sound_log,
)
from ingestgate.quarantine.decisions import PUT_UP, decisions_of

CERTIFIED: Final = "output.certified"
PURGE_BEGUN: Final = "purge.begun"
PURGED: Final = "landing.purged"
RESCANNED: Final = "rescan.ended"
RECALL_CLOSED: Final = "recall.closed"


def log_certificate(
    quarantine: str,
    digest: str,
    said: Mapping[str, Any],
    keys: Sequence[Ed25519PrivateKey],
) -> None:
    """Puts on record that a certificate is about to be signed; once for each set of signers.

    Args:
        quarantine: The quarantine whose log it is.
        digest: What the certificate is called by.
        said: What else the line says.
        keys: Who signs the certificate; the first signs the line.

    Raises:
        EvidenceError, StorageError: It cannot be; nothing must be signed.
    """
    signed_by = [public_line(key.public_key()) for key in keys]
    fields = {"certificate": digest, "signed_by": signed_by, **said}
    require_sound_log(quarantine)
    with audit_writer(quarantine) as writer:
        if not any(
            line.event == CERTIFIED and dict(line.fields) == fields for line in writer.lines
        ):
            writer.add(CERTIFIED, fields, keys[0])


def log_closed_recall(
    quarantine: str, said: Mapping[str, Any], key: Ed25519PrivateKey | None
) -> None:
    """Puts on record that a recall is about to be done with.

    Raises:
        EvidenceError, StorageError: It cannot be; the recall must stay open.
    """
    append_machine(quarantine, RECALL_CLOSED, said, key)


def begin_purge(
    quarantine: str, evidence: str, inputs: Sequence[str], key: Ed25519PrivateKey | None
) -> None:
    """Puts on record that a landing zone is about to be purged; raises as `log_certificate`."""
    require_sound_log(quarantine)
    fields = {"evidence": shown(evidence), "inputs": [shown(each) for each in inputs]}
    append_machine(quarantine, PURGE_BEGUN, fields, key)


def end_purge(
    quarantine: str, evidence: str, shards: Iterable[str], key: Ed25519PrivateKey | None
) -> None:
    """Puts those purged shards on record that are not, with the digests of their receipts.

    Args:
        quarantine: The quarantine whose log it is.
        evidence: Where the receipts are.
        shards: Names of shards that are purged, now or by a command that was interrupted.
        key: Signs the lines, or None.

    Raises:
        EvidenceError, StorageError: They cannot be; the same purge again puts them there.
    """
    named = [{"shard": shard, "receipt": _receipt_digest(evidence, shard)} for shard in shards]
    with audit_writer(quarantine) as writer:
        known = {
            (each["shard"], each["receipt"])
            for line in writer.lines
            if line.event == PURGED
            for each in line.fields["shards"]
        }
        new = [each for each in named if (each["shard"], each["receipt"]) not in known]
        for part in per_line(new):
            writer.add(PURGED, {"evidence": shown(evidence), "shards": part}, key)


def _receipt_digest(evidence: str, shard: str) -> str:
    receipt = read_receipt(evidence, shard)
    if receipt is None:  # it was there when the shard was purged
        return ""
    path = purge_path(evidence, shard, receipt.identity)
    return hashlib.sha256(storage.read_bytes(path)).hexdigest()


def end_rescan(
    quarantine: str,
    rescan: str,
    said: Mapping[str, Any],
    withdrawn: Iterable[str],
    notices: Sequence[str],
    key: Ed25519PrivateKey | None,
) -> int:
    """Puts a rescan on record, and puts assets up for review that only withdrawn entries matched.

    An asset is put up once: who has decided about it is not asked again by each rescan.

    Args:
        quarantine: The quarantine whose log it is.
        rescan: The rescan's id.
        said: What the line says of it.
        withdrawn: Ids of quarantined assets that no entry in force matches.
        notices: Paths of the recall notices.
        key: Signs the lines, or None.

    Returns:
        How many assets were put up for review.

    Raises:
        EvidenceError, StorageError: It cannot be; the rescan must not count as done.
    """
    digests = sorted({hashlib.sha256(storage.read_bytes(path)).hexdigest() for path in notices})
    with audit_writer(quarantine) as writer:
        new = put_up_for_review(writer, withdrawn, key, rescan=rescan)
        fields = {"rescan": rescan, **said, "notices": digests, "put_up_for_review": new}
        writer.add(RESCANNED, fields, key)
    return new


def put_up_for_review(
    writer: AuditWriter, withdrawn: Iterable[str], key: Ed25519PrivateKey | None, **said: str
) -> int:
    """Appends that people have to decide about assets, for those that never were put up.

    Args:
        writer: The log's.
        withdrawn: Ids of quarantined assets that no entry in force matches.
        key: Signs the lines, or None.
        said: What else the lines say, such as the run's id.

    Returns:
        How many assets were put up.
    """
    new = sorted(set(withdrawn) - decisions_of(writer.lines).put_up.keys())
    for part in per_line(new):
        writer.add(PUT_UP, {**said, "assets": part}, key)
    return len(new)
