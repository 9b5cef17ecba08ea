"""Listings of the evidence, whose digests a certificate names, held against the receipts."""

from collections import defaultdict
from collections.abc import Mapping

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.ledger import named_part
from ingestgate.assets.ledger_digest import shard_ledger_digest
from ingestgate.assets.listing import listing
from ingestgate.assets.receipts import Receipt
from ingestgate.pipeline.hashing import Meter, Show, hash_files


def evidence_listings(
    evidence: str, quarantine: str | None, receipts: Mapping[str, Receipt], show: Show | None
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Returns each shard's ledger digest, and the listings that the certificate has digests of.

    Args:
        evidence: The evidence folder.
        quarantine: Whose manifests are listed; None: none are.
        receipts: By shard, what was committed.
        show: Told how far it is, see `Meter`.

    Returns:
        By shard, `shard_ledger_digest`; and files and SHA-256 of ``ledger``, ``receipts`` and
        ``manifests``, in ``sha256sum``'s format.

    Raises:
        EvidenceError: Ledger or manifests are not those that the receipts name.
        StorageError: Something cannot be read.
    """
    roots = {name: storage.join(evidence, name) for name in ("ledger", "receipts")}
    if quarantine is not None:
        roots["manifests"] = storage.join(quarantine, "manifest")
    files = {name: storage.walk_if_there(root) for name, root in roots.items()}
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
        shard, part = named_part(path)
        parts[shard][part] = sha256
    for shard, receipt in receipts.items():
        if len(parts[shard]) != receipt.ranges:
            raise EvidenceError(
                f"{shard}: its ledger has {len(parts[shard])} parts, its receipt says "
                f"{receipt.ranges}; run again"
            )
        if receipt.manifest and "manifests" in digests:
            _require_manifest(receipt, digests["manifests"])
    listings = {name: listing(several.items()) for name, several in digests.items()}
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
