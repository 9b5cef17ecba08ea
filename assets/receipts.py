"""Receipts: what became of each committed shard; the last thing a commit writes.

A shard with a current receipt is finished and is not looked at again. A shard that could not
be judged or committed leaves a failure note instead, until it can. A receipt carries the digest
of what it says: a figure of which a bit has flipped would otherwise be believed.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from ingestgate.assets import ledger, storage
from ingestgate.assets.errors import EvidenceError, LedgerError, StorageError, UsageError
from ingestgate.assets.evidence import records
from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.purges import PurgeReceipt, purge_to
from ingestgate.assets.shard import Shard
from ingestgate.assets.withdrawn_receipts import (
    end_withdrawal,
    note_withdrawal,
    withdrawal_path,
    withdrawals,
)

RECEIPT_VERSION = 4
#: Problem of a shard that failed in one run, and that a later one has not come to.
NOT_TRIED = "it failed, and the run after that ended before it was tried again; run again"
_THREADS = 16
#: What stands for a folder in which there is no file.
_NOTHING = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one shard.

    Attributes:
        shard, format, identity, size: The shard as it was judged.
        context: Hex digest of the rules it was judged by.
        ranges: How many ledger parts it has.
        ledger: Hex digest of these, see `ledger_digest`.
        judged_at: When each of them was judged, RFC 3339 UTC time.
        tallies: Counts of assets (see `ledger.tally`), and `ledger.tally_isolation`.
        outputs: ``{name, sha256, size}`` of each admitted file, names below the output root.
        manifest: Stem of its manifest's file names, "" where nothing was quarantined.
        manifest_digests: Hex SHA-256 of each of its files, by suffix, as they were written.
        committed_at: RFC 3339 UTC time.
        software: Version of the program.
    """

    shard: str
    format: str
    identity: str
    size: int
    context: str
    ranges: int
    ledger: str
    judged_at: Sequence[str]
    tallies: Mapping[str, int]
    outputs: Sequence[Mapping[str, Any]]
    manifest: str
    manifest_digests: Mapping[str, str]
    committed_at: str
    software: str


def receipt_path(evidence: str, shard: str) -> str:
    """Returns where a shard's receipt lies."""
    return storage.join(evidence, "receipts", f"{shard}.json")


def failure_path(evidence: str, shard: str) -> str:
    """Returns where a shard's failure note lies."""
    return storage.join(evidence, "failures", f"{shard}.json")


def write_receipt(evidence: str, receipt: Receipt) -> None:
    """Writes a shard's receipt, durably."""
    storage.write_bytes(receipt_path(evidence, receipt.shard), _whole(receipt), private=True)
    end_withdrawal(evidence, receipt.shard)


def withdraw_receipt(evidence: str, shard: str, manifest: str) -> None:
    """Removes a shard's receipt before the manifest it names is replaced by the same again.

    Digests of the earlier one would otherwise outlive it, if the commit is killed in between.
    """
    earlier = read_receipt(evidence, shard)
    if earlier is not None and earlier.manifest == manifest:
        note_withdrawal(evidence, shard, forgotten=True)
        storage.delete(receipt_path(evidence, shard))


def write_failure(evidence: str, shard: Shard, problem: str) -> None:
    """Notes why a shard could not be judged or committed."""
    content = {"shard": shard.name, "identity": shard.identity, "problem": problem}
    storage.write_bytes(failure_path(evidence, shard.name), _encoded(content), private=True)


def carry_failures(evidence: str, todo: Sequence[Shard], others: Collection[str]) -> None:
    """Keeps the failure notes of shards that are not done, and takes back all others.

    A note stays until its shard is done: a run that is killed before would leave nothing that says
    that it is not. Those of shards that are about to be tried again say so, see `NOT_TRIED`.

    Args:
        evidence: The evidence folder.
        todo: The shards that are about to be tried.
        others: Names of shards that are not done either.
    """
    by_name = {shard.name: shard for shard in todo}
    for name in read_failures(evidence):
        if name in by_name:
            write_failure(evidence, by_name[name], NOT_TRIED)
        elif name not in others:
            storage.delete(failure_path(evidence, name))


def clear_failure(evidence: str, shard: Shard) -> None:
    """Takes a shard's failure note back."""
    storage.delete(failure_path(evidence, shard.name))


def _whole(receipt: Receipt) -> bytes:
    content = {"version": RECEIPT_VERSION, **asdict(receipt)}
    return _encoded(content | {"sha256": hashlib.sha256(_encoded(content)).hexdigest()})


