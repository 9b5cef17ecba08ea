"""Whether the vault holds what its manifests name, as it was sealed.

An object by its digest; its key file by the digest it was sealed with, or that the last rewrapping
on record gave it. Anything else under that name may open nothing.
"""

import hashlib
from collections.abc import Iterable

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.file_digest import file_sha256
from ingestgate.quarantine import rewraps
from ingestgate.quarantine.audit import AuditLine
from ingestgate.quarantine.destroyed import Destructions, covers
from ingestgate.quarantine.faults import Fault, Problem
from ingestgate.quarantine.inventory import NamedObject
from ingestgate.quarantine.layout import id_of


class Holding:
    """Compares what lies in a quarantine with what is on record of it.

    Args:
        root: The quarantine.
        lines: Its audit log, from the first line.

    Attributes:
        destructions: Those on record.
        faults: What is wrong with the records of rewrappings; the key files that they alone tell
            of are then not what was sealed.

    Raises:
        EvidenceError: Somebody did what they had no right to.
        StorageError: A record cannot be read.
    """

    def __init__(self, root: str, lines: Iterable[AuditLine]) -> None:
        self._root = root
        self._rewrapped: dict[str, str] = {}
        self._sealed_to: dict[str, frozenset[str]] = {}
        self.faults: list[Fault] = []
        kept = list(lines)
        self.destructions = Destructions(root, kept)
        self._unfinished = rewraps.unfinished(kept) is not None
        for record, recipients in rewraps.records(kept):
            self._take(record, recipients)

    def _take(self, record: str, recipients: frozenset[str]) -> None:
        try:
            found = rewraps.read_record(self._root, record)
            self._rewrapped.update(found)
            self._sealed_to.update(dict.fromkeys(found, recipients))
        except EvidenceError as error:
            self.faults.append(Fault(Problem.CHANGED, rewraps.record_path(record), str(error)))

    def key_sha256(self, each: NamedObject) -> str | None:
        """Returns the digest that an object's key file has to have.

        None where nothing tells: its manifest is of a version that did not say, and it was never
        sealed anew.
        """
        return self._rewrapped.get(each.key_path, each.key_sha256)

    def is_sealed_to(self, key_path: str, sha256: str, recipients: Iterable[str]) -> bool:
        """Whether a key file of a digest is one that a rewrapping on record sealed to these."""
        return (self._rewrapped.get(key_path), self._sealed_to.get(key_path)) == (
            sha256,
            frozenset(recipients),
        )

    def fault(self, each: NamedObject) -> Fault | None:
        """Returns what is wrong with an object and its key file as they lie there."""
        key, path = (storage.join(self._root, name) for name in (each.key_path, each.path))
        for name, full in ((each.key_path, key), (each.path, path)):
            if not storage.exists(full):
                return Fault(Problem.MISSING, name, f"{name}: is not there", _ids(each))
        content = storage.read_bytes(key)
        wanted = self.key_sha256(each)
        if not content or (wanted is not None and hashlib.sha256(content).hexdigest() != wanted):
            detail = f"{each.key_path}: is not the key file that was sealed"
            if self._unfinished:
                detail += "; a rewrapping is unfinished, finish it by the same command"
            return Fault(Problem.CHANGED, each.key_path, detail, _ids(each))
        read: list[int] = []
        sha256, size = file_sha256(path, read.append), sum(read)
        if (sha256, size) != (each.sha256, each.size):
            detail = f"{each.path}: is not what the manifest says ({size} bytes, want {each.size})"
            return Fault(Problem.CHANGED, each.path, detail, _ids(each))
        return None

    def is_destroyed(self, each: NamedObject) -> bool:
        """Whether a copy was destroyed, by a receipt that holds."""
        try:
            return covers(self.destructions.receipt(id_of(each.path)), each)
        except EvidenceError:
            return False

    def accounts_for(self, each: NamedObject) -> bool:
        """Whether an object is there as it was sealed, or was destroyed on record."""
        return self.fault(each) is None or self.is_destroyed(each)

    def can_tell(self, each: NamedObject) -> bool:
        """Whether something tells what its key file has to be, or that it was destroyed."""
        return self.key_sha256(each) is not None or self.is_destroyed(each)

    def holds(self, each: NamedObject) -> bool:
        """As `accounts_for`, and only if something tells what its key file has to be."""
        return self.can_tell(each) and self.accounts_for(each)


def _ids(each: NamedObject) -> tuple[str, ...]:
    return tuple(sorted({asset.asset_id for asset in each.assets}))
