"""Receipts: what became of each committed shard; the last thing a commit writes.

A shard with a current receipt is finished and is not looked at again. A shard that could not
be judged or committed leaves a failure note instead, until it can.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from ingestgate.assets.purges import is_as_judged
from ingestgate.assets.shard import Shard

RECEIPT_VERSION = 1
_THREADS = 16


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one shard.

    Attributes:
        shard, format, identity, size: The shard as it was judged.
        context: Hex digest of the rules it was judged by.
        ranges: How many ledger parts it has.
        tallies: Counts of assets: ``verdict:*``, ``reason:*``, ``tier:*``, ``list:*``.
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
    content = {"version": RECEIPT_VERSION, **asdict(receipt)}
    storage.write_bytes(receipt_path(evidence, receipt.shard), _encoded(content), private=True)


def withdraw_receipt(evidence: str, shard: str, manifest: str) -> None:
    """Removes a shard's receipt before the manifest it names is replaced by the same again.

    Digests of the earlier one would otherwise outlive it, if the commit is killed in between.
    """
    earlier = read_receipt(evidence, shard)
    if earlier is not None and earlier.manifest == manifest:
        storage.delete(receipt_path(evidence, shard))


def write_failure(evidence: str, shard: Shard, problem: str) -> None:
    """Notes why a shard could not be judged or committed."""
    content = {"shard": shard.name, "identity": shard.identity, "problem": problem}
    storage.write_bytes(failure_path(evidence, shard.name), _encoded(content), private=True)


def clear_failure(evidence: str, shard: Shard) -> None:
    """Takes a shard's failure note back."""
    storage.delete(failure_path(evidence, shard.name))


def _encoded(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def read_receipt(evidence: str, shard: str) -> Receipt | None:
    """Returns a shard's receipt; None if there is none or it is not a whole one.

    A damaged receipt is as good as none: the shard is then judged and committed again.
    """
    try:
        content = json.loads(storage.read_bytes(receipt_path(evidence, shard)))
        if content.pop("version") != RECEIPT_VERSION:
            return None
        return Receipt(**content)
    except (StorageError, ValueError, TypeError, KeyError, AttributeError):
        return None


def read_failures(evidence: str) -> dict[str, str]:
    """Returns why shards could not be done, by their names."""
    root = storage.join(evidence, "failures")
    entries = storage.walk(root) if storage.match_directories(root) else []
    notes = (json.loads(storage.read_bytes(entry.path)) for entry in entries)
    return {note["shard"]: note["problem"] for note in notes}


def read_receipts(evidence: str, shards: Sequence[Shard]) -> dict[str, Receipt]:
    """Returns the receipts there are of some shards, by whatever rules they were judged."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda shard: read_receipt(evidence, shard.name), shards)
        return {receipt.shard: receipt for receipt in found if receipt is not None}


def finished_receipts(
    evidence: str, output: str, shards: Sequence[Shard], context: str
) -> dict[str, Receipt]:
    """Returns the receipts of the shards that need no more work, by their names.

    Those that were judged by the rules that ``context`` is of, and whose output is still there.
    """

    def finished(shard: Shard) -> Receipt | None:
        receipt = read_receipt(evidence, shard.name)
        return receipt if is_finished(receipt, shard, context, output, evidence) else None

    # Object stores answer slowly, but many at a time.
    with ThreadPoolExecutor(_THREADS) as pool:
        receipts = zip(shards, pool.map(finished, shards), strict=True)
        return {shard.name: receipt for shard, receipt in receipts if receipt is not None}


def is_finished(
    receipt: Receipt | None, shard: Shard, context: str, output: str, evidence: str
) -> bool:
    """Whether a shard needs no more work: judged by these rules, and its output still there."""
    if receipt is None or receipt.context != context:
        return False
    if not is_as_judged(evidence, shard, receipt.identity):
        return False
    return all(_is_there(storage.join(output, entry["name"])) for entry in receipt.outputs)


def _is_there(path: str) -> bool:
    # An object store knows a folder only by what lies below it.
    return storage.exists(path) or bool(storage.match_directories(path))
