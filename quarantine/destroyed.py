"""What was destroyed: receipts of destruction, as far as the audit log bears them out.

A receipt counts if the log says that the destruction it is of came to its end, and if the two
people it names have signed with the keys, and in the roles, that were theirs when it began. So a
receipt stays good when somebody is removed, or comes back with another key; and one that nobody
logged counts for nothing, whoever signed it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingestgate.assets.errors import EvidenceError
from ingestgate.quarantine.audit import AuditLine
from ingestgate.quarantine.destruction_receipts import (
    DestructionReceipt,
    read_receipt,
    receipt_path,
    verify_receipt,
)
from ingestgate.quarantine.reviewers import Registry, Role

BEGUN: Final = "destroy.begun"
DONE: Final = "destroy.done"


class _Act(NamedTuple):
    """What a line says of a destruction."""

    sample: Any
    order: Any
    requested_by: Any
    approved_by: Any


class Destructions:
    """The destructions that a quarantine's audit log has the end of.

    Args:
        root: The quarantine.
        lines: Its log, from the first line.

    Raises:
        EvidenceError: Somebody did what they had no right to.
    """

    def __init__(self, root: str, lines: Iterable[AuditLine]) -> None:
        self._root = root
        self._ended: dict[_Act, Mapping[str, Ed25519PublicKey]] = {}
        known, begun = Registry(), dict[_Act, Mapping[str, Ed25519PublicKey]]()
        for line in lines:
            known.apply(line)
            if line.event not in (BEGUN, DONE):
                continue
            said = _Act(*(str(line.fields.get(name)) for name in _Act._fields))
            if said.approved_by != known.names[-1]:
                continue
            if line.event == BEGUN:
                begun[said] = known.keys(Role.REVIEWER)
            elif said in begun:
                self._ended[said] = begun[said]

    def receipt(self, sample: str) -> DestructionReceipt | None:
        """Returns the receipt of a sample's destruction; None without one.

        Raises:
            EvidenceError: There is one, and it does not hold.
            StorageError: It cannot be read.
        """
        found = read_receipt(self._root, sample)
        if found is None:
            return None
        said = found[0]
        act = _Act(sample, said.order_sha256[:16], said.requested_by, said.approved_by)
        keys = self._ended.get(act)
        if keys is None:
            path = receipt_path(self._root, sample)
            raise EvidenceError(f"{path}: the audit log does not say that it was destroyed so")
        two = {name: keys[name] for name in (said.requested_by, said.approved_by) if name in keys}
        return verify_receipt(self._root, sample, two)

    def copies(self, sample: str) -> frozenset[str]:
        """Returns the paths of the copies that were destroyed; raises as `receipt` does."""
        receipt = self.receipt(sample)
        return frozenset(copy.object for copy in receipt.copies) if receipt else frozenset()