def _encoded(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def read_receipt(evidence: str, shard: str) -> Receipt | None:
    """Returns a shard's receipt; None if there is none or it is not a whole one.

    A damaged receipt is as good as none: the shard is then judged and committed again.

    Raises:
        StorageError: There is one, or may be, and it cannot be read.
    """
    path = receipt_path(evidence, shard)
    try:
        raw = storage.read_bytes(path)
    except StorageError:
        if not storage.exists(path):
            return None
        raw = storage.read_bytes(path)
    try:
        content = json.loads(raw)
        del content["version"], content["sha256"]
        receipt = Receipt(**content)
        return receipt if _whole(receipt) == raw else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def read_failures(evidence: str) -> dict[str, str]:
    """Returns why shards could not be done, by their names; a damaged note tells the shard only."""
    notes = records(storage.join(evidence, "failures"))
    return {shard: _problem(storage.read_bytes(note.path)) for shard, note in notes.items()}


def _problem(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["problem"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "it failed; the note that says why is damaged"


def every_receipt(evidence: str) -> dict[str, Receipt]:
    """Returns every receipt there is, by shard.

    Raises:
        EvidenceError: One is damaged, or was withdrawn, so that nothing tells what the output
            holds of its shard.
    """
    entries = records(storage.join(evidence, "receipts"))
    with ThreadPoolExecutor(_THREADS) as pool:
        receipts = list(pool.map(lambda name: read_receipt(evidence, name), entries))
    found = {}
    for (name, entry), receipt in zip(entries.items(), receipts, strict=True):
        if receipt is None or receipt.shard != name:
            raise EvidenceError(
                f"{entry.path}: not a whole receipt; run again, which commits its shard anew"
            )
        found[name] = receipt
    if gone := sorted(withdrawals(evidence).keys() - found.keys()):
        raise EvidenceError(
            f"{gone[0]}: was to be judged anew and is not yet committed, and the output still "
            f"holds what was admitted of it before ({len(gone)} such shards); run again, or remove "
            f"it from the output, with {withdrawal_path(evidence, gone[0])}"
        )
    return found


def how_to_remove(evidence: str, shard: str) -> str:
    """Returns how to remove what is left of a committed shard; completes a sentence."""
    folder = ledger.part_folder(storage.join(evidence, "ledger"), shard)
    return f"remove it from the output, with {receipt_path(evidence, shard)} and {folder}"


def require_their_ledgers(evidence: str, receipts: Mapping[str, Receipt]) -> None:
    """Refuses receipts whose shards' ledgers are not the ones that were committed, to the byte.

    A run that judged a shard anew and could not commit it leaves another ledger, which tells
    nothing of what is in the output.

    Raises:
        EvidenceError: One is not; names its shard.
        LedgerError: A part is missing or damaged.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda one: _require_its_ledger(one, evidence), receipts.values()):
            pass


def _require_its_ledger(receipt: Receipt, evidence: str) -> None:
    gone = _if_it_is_gone(evidence, receipt.shard)
    if not _is_its_ledger(receipt, evidence):
        raise EvidenceError(
            f"{receipt.shard}: its ledger is not the one that was committed, says its receipt; "
            f"run again, which judges and commits it anew; {gone}"
        )
    if hash_shard_ledger(evidence, receipt.shard, receipt.ranges) != receipt.ledger:
        # Runs look at the parts' headers alone, and would find the shard finished.
        folder = ledger.part_folder(storage.join(evidence, "ledger"), receipt.shard)
        raise EvidenceError(
            f"{folder}: damaged, as its shard's receipt tells; remove it and run again, which "
            f"judges and commits the shard anew; {gone}"
        )


def _if_it_is_gone(evidence: str, shard: str) -> str:
    return f"if the shard is not in the input any more, {how_to_remove(evidence, shard)}"


def read_receipts(evidence: str, shards: Sequence[Shard]) -> dict[str, Receipt]:
    """Returns the receipts there are of some shards, by whatever rules they were judged."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda shard: read_receipt(evidence, shard.name), shards)
        return {receipt.shard: receipt for receipt in found if receipt is not None}


def finished_receipts(
    evidence: str, output: str, shards: Sequence[Shard], context: str
) -> dict[str, Receipt]:
    """Returns the receipts of the shards that need no more work, by their names.

    Those that were judged by the rules that ``context`` is of, and whose output and ledger are
    still there.
    """

    def finished(shard: Shard) -> Receipt | None:
        receipt = read_receipt(evidence, shard.name)
        return receipt if is_finished(receipt, shard, context, output, evidence) else None

    # Object stores answer slowly, but many at a time.
    with ThreadPoolExecutor(_THREADS) as pool:
        receipts = zip(shards, pool.map(finished, shards), strict=True)
        return {shard.name: receipt for shard, receipt in receipts if receipt is not None}


def purge_of(evidence: str, shard: Shard, receipt: Receipt) -> PurgeReceipt | None:
    """Returns the receipt of the purge that made of a committed shard what it is now, if one did.

    One by another manifest is of another judging, whose receipt this one has replaced: what this
    one quarantined may still be there.

    Raises:
        EvidenceError: What lies in its place is no receipt.
        StorageError: It cannot be read.
    """
    purge = purge_to(evidence, shard, receipt.identity)
    if purge is None or (purge.context, purge.manifest) != (receipt.context, receipt.manifest):
        return None
    return purge


def is_finished(
    receipt: Receipt | None, shard: Shard, context: str, output: str, evidence: str
) -> bool:
    """Whether a shard needs no more work: judged by these rules, its output and ledger there."""
    if receipt is None or (receipt.context, receipt.format) != (context, shard.format):
        return False
    if receipt.identity != shard.identity and purge_of(evidence, shard, receipt) is None:
        return False
    published = all(_is_published(*file) for file in _admitted_files(receipt, output))
    return published and _has_its_ledger(receipt, evidence)


def require_published(evidence: str, output: str, receipts: Iterable[Receipt]) -> list[str]:
    """Refuses an output that holds nothing of what was admitted, by names and sizes.

    Args:
        evidence: Where the receipts lie.
        output: Root of the admitted shards.
        receipts: What was admitted.

    Returns:
        Of each admitted file that is not there, what is the matter and what to do.

    Raises:
        UsageError: None of them is there: it is another output, or all were removed.
    """
    files = [(one.shard, *file) for one in receipts for file in _admitted_files(one, output)]
    with ThreadPoolExecutor(_THREADS) as pool:
        there = list(pool.map(lambda file: _is_published(*file[1:]), files))
    missing = [
        f"{path}: not there as the receipt of {shard} says; give the --output that holds it; if "
        "it was removed, run again, which commits it anew, or remove "
        f"{receipt_path(evidence, shard)} as well"
        for (shard, path, _), is_there in zip(files, there, strict=True)
        if not is_there
    ]
    if missing and not any(there):
        raise UsageError(missing[0])
    return missing


def _admitted_files(receipt: Receipt, output: str) -> Iterator[tuple[str, int | None]]:
    """Yields path and size of each admitted file, and of each folder None."""
    is_folder = receipt.format == "folder"
    for entry in receipt.outputs:
        if is_folder and entry["sha256"] == _NOTHING and storage.is_remote(output):
            continue  # a store has no empty folders
        yield storage.join(output, entry["name"]), None if is_folder else entry["size"]


def _has_its_ledger(receipt: Receipt, evidence: str) -> bool:
    try:
        return _is_its_ledger(receipt, evidence)
    except LedgerError:
        return False


def _is_its_ledger(receipt: Receipt, evidence: str) -> bool:
    """Whether the ledger is the one that was committed, by its parts' headers.

    It is not where a run that was killed has begun to judge by other rules, or anew: also if one
    since has judged by the same rules again, as what the other published is still there.

    Raises:
        LedgerError: A part is missing or damaged.
    """
    root = storage.join(evidence, "ledger")
    judged = (receipt.shard, receipt.identity, receipt.context, receipt.ranges)
    if len(receipt.judged_at) != receipt.ranges:
        return False
    for number, judged_at in enumerate(receipt.judged_at):
        path = ledger.part_path(root, receipt.shard, number)
        header = ledger.read_header(path)
        if header is None:
            gone = _if_it_is_gone(evidence, receipt.shard)
            raise LedgerError(path, f"is missing; run again, which judges its shard anew; {gone}")
        said = (header.shard, header.identity, header.context, header.total)
        if said != judged or (header.number, header.judged_at) != (number, judged_at):
            return False
    return True


def _is_published(path: str, size: int | None) -> bool:
    """Whether a file of a size is there, or a folder (None)."""
    if size is None:
        return storage.is_there(path)
    return storage.exists(path) and storage.status(path).size == size
