"""Checking a quarantine: is everything there that the manifests say, unchanged, and no more.

The manifests themselves are held against the audit log, which has the digests of each.

Without a secret key: each object's ciphertext and its key file against their digests.
With one (through an opener, which a person brings): each is opened, and what is inside compared
with the digests of the package and of the assets.

No lock is held, for who checks may be allowed to read only. So before anything is called wrong, it
is seen whether somebody is at work, whose half-done work would look so.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, VaultError
from ingestgate.assets.evidence import records
from ingestgate.assets.receipts import read_receipt
from ingestgate.quarantine import rewraps
from ingestgate.quarantine.audit import AuditLine, read_log
from ingestgate.quarantine.destroyed import Destructions, covers
from ingestgate.quarantine.destruction_receipts import FOLDER, DestructionReceipt
from ingestgate.quarantine.faults import Fault, Problem
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import NamedObject, objects_named_in, unnamed_files
from ingestgate.quarantine.layout import id_of, sample_of
from ingestgate.quarantine.locking import is_at_work
from ingestgate.quarantine.manifest import every_row
from ingestgate.quarantine.manifest_checking import check_manifest, check_manifests
from ingestgate.quarantine.sealed_manifests import SealedManifest, sealed_manifests

#: How often all is looked at while the audit log gets longer meanwhile.
_TRIES: Final = 3
#: What a run that is at work leaves until it ends.
_A_RUNS: Final = frozenset((Problem.UNLOGGED, Problem.UNNAMED))
_FURTHER: Final = (
    "another copy of its sample is named. A run that was killed may have left this one, or one "
    "that judged its shard again by the same rules; --remove-unnamed takes away what is superfluous"
)
_UNSURE: Final = (
    "another copy of its sample is named, but nothing tells whether its key file is the right one, "
    "so that this one may be all that is left; rewrap first, then --remove-unnamed takes away what "
    "is superfluous"
)
_ALONE: Final = (
    "nor another copy of its sample, so that it may be all that is left of one; run a killed run "
    "to its end, or find out who put it there"
)


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
        at_work: Whether somebody was at work meanwhile, so that the faults may be of that.
    """

    manifests: int = 0
    objects: int = 0
    sound: int = 0
    destroyed: int = 0
    opened: int = 0
    faults: list[Fault] = field(default_factory=list)
    at_work: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Returns it for ``--json``."""
        kinds = Counter(fault.problem for fault in self.faults)
        return {
            "sound": not self.faults,
            "at_work": self.at_work,
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
    evidence: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> VaultCheck:
    """Checks a quarantine.

    Args:
        root: The quarantine.
        opener: Opens objects, so that what is inside is compared as well.
        evidence: Evidence of runs into it: the manifests are also held against their receipts.
        progress: Told how many objects of how many are done.

    Raises:
        EvidenceError: The audit log does not hold, or somebody did what they might not.
        UsageError: There is no such quarantine.
        VaultError: A manifest is damaged and nothing tells how.
        StorageError: Folders or manifests cannot be read.
    """
    for _ in range(_TRIES):
        lines = list(read_log(root))
        found = _checked(root, lines, opener, evidence, progress)
        moved = bool(found.faults) and list(read_log(root)) != lines
        found.at_work = moved or _may_be_work(root, found.faults)
        if not moved:
            break
    return found


def _may_be_work(root: str, faults: Sequence[Fault]) -> bool:
    """Whether somebody is at work on a quarantine now, and faults may be of that."""
    if not faults:
        return False
    alone = any(fault.problem not in _A_RUNS for fault in faults)
    return is_at_work(root, alone=alone)


def _checked(
    root: str,
    lines: Sequence[AuditLine],
    opener: Opener | None,
    evidence: Sequence[str],
    progress: Callable[[int, int], None],
) -> VaultCheck:
    found = VaultCheck()
    sealed = sealed_manifests(lines)
    holding = Holding(root, lines)
    found.manifests = len(sealed)
    found.faults += check_manifests(root, sealed) + holding.faults
    if problem := rewraps.problem_of_statement(root, rewraps.access(lines)):
        found.faults.append(Fault(Problem.CHANGED, rewraps.STATEMENT, problem))
    for folder in evidence:
        found.faults += [f for f in _by_receipts(root, folder, sealed) if f not in found.faults]
    try:
        objects = objects_named_in(every_row(root))
    except VaultError as error:
        if not found.faults:
            raise
        # What is wrong with the manifests is known already, and by whom it can be told.
        found.faults.append(Fault(Problem.CHANGED, "manifest", f"objects not looked at: {error}"))
        return found
    found.objects = len(objects)
    receipts: dict[str, DestructionReceipt | None] = {}
    for number, each in enumerate(objects.values()):
        progress(number, len(objects))
        sample = id_of(each.path)
        if sample not in receipts:
            receipts[sample] = _receipt(holding.destructions, sample, found)
        if _is_covered(receipts[sample], each, found):
            _check_destroyed(root, each, found)
        elif (fault := holding.fault(each) or _opened(root, each, found, opener)) is not None:
            found.faults.append(fault)
        else:
            found.sound += 1
    progress(len(objects), len(objects))
    others = {id_of(path): _UNSURE for path in objects}
    others |= {id_of(e.path): _FURTHER for e in objects.values() if holding.can_tell(e)}
    for path in unnamed_files(root, objects):
        what = others.get(sample_of(path), _ALONE)
        found.faults.append(Fault(Problem.UNNAMED, path, f"{path}: no manifest names it; {what}"))
    return found


def _by_receipts(root: str, evidence: str, sealed: Mapping[str, SealedManifest]) -> Iterator[Fault]:
    """Yields where the audit log, or a manifest, says something else than a run's receipts."""
    for shard, entry in records(storage.join(evidence, "receipts")).items():
        receipt = read_receipt(evidence, shard)
        if receipt is None:
            yield Fault(Problem.RECEIPT, entry.path, f"{entry.path}: is damaged; run again")
            continue
        if not receipt.manifest:
            continue
        said = SealedManifest.of(receipt.manifest, receipt.manifest_digests)
        if said.name in sealed and sealed[said.name] != said:
            detail = f"manifest/{said.name}: the audit log says other digests than {entry.path}"
            yield Fault(Problem.CHANGED, f"manifest/{said.name}.jsonl", detail)
        yield from check_manifest(root, said)


def _receipt(
    destructions: Destructions, sample: str, found: VaultCheck
) -> DestructionReceipt | None:
    """Returns the receipt of a sample's destruction, if it holds."""
    try:
        return destructions.receipt(sample)
    except EvidenceError as error:
        path = storage.join(FOLDER, f"{sample}.dsse.json")
        found.faults.append(Fault(Problem.RECEIPT, path, str(error)))
        return None


def _is_covered(receipt: DestructionReceipt | None, each: NamedObject, found: VaultCheck) -> bool:
    try:
        return covers(receipt, each)
    except EvidenceError as error:
        path = storage.join(FOLDER, f"{id_of(each.path)}.dsse.json")
        found.faults.append(Fault(Problem.RECEIPT, path, str(error), _ids(each)))
        return False


def _check_destroyed(root: str, each: NamedObject, found: VaultCheck) -> None:
    left = [p for p in (each.key_path, each.path) if storage.exists(storage.join(root, p))]
    found.destroyed += not left
    for path in left:
        detail = f"{path}: is there, though a receipt says that it was destroyed"
        found.faults.append(Fault(Problem.NOT_DESTROYED, path, detail, _ids(each)))


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
