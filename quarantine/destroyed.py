"""What was destroyed: receipts of destruction, as far as the audit log bears them out.

A receipt counts if the log says that the destruction it is of came to its end, and if the two
people it names have signed with the keys, and in the roles, that were theirs when it began. So a
receipt stays good when somebody is removed, or comes back with another key; and one that nobody
logged, or asked for, counts for nothing, whoever signed it. Nor does it cover a copy in which other
assets lay than it names.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingestgate.assets.errors import EvidenceError
from ingestgate.quarantine.audit import AuditLine
from ingestgate.quarantine.destruction_receipts import (
    FOLDER,
    DestructionOrder,
    DestructionReceipt,
    read_receipt,
    receipt_path,
    verify_receipt,
)
from ingestgate.quarantine.inventory import NamedObject
from ingestgate.quarantine.layout import id_of
from ingestgate.quarantine.reviewers import Registry, Role

REQUESTED: Final = "destroy.requested"
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
        self._asked: set[tuple[str, str]] = set()
        self._ended: dict[_Act, Mapping[str, Ed25519PublicKey]] = {}
        known, begun = Registry(), dict[_Act, Mapping[str, Ed25519PublicKey]]()
        for line in lines:
            known.apply(line)
            if line.event == REQUESTED:
                self._asked.add((str(line.fields.get("order_sha256")), known.names[-1]))
            if line.event not in (BEGUN, DONE):
                continue
            said = _Act(*(str(line.fields.get(name)) for name in _Act._fields))
            if said.approved_by != known.names[-1]:
                continue
            if line.event == BEGUN:
                begun[said] = known.keys(Role.REVIEWER)
            elif said in begun:
                self._ended[said] = begun[said]

    def is_asked_for(self, order: DestructionOrder) -> bool:
        """Whether the one whom an order names has asked for it, by a line of their own."""
        return (order.sha256, order.requested_by) in self._asked

    def is_done(self, order: DestructionOrder, sample: str) -> bool:
        """Whether an order was carried out on a sample: that is done once."""
        return any((act.order, act.sample) == (order.id, sample) for act in self._ended)

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
        if keys is None or (said.order_sha256, said.requested_by) not in self._asked:
            path = receipt_path(self._root, sample)
            raise EvidenceError(f"{path}: the audit log does not say that it was destroyed so")
        two = {name: keys[name] for name in (said.requested_by, said.approved_by) if name in keys}
        return verify_receipt(self._root, sample, two)


def covers(receipt: DestructionReceipt | None, each: NamedObject) -> bool:
    """Whether a copy was destroyed by a receipt.

    Raises:
        EvidenceError: The receipt names it, but not every asset that lay in it.
    """
    if receipt is None or each.path not in {copy.object for copy in receipt.copies}:
        return False
    if {asset.asset_id for asset in each.assets} - set(receipt.assets):
        raise EvidenceError(
            f"{FOLDER}/{id_of(each.path)}.dsse.json: names other assets than those that lay in "
            f"{each.path}, by its manifest"
        )
    return True
