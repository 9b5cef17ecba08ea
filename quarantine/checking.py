"""Checking a quarantine: is everything there that the manifests say, unchanged, and no more.

The manifests themselves are held against the audit log, which has the digests of each.

Without a secret key: each object's ciphertext against its digest, and that its key file is there.
With one (through an opener, which a person brings): each is opened, and what is inside compared
with the digests of the package and of the assets.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, StorageError, VaultError
from ingestgate.quarantine import destruction_receipts
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.faults import Fault, Problem
from ingestgate.quarantine.inventory import NamedObject, named_objects, unnamed_files
from ingestgate.quarantine.layout import id_of
from ingestgate.quarantine.manifest_checking import check_manifests
from ingestgate.quarantine.sealed_manifests import sealed_manifests

_CHUNK = 4 << 20


@dataclass(slots=True)
class VaultCheck:
    """What a check found.

    Attributes:
        manifests: How many manifests were sealed, by the audit log.
        objects: How many objects the manifests name.
        sound: How many of those are there, whole.
        destroyed: How many are gone, with a receipt.
        opened: How many were opened and compared.
        faults: What is wrong.
    """

    manifests: int = 0
    objects: int = 0
    sound: int = 0
    destroyed: int = 0
    opened: int = 0
    faults: list[Fault] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Returns it for ``--json``."""
        kinds = Counter(fault.problem for fault in self.faults)
        return {
            "sound": not self.faults,
            "manifests": self.manifests,
            "objects": {
                "named": self.objects,
                "sound": self.sound,
                "destroyed": self.destroyed,
                "opened": self.opened,
            },
            "problems": {problem.value: kinds[problem] for problem in Problem},
            "faults": [fault._asdict() for fault in self.faults],
        }


#: Opens an object of a quarantine, for people: the package inside, and the files in that. Raises
#: VaultError where it cannot. See `opening`, which nothing here imports.
Opener = Callable[[str, str], tuple[bytes, list[tuple[str, bytes]]]]


def check_vault(
    root: str,
    *,
    opener: Opener | None = None,
    trusted: Mapping[str, Ed25519PublicKey] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> VaultCheck:
    """Checks a quarantine.

    Args:
        root: The quarantine.
        opener: Opens objects, so that what is inside is compared as well.
        trusted: Public keys that receipts of destruction must be signed with, by the names of
            their owners; None takes them unsigned.
        progress: Told how many objects of how many are done.

    Raises:
        EvidenceError: The audit log does not hold.
        VaultError: There is no such quarantine, or a manifest is damaged and nothing tells how.
        StorageError: Folders or manifests cannot be read.
    """
    found = VaultCheck()
    sealed = sealed_manifests(read_log(root))
    found.manifests = len(sealed)
    found.faults += check_manifests(root, sealed)
    try:
        objects = named_objects(root)
    except VaultError as error:
        if not found.faults:
            raise
        # What is wrong with the manifests is known already, and by whom it can be told.
        found.faults.append(Fault(Problem.CHANGED, "manifest", f"objects not looked at: {error}"))
        return found
    found.objects = len(objects)
    receipts: dict[str, frozenset[str]] = {}
    for number, each in enumerate(objects.values()):
        progress(number, len(objects))
        sample = id_of(each.path)
        if sample not in receipts:
            receipts[sample] = _destroyed(root, sample, found, trusted)
        if each.path in receipts[sample]:
            _check_destroyed(root, each, found)
        elif (fault := _fault(root, each) or _opened(root, each, found, opener)) is not None:
            found.faults.append(fault)
        else:
            found.sound += 1
    progress(len(objects), len(objects))
    for path in unnamed_files(root, objects):
        detail = f"{path}: no manifest names it; a killed run may have left it"
        found.faults.append(Fault(Problem.UNNAMED, path, detail))
    return found


def remove_unnamed(root: str) -> list[str]:
    """Removes what no manifest names: keys first, then objects; returns the paths.

    Not while a run is at work: what it has just sealed is named by no manifest yet.

    Raises:
        VaultError: A manifest is damaged.
        StorageError: Something cannot be removed.
    """
    paths = unnamed_files(root, named_objects(root))
    for path in paths:  # keys come first
        storage.erase(storage.join(root, path))
    return paths


def _destroyed(
    root: str,
    sample: str,
    found: VaultCheck,
    trusted: Mapping[str, Ed25519PublicKey] | None,
) -> frozenset[str]:
    """Returns the copies of a sample that a receipt says were destroyed."""
    try:
        if trusted is not None:
            receipt = destruction_receipts.verify_receipt(root, sample, trusted)
        else:
            read = destruction_receipts.read_receipt(root, sample)
            receipt = read[0] if read else None
    except EvidenceError as error:
        path = storage.join(destruction_receipts.FOLDER, f"{sample}.dsse.json")
        found.faults.append(Fault(Problem.RECEIPT, path, str(error)))
        return frozenset()
    return frozenset(copy.object for copy in receipt.copies) if receipt else frozenset()


def _check_destroyed(root: str, each: NamedObject, found: VaultCheck) -> None:
    left = [p for p in (each.key_path, each.path) if storage.exists(storage.join(root, p))]
    found.destroyed += not left
    for path in left:
        detail = f"{path}: is there, though a receipt says that it was destroyed"
        found.faults.append(Fault(Problem.NOT_DESTROYED, path, detail, _ids(each)))


def _fault(root: str, each: NamedObject) -> Fault | None:
    """Returns what is wrong with an object as it lies there."""
    for path in (each.key_path, each.path):
        if not storage.exists(storage.join(root, path)):
            return Fault(Problem.MISSING, path, f"{path}: is not there", _ids(each))
    if storage.status(storage.join(root, each.key_path)).size == 0:
        detail = f"{each.key_path}: is empty"
        return Fault(Problem.CHANGED, each.key_path, detail, _ids(each))
    sha256, size = _measured(storage.join(root, each.path))
    if (sha256, size) != (each.sha256, each.size):
        detail = f"{each.path}: is not what the manifest says ({size} bytes, want {each.size})"
        return Fault(Problem.CHANGED, each.path, detail, _ids(each))
    return None


def is_held(root: str, each: NamedObject) -> bool:
    """Whether an object is there as the manifest says, with its key file."""
    return _fault(root, each) is None


def _measured(path: str) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with storage.open_read(path) as source:
        try:
            while part := source.read(_CHUNK):
                digest.update(part)
                size += len(part)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}") from error
    return digest.hexdigest(), size


def _opened(root: str, each: NamedObject, found: VaultCheck, opener: Opener | None) -> Fault | None:
    if opener is None:
        return None
    try:
        package, files = opener(root, each.path)
    except VaultError as error:
        return Fault(Problem.UNOPENED, each.path, str(error), _ids(each))
    found.opened += 1
    inside = {hashlib.sha256(content).hexdigest() for _, content in files}
    wanted = {asset.sha256 for asset in each.assets if asset.sha256}
    if hashlib.sha256(package).hexdigest() != each.package_sha256 or not wanted <= inside:
        detail = f"{each.path}: what is inside is not what the manifest says"
        return Fault(Problem.CHANGED, each.path, detail, _ids(each))
    return None


def _ids(each: NamedObject) -> tuple[str, ...]:
    return tuple(sorted({asset.asset_id for asset in each.assets}))
