"""What stands for one shard's ledger: receipts, certificates and rescans name it by this digest."""

import hashlib
from collections.abc import Mapping

from ingestgate.assets import storage
from ingestgate.assets.ledger import part_path
from ingestgate.assets.listing import listing_sha256


def shard_ledger_digest(parts: Mapping[str, str]) -> str:
    """Returns the digest of one shard's ledger, from its parts' file names and SHA-256."""
    return listing_sha256(parts.items())


def hash_shard_ledger(evidence: str, shard: str, ranges: int) -> str:
    """Returns the digest of one shard's ledger as it lies in the evidence.

    Args:
        evidence: The evidence folder.
        shard: The shard's name.
        ranges: How many parts it has, as its receipt says.

    Raises:
        StorageError: A part is missing or cannot be read.
    """
    root = storage.join(evidence, "ledger")
    parts = {}
    for number in range(ranges):
        path = part_path(root, shard, number)
        parts[storage.basename(path)] = hashlib.sha256(storage.read_bytes(path)).hexdigest()
    return shard_ledger_digest(parts)
