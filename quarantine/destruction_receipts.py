"""Orders and receipts of destruction: what is destroyed, why and by whom; nothing of what it was.

``destroyed/orders/<id>.dsse.json`` is the order: one person asks and signs, another approves and
signs the same statement. ``destroyed/<sample>.dsse.json`` is the receipt, signed by who approved,
and bound to the order. What an object held is in neither: asset ids are functions of where an
asset lay, and an object's digest is that of a ciphertext nobody can open any more.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Final, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.quarantine.layout import id_of
from ingestgate.quarantine.manifest import Sha256, Time

FOLDER: Final = "destroyed"
ORDER_TYPE: Final = "application/vnd.ingestgate.destruction-order+json"
RECEIPT_TYPE: Final = "application/vnd.ingestgate.destruction+json"
AssetId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
SampleId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")]


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    def encoded(self) -> bytes:
        """Returns the bytes that are signed."""
        return self.model_dump_json(indent=1).encode()


class OrderedSample(_Record):
    """A sealed sample that is to be destroyed."""

    sample: SampleId
    assets: tuple[AssetId, ...]
    """Every asset that lies in it; they fall together."""


class DestructionOrder(_Record):
    """What one person asks for and another approves."""

    version: Literal[1] = 1
    samples: tuple[OrderedSample, ...]
    reason: str
    requested_by: str
    requested_at: Time
    software: str

    @property
    def id(self) -> str:
        """Sixteen hex digits, of what it says."""
        return self.sha256[:16]

    @cached_property  # asked for with each sample, of all of which it is
    def sha256(self) -> str:
        """Hex digest of what is signed."""
        return hashlib.sha256(self.encoded()).hexdigest()


class DestroyedCopy(_Record):
    """One copy that was destroyed."""

    object: str
    """Path of the object below the quarantine's root; ends in the digest of its ciphertext."""
    named: bool
    """Whether a manifest names it; a killed run may have left others."""


class DestructionReceipt(_Record):
    """What became of one sample."""

    version: Literal[1] = 1
    sample: SampleId
    assets: tuple[AssetId, ...]
    """Every asset that lay in it."""
    copies: tuple[DestroyedCopy, ...]
    reason: str
    requested_by: str
    approved_by: str
    order_sha256: Sha256
    destroyed_at: Time
    software: str


def order_path(root: str, identifier: str) -> str:
    """Returns where an order lies."""
    return storage.join(root, FOLDER, "orders", f"{identifier}.dsse.json")


def receipt_path(root: str, sample: str) -> str:
    """Returns where the receipt of a sample's destruction lies."""
    return storage.join(root, FOLDER, f"{sample}.dsse.json")


_R = TypeVar("_R", bound=_Record)


def _read(path: str, kind: str, model: type[_R]) -> tuple[_R, Envelope] | None:
    envelope = Envelope.read(path, kind, EvidenceError)
    if envelope is None:
        return None
    try:
        return model.model_validate_json(envelope.payload), envelope
    except ValidationError:
        raise EvidenceError(f"{path}: signed, but not what it should be") from None


def read_order(root: str, identifier: str) -> tuple[DestructionOrder, Envelope] | None:
    """Returns an order and its envelope; None if there is none.

    Raises:
        EvidenceError: What lies there is no order, or another one.
        StorageError: It cannot be read.
    """
    path = order_path(root, identifier)
    found = _read(path, ORDER_TYPE, DestructionOrder)
    if found and hashlib.sha256(found[1].payload).hexdigest()[:16] != identifier:
        raise EvidenceError(f"{path}: is another order than its name says")
    return found


def read_receipt(root: str, sample: str) -> tuple[DestructionReceipt, Envelope] | None:
    """Returns the receipt of a sample's destruction and its envelope; None if there is none.

    Raises:
        EvidenceError: What lies there is no receipt, or one of another sample.
        StorageError: It cannot be read.
    """
    path = receipt_path(root, sample)
    found = _read(path, RECEIPT_TYPE, DestructionReceipt)
    if found:
        receipt, _ = found
        if receipt.sample != sample or {id_of(c.object) for c in receipt.copies} - {sample}:
            raise EvidenceError(f"{path}: is the receipt of another sample")
    return found


def verify_receipt(
    root: str, sample: str, trusted: Mapping[str, Ed25519PublicKey]
) -> DestructionReceipt | None:
    """Returns the receipt of a sample's destruction, once its signatures hold; None without one.

    Args:
        root: The quarantine.
        sample: The sample's id.
        trusted: Public keys by the names of their owners.

    Raises:
        EvidenceError: It, or the order it refers to, is damaged, missing, or not signed by the
            two people it names.
        StorageError: One cannot be read.
    """
    found = read_receipt(root, sample)
    if found is None:
        return None
    receipt, envelope = found
    path = receipt_path(root, sample)
    ordered = read_order(root, receipt.order_sha256[:16])
    if ordered is None or hashlib.sha256(ordered[1].payload).hexdigest() != receipt.order_sha256:
        raise EvidenceError(f"{path}: the order it refers to is not there")
    if sample not in {each.sample for each in ordered[0].samples}:
        raise EvidenceError(f"{path}: the order it refers to does not name this sample")
    people = {receipt.requested_by, receipt.approved_by}
    if (
        len(people) != 2
        or ordered[0].requested_by != receipt.requested_by
        or not people <= set(ordered[1].signers(trusted))
        or receipt.approved_by not in envelope.signers(trusted)
    ):
        raise EvidenceError(f"{path}: not signed by the two people it names")
    return receipt
