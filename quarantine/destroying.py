"""Destroying sealed samples for good: two people, every copy, a signed receipt.

18 USC 2258B(c) has a provider destroy permanently what law enforcement asks it to. A sample is
destroyed by destroying the key files of all its copies: then no copy of an object opens, also
where object lock, a replica or a backup keeps it. (Backups of the key files themselves have to go
by their own means; keep them apart, and short-lived.)

One person asks (`request`), another approves (`approve`), which does it. Interrupted anywhere,
approving again completes it: the approved order is durable before the first file goes, the list
of what goes likewise, and the receipt comes last. Once it is done it is done: what is sealed again
later takes another order, by two people again.

An asset's id says where it lay. Where other bytes came to lie there, it stands for several sealed
samples, and who asks says which.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.printable import counted
from ingestgate.quarantine import destruction_receipts as documents
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.destroyed import BEGUN, DONE, REQUESTED, Destructions
from ingestgate.quarantine.destruction_receipts import (
    DestroyedCopy,
    DestructionOrder,
    DestructionReceipt,
    OrderedSample,
)
from ingestgate.quarantine.inventory import NamedObject, by_asset, copies, named_objects
from ingestgate.quarantine.layout import KEYS, OBJECTS, checked, id_of, key_path

#: Told before (``destroy.requested``, ``destroy.begun``) and after (``destroy.done``).
Note = Callable[[str, Mapping[str, Any]], None]


class Person(NamedTuple):
    """Somebody who decides, with the key they sign with."""

    name: str
    key: Ed25519PrivateKey


class Affected(NamedTuple):
    """What the destruction of some assets takes.

    Attributes:
        samples: The sealed samples, with all assets of each.
        others: Assets that fall with them, though nobody asked for it.
        several: Samples of the assets whose ids stand for more than one, where nobody said which.
    """

    samples: tuple[OrderedSample, ...]
    others: tuple[str, ...]
    several: Mapping[str, tuple[str, ...]]


def affected(root: str, assets: Sequence[str], named: Collection[str] = ()) -> Affected:
    """Returns what falls when assets are destroyed, in every judging.

    Args:
        root: The quarantine.
        assets: Whole asset ids.
        named: Ids of the samples that are meant, where an asset's id stands for several.

    Raises:
        UsageError: The quarantine has no such asset, or a named sample holds none of them.
        EvidenceError: A manifest is not what is on record, or not on record.
        VaultError: One is damaged.
    """
    objects = named_objects(root)
    contents = _contents(objects)
    holders = by_asset(objects.values())
    samples: set[str] = set()
    several: dict[str, tuple[str, ...]] = {}
    for asset in assets:
        if asset not in holders:
            raise UsageError(f"no asset {asset} in this quarantine; give its whole id, see `list`")
        every = {id_of(holder.path) for holder in holders[asset]}
        meant = every & set(named)
        if len(every) > 1 and not meant:
            several[asset] = tuple(sorted(every))
        samples |= meant or every
    if strange := sorted(set(named) - samples):
        raise UsageError(f"no sample {strange[0]} that one of these assets lies in")
    ordered = tuple(
        OrderedSample(sample=sample, assets=contents[sample]) for sample in sorted(samples)
    )
    fallen = {asset for sample in ordered for asset in sample.assets}
    return Affected(ordered, tuple(sorted(fallen - set(assets))), several)


def _contents(objects: Mapping[str, NamedObject]) -> dict[str, tuple[str, ...]]:
    """Returns the assets that lie in each sample, in order."""
    found: dict[str, set[str]] = {}
    for each in objects.values():
        found.setdefault(id_of(each.path), set()).update(a.asset_id for a in each.assets)
    return {sample: tuple(sorted(assets)) for sample, assets in found.items()}


def request(
    root: str,
    assets: Sequence[str],
    reason: str,
    person: Person,
    note: Note,
    *,
    samples: Collection[str] = (),
    others_too: bool = False,
) -> DestructionOrder:
    """Asks for destruction: writes an order, signed by one person, and destroys nothing.

    Args:
        root: The quarantine.
        assets: Whole asset ids.
        reason: Why; stays on record.
        person: Who asks.
        note: Told before the order is written; what it cannot log, it refuses by raising.
        samples: Ids of the samples that are meant, where an asset's id stands for several.
        others_too: Confirms that all of them, and assets in the same sealed samples, fall as well.

    Raises:
        UsageError: There is no reason or no such asset, or others would fall unconfirmed.
        EvidenceError, VaultError: As `affected` does.
        StorageError: The order cannot be written.
    """
    if not reason.strip():
        raise UsageError("destruction needs a reason; it stays on record")
    found = affected(root, assets, samples)
    for asset, several in found.several.items():
        if not others_too:
            raise UsageError(
                f"{asset}: {len(several)} contents were sealed under that id, each a sample of its "
                f"own: {', '.join(several)}; say by --sample which are meant, or confirm all of "
                "them by --others-too"
            )
    if found.others and not others_too:
        raise UsageError(
            f"{counted(len(found.others), 'other asset')} in the same sealed samples would be "
            f"destroyed with them: {_some(found.others)}; confirm by --others-too that they may"
        )
    order = DestructionOrder(
        samples=found.samples,
        reason=reason.strip(),
        requested_by=person.name,
        requested_at=_now(),
        software=version("ingestgate"),
    )
    note(
        REQUESTED,
        {
            "order": order.id,
            "order_sha256": order.sha256,
            "assets": sorted({asset for each in order.samples for asset in each.assets}),
            "reason": order.reason,
        },
    )
    envelope = Envelope(documents.ORDER_TYPE, order.encoded()).signed(person.key)
    envelope.write(documents.order_path(root, order.id))
    return order


def approve(
    root: str,
    identifier: str,
    person: Person,
    trusted: Mapping[str, Ed25519PublicKey],
    note: Note,
) -> list[DestructionReceipt]:
    """Approves an order and carries it out; an order that was interrupted is completed.

    Args:
        root: The quarantine.
        identifier: The order's id.
        person: Who approves; not who asked.
        trusted: Public keys of those who may decide, by name.
        note: Told before and after; what it cannot log, it refuses by raising.

    Returns:
        A receipt of each sample.

    Raises:
        UsageError: There is no such order, it is one's own, or a person is not known.
        EvidenceError: The order is not signed by who is named in it, or the audit log does not
            say that they asked for it; the samples now hold other assets than it says; or it was
            carried out and its receipt does not hold.
        StorageError: Something could not be removed or written; approve again to complete.
    """
    found = documents.read_order(root, identifier)
    if found is None:
        raise UsageError(f"no order {identifier} in this quarantine")
    order, envelope = found
    where = documents.order_path(root, identifier)
    if order.requested_by not in envelope.signers(trusted):
        raise EvidenceError(
            f"{where}: not signed by the one it names, with the key of somebody who is a reviewer "
            "here now; ask for it again"
        )
    known = trusted.get(person.name)
    own = person.key.public_key().public_bytes_raw()
    if known is None or known.public_bytes_raw() != own:
        raise UsageError(f"{person.name}: that is not the key known for this name")
    asking = trusted[order.requested_by].public_bytes_raw()
    if person.name == order.requested_by or own == asking:
        raise UsageError("destruction takes two people: who asked for it cannot approve it")
    before = Destructions(root, read_log(root))
    if not before.is_asked_for(order):
        raise EvidenceError(
            f"{where}: the audit log does not say that {order.requested_by} asked for it; "
            "ask for it again"
        )
    objects = named_objects(root)
    contents = _contents(objects)
    if any(contents.get(each.sample) != each.assets for each in order.samples):
        raise EvidenceError(
            f"{where}: the samples hold other assets by now than it says; ask for it again"
        )
    if not all(before.is_done(order, each.sample) for each in order.samples):
        envelope.signed(person.key).write(where)
    named: dict[str, set[str]] = {}
    for path in objects:
        named.setdefault(id_of(path), set()).add(path)
    return [
        _destroy(root, order, each, person, named[each.sample], before, note)
        for each in order.samples
    ]


def _destroy(
    root: str,
    order: DestructionOrder,
    ordered: OrderedSample,
    person: Person,
    named: Set[str],
    before: Destructions,
    note: Note,
) -> DestructionReceipt:
    sample = ordered.sample
    if before.is_done(order, sample):
        return _done(root, order, sample, before)
    paths = _doomed(root, sample, named)
    if not storage.exists(_begun_path(root, sample)) and not list(copies(root, sample)):
        with suppress(EvidenceError):  # a receipt that does not hold is none
            earlier = before.receipt(sample)
            if earlier and set(paths) <= {copy.object for copy in earlier.copies}:
                return earlier
    fields = {
        "sample": sample,
        "assets": list(ordered.assets),
        "order": order.id,
        "reason": order.reason,
        "requested_by": order.requested_by,
        "approved_by": person.name,
    }
    note(BEGUN, fields)
    _write_begun(root, sample, order, paths)
    # Keys first: without them, no object opens, wherever else it lies.
    for path in paths:
        storage.erase(storage.join(root, key_path(path)))
    for path in paths:
        storage.delete(storage.join(root, path))
    for folder in (KEYS, OBJECTS):  # what a killed job left half-written may be a whole key
        _erase_unfinished(storage.join(root, folder, sample[:2], sample))
    receipt = DestructionReceipt(
        sample=sample,
        assets=ordered.assets,
        copies=tuple(DestroyedCopy(object=path, named=path in named) for path in paths),
        reason=order.reason,
        requested_by=order.requested_by,
        approved_by=person.name,
        order_sha256=order.sha256,
        destroyed_at=_now(),
        software=version("ingestgate"),
    )
    envelope = Envelope(documents.RECEIPT_TYPE, receipt.encoded()).signed(person.key)
    envelope.write(documents.receipt_path(root, sample))
    note(DONE, {**fields, "copies": len(paths)})
    storage.delete(_begun_path(root, sample))
    return receipt


def _done(
    root: str, order: DestructionOrder, sample: str, before: Destructions
) -> DestructionReceipt:
    """Returns the receipt of what was done; nothing that lies there by now is touched."""
    again = "restore it from a backup; what was sealed since takes another order"
    try:
        receipt = before.receipt(sample)
    except EvidenceError as error:
        raise EvidenceError(f"{error}; order {order.id} was carried out: {again}") from error
    if receipt is None:
        path = documents.receipt_path(root, sample)
        raise EvidenceError(f"{path}: is not there, though order {order.id} was done: {again}")
    if (begun := _read_begun(root, sample)) and begun.get("order") == order.id:
        storage.delete(_begun_path(root, sample))  # killed when there was nothing left to do
    return receipt


def _erase_unfinished(folder: str) -> None:
    for entry in storage.walk_if_there(folder, partials=True):
        if storage.is_partial(entry.path.removeprefix(folder)):
            storage.erase(entry.path)


def _doomed(root: str, sample: str, named: Set[str]) -> list[str]:
    """Returns the paths of all copies: named, lying there, or gone already in an earlier try."""
    earlier = documents.read_receipt(root, sample)
    receipted = {copy.object for copy in earlier[0].copies} if earlier else set()
    return sorted(named | receipted | set(copies(root, sample)) | set(_begun(root, sample)))


def _begun_path(root: str, sample: str) -> str:
    return storage.join(root, documents.FOLDER, f"{sample}.begun.json")


def _write_begun(root: str, sample: str, order: DestructionOrder, paths: Sequence[str]) -> None:
    content = json.dumps({"order": order.id, "copies": list(paths)}, indent=1).encode()
    storage.write_bytes(_begun_path(root, sample), content, private=True)


def _read_begun(root: str, sample: str) -> dict[str, Any] | None:
    path = _begun_path(root, sample)
    if not storage.exists(path):
        return None
    try:
        found = dict(json.loads(storage.read_bytes(path)))
        found["copies"] = [checked(each) for each in found["copies"]]
    except (ValueError, KeyError, TypeError):
        raise EvidenceError(f"{path}: damaged; remove it, and approve again") from None
    return found


def _begun(root: str, sample: str) -> list[str]:
    found = _read_begun(root, sample) or {"copies": []}
    return [
        each for each in found["copies"] if each.startswith(f"{OBJECTS}/{sample[:2]}/{sample}/")
    ]


def _some(assets: Sequence[str]) -> str:
    shown = ", ".join(asset[:12] for asset in assets[:3])
    return shown if len(assets) <= 3 else f"{shown}..."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
