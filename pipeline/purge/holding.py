"""What of a shard the vault verifiably holds: only that may leave the landing zone."""

from ingestgate.assets.errors import VaultError
from ingestgate.assets.receipts import Receipt
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import NamedObject, objects_named_in
from ingestgate.quarantine.manifest_checking import check_manifest
from ingestgate.quarantine.manifest_reading import read_as_sealed
from ingestgate.quarantine.sealed_manifests import SealedManifest


class SealedShard:
    """What was sealed of one shard, by the manifest that its receipt names.

    Args:
        quarantine: The quarantine.
        receipt: The receipt of the shard's commit; it names a manifest.
        holding: Tells what the quarantine holds.

    Raises:
        VaultError: The manifest is not what the receipt says.
        EvidenceError: It became so while it was read.
        StorageError: It cannot be read.
    """

    def __init__(self, quarantine: str, receipt: Receipt, holding: Holding) -> None:
        self._holding = holding
        self._objects: dict[str, NamedObject] = {}
        self._held: dict[str, bool] = {}
        said = SealedManifest.of(receipt.manifest, receipt.manifest_digests)
        if faults := check_manifest(quarantine, said):
            raise VaultError(f"{faults[0].detail}; nothing of the shard was purged")
        rows = read_as_sealed(quarantine, said.name, said.jsonl)
        for each in objects_named_in(rows).values():
            for asset in each.assets:
                self._objects[asset.asset_id] = each

    def require(self, asset: str) -> None:
        """Refuses an asset that the vault does not hold, or has destroyed without a record.

        Raises:
            VaultError: No object of the manifest has it, or that is not there as it was sealed.
        """
        each = self._objects.get(asset)
        if each is None:
            raise VaultError(f"{asset}: quarantined, but in no manifest; nothing was purged")
        if each.path not in self._held:
            self._held[each.path] = self._holding.holds(each)
        if not self._held[each.path]:
            raise VaultError(
                f"{each.path}: is not in the quarantine as its manifest says; nothing of the "
                "shard was purged. See `ingestgate quarantine check`"
            )

    def require_all(self) -> None:
        """Refuses if the vault does not hold everything that was sealed; raises as `require`."""
        for asset in self._objects:
            self.require(asset)
