"""Receipts of purges: what was taken out of a shard of the landing zone, and what it is since.

``purged/<shard>.<identity>.dsse.json`` in the evidence, named for the shard as it was judged. A
receipt of a commit stays as it was written; that the shard is another one by now is said here.
So a purged shard counts as finished as long as it is what the purge left behind, and the census
knows why assets of the ledger are no longer in the landing zone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.evidence import records
from ingestgate.assets.shard import Shard

PURGE_VERSION: Final = 1
PAYLOAD_TYPE: Final = "application/vnd.ingestgate.purge+json"


@dataclass(frozen=True, slots=True)
class PurgeReceipt:
    """What was taken out of one shard of the landing zone.

    Attributes:
        shard, format: Which.
        judged_identity, judged_size: The shard as it was judged and committed.
        identity, size: The shard as the purge left it.
        context: Hex digest of the rules it was judged by.
        manifest: Stem of the manifest that names what was taken out.
        assets: Ids of the assets taken out.
        files: ``{name, sha256, size}`` of each file that was written in place of the earlier
            one, names below the input's root.
        removed: Names of files that were deleted, likewise (image folders).
        purged_at: RFC 3339 UTC time.
        software: Version of the program.
    """

    shard: str
    format: str
    judged_identity: str
    judged_size: int
    identity: str
    size: int
    context: str
    manifest: str
    assets: Sequence[str]
    files: Sequence[Mapping[str, Any]]
    removed: Sequence[str]
    purged_at: str
    software: str


def purge_path(evidence: str, shard: str, judged_identity: str) -> str:
    """Returns where the receipt of a purge lies."""
    return storage.join(evidence, "purged", f"{shard}.{judged_identity[:16]}.dsse.json")


def write_purge(evidence: str, receipt: PurgeReceipt, key: Ed25519PrivateKey | None) -> str:
    """Writes the receipt of a purge, signed where there is a key; returns its path."""
    content = {"version": PURGE_VERSION, **asdict(receipt)}
    envelope = Envelope(PAYLOAD_TYPE, json.dumps(content, indent=1, sort_keys=True).encode())
    path = purge_path(evidence, receipt.shard, receipt.judged_identity)
    (envelope.signed(key) if key else envelope).write(path)
    return path


def read_purge(evidence: str, shard: str, judged_identity: str) -> PurgeReceipt | None:
    """Returns the receipt of the purge of a shard as it was judged; None if there was none.

    Raises:
        EvidenceError: What lies there is no receipt, or of another shard.
        StorageError: It cannot be read.
    """
    path = purge_path(evidence, shard, judged_identity)
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    if envelope is None:
        return None
    try:
        content = json.loads(envelope.payload)
        if content.pop("version") != PURGE_VERSION:
            raise EvidenceError(f"{path}: of a version this program does not know")
        receipt = PurgeReceipt(**content)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EvidenceError(f"{path}: not a receipt of a purge") from None
    if (receipt.shard, receipt.judged_identity) != (shard, judged_identity):
        raise EvidenceError(f"{path}: is the receipt of another shard")
    return receipt


def unfinished_path(evidence: str, shard: str) -> str:
    """Returns where it is on record what a purge is about to do to a shard."""
    return storage.join(evidence, "purging", f"{shard}.json")


def unfinished(evidence: str) -> list[str]:
    """Returns the names of the shards whose purge was interrupted, in order."""
    return list(records(storage.join(evidence, "purging")))


def refuse_unfinished(evidence: str) -> None:
    """Refuses to judge a landing zone that a purge has left half done.

    Raises:
        UsageError: A purge was interrupted; it has to be completed first.
    """
    if begun := unfinished(evidence):
        path = unfinished_path(evidence, begun[0])
        raise UsageError(f"{path}: a purge was interrupted; complete it by the same command first")


def purge_to(evidence: str, shard: Shard, judged_identity: str) -> PurgeReceipt | None:
    """Returns the receipt of the purge that made of what was judged what a shard is now.

    Raises:
        EvidenceError: What lies in its place is no receipt.
        StorageError: It cannot be read.
    """
    purge = read_purge(evidence, shard.name, judged_identity)
    return purge if purge is not None and purge.identity == shard.identity else None


def is_as_judged(evidence: str, shard: Shard, judged_identity: str) -> bool:
    """Whether a shard is the one that was judged, or what a purge left of that."""
    if shard.identity == judged_identity:
        return True
    return purge_to(evidence, shard, judged_identity) is not None
