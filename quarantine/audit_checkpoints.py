"""Checkpoints: the end of an audit log, signed, to be kept where the log is not.

A chain alone cannot show that its end was cut off, or that all of it was written anew. A
checkpoint can: a DSSE envelope that states how many lines there were, and the digest of the last.
"""

import json
import re
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.quarantine.audit import AuditHead, head

CHECKPOINT_VERSION: Final = 1
PAYLOAD_TYPE: Final = "application/vnd.ingestgate.audit-checkpoint+json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def write_checkpoint(root: str, key: Ed25519PrivateKey, path: str) -> AuditHead:
    """Writes a signed checkpoint of a log that holds; returns what it states.

    Raises:
        UsageError: There is something under that name already.
        EvidenceError: The log does not hold.
        StorageError: The log cannot be read or the file not written.
    """
    if storage.exists(path):
        raise UsageError(f"{path}: exists; a checkpoint is never overwritten, give another name")
    end = head(root)
    said = {
        "version": CHECKPOINT_VERSION,
        "count": end.count,
        "head": end.head,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    Envelope(PAYLOAD_TYPE, json.dumps(said, sort_keys=True).encode()).signed(key).write(path)
    return end


def read_checkpoint(path: str, key: Ed25519PublicKey) -> AuditHead:
    """Returns what a checkpoint states.

    Raises:
        EvidenceError: There is none, or it is not signed with that key.
        StorageError: It cannot be read.
    """
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    if envelope is None:
        raise EvidenceError(f"{path}: no checkpoint there")
    if not envelope.signers({"key": key}):
        raise EvidenceError(f"{path}: not signed with the key that was given")
    try:
        said = json.loads(envelope.payload)
        if said["version"] != CHECKPOINT_VERSION:
            raise EvidenceError(f"{path}: of a version this program does not know")
        end = AuditHead(said["count"], said["head"])
        sound = type(end.count) is int and end.count > 0 and _SHA256.fullmatch(end.head)
    except (ValueError, TypeError, KeyError):
        sound = None
    if not sound:
        raise EvidenceError(f"{path}: not a checkpoint of an audit log")
    return end
