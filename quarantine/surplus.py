"""Copies that no manifest names any more, or yet: which can go without taking evidence with them.

A run that was killed leaves such, and one that judges a shard again by the same rules: it replaces
the shard's manifest by one that names what it sealed anew. The log has the digests of both, and not
what the first named, so that nobody can tell these from what somebody put there.

What no manifest names may be a copy too many, or all that is left of what somebody took out of the
manifests. So nothing goes while a manifest on record is missing, changed or not on record, and
only what another copy of the same sample makes superfluous: one that a manifest names and that is
there, whole, with a key file that is known to be its own, or was destroyed on record.
"""

from collections.abc import Sequence
from typing import Final

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError
from ingestgate.quarantine.audit import AuditLine
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import named_objects, unnamed_files
from ingestgate.quarantine.layout import id_of, sample_of
from ingestgate.quarantine.manifest_checking import check_manifests
from ingestgate.quarantine.sealed_manifests import sealed_manifests

#: A person's: what the line names is about to be removed.
REMOVING: Final = "vault.removing_unnamed"


def superfluous(root: str, lines: Sequence[AuditLine]) -> list[str]:
    """Returns the files that no manifest names and that another copy makes superfluous.

    Not while a run is at work: what it has just sealed is named by no manifest yet.

    Args:
        root: The quarantine.
        lines: Its audit log.

    Returns:
        Key files first, then objects; paths below the root.

    Raises:
        EvidenceError: A manifest is not what is on record, or the log does not hold.
        VaultError, StorageError: Manifests or folders cannot be read.
    """
    faults = check_manifests(root, sealed_manifests(lines))
    if faults:
        raise EvidenceError(
            f"{faults[0].detail}. Nothing is removed while the manifests are not what is on "
            "record: what they named would be lost. See `ingestgate quarantine check`"
        )
    objects = named_objects(root)
    unnamed = unnamed_files(root, objects)
    samples = {sample_of(path) for path in unnamed}
    holding = Holding(root, lines)
    kept = {
        id_of(each.path)
        for each in objects.values()
        if id_of(each.path) in samples and holding.holds(each)
    }
    return [path for path in unnamed if sample_of(path) in kept]


def remove(root: str, paths: Sequence[str]) -> None:
    """Erases files, in the order given.

    Raises:
        StorageError: One cannot be removed.
    """
    for path in paths:
        storage.erase(storage.join(root, path))
