"""The history of reports, and which ledgers each has counted, so that they can be added up.

A report counts what no earlier one has. What it counted is told by the digests of the shards'
ledgers, not by any time: clocks are set back, and a second holds many shards. Nor by receipts: a
shard that is committed again, because an admitted file was lost, was not judged again. Beside
``reports/<name>.json`` there is ``reported/<name>.txt``, a digest a line; a report that counted
nothing has none. It is written first, and stands for nothing until its report is there.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from ingestgate.assets import storage
from ingestgate.assets.receipts import Receipt

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_THREADS = 16


def uncounted(evidence: str, receipts: Mapping[str, Receipt]) -> dict[str, Receipt]:
    """Returns the receipts of what no report in the history has counted, by their shards' names."""
    counted = _counted(evidence) if receipts else frozenset()
    return {shard: receipt for shard, receipt in receipts.items() if receipt.ledger not in counted}


def digests(receipts: Mapping[str, Receipt]) -> list[str]:
    """Returns the digests of the ledgers of receipts, sorted, as a report's list has them."""
    return sorted(receipt.ledger for receipt in receipts.values())


def describe(counted: Sequence[str]) -> dict[str, str | int]:
    """Returns what a report says of the shards that it counts: how many, and their list."""
    return {"count": len(counted), "sha256": hashlib.sha256(_lines(counted)).hexdigest()}


def keep(evidence: str, ended_at: str, report: bytes, counted: Sequence[str]) -> None:
    """Puts a report into the history.

    Args:
        evidence: The evidence folder.
        ended_at: When its run ended, RFC 3339; for people, who look for one by its name.
        report: Its bytes.
        counted: Digests of the ledgers that it counts.
    """
    time = datetime.fromisoformat(ended_at).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{time}-{hashlib.sha256(report).hexdigest()[:8]}"
    if counted:
        listed = storage.join(evidence, "reported", f"{name}.txt")
        storage.write_bytes(listed, _lines(counted), private=True)
    storage.write_bytes(storage.join(evidence, "reports", f"{name}.json"), report, private=True)


def _counted(evidence: str) -> frozenset[str]:
    there = {name.removesuffix(".json") for name in _names(storage.join(evidence, "reports"))}
    folder = storage.join(evidence, "reported")
    lists = [name for name in _names(folder) if name.removesuffix(".txt") in there]
    with ThreadPoolExecutor(_THREADS) as pool:
        read = pool.map(storage.read_bytes, [storage.join(folder, name) for name in lists])
        return frozenset(
            digest
            for content in read
            for digest in content.decode("ascii", "replace").split()
            if _DIGEST.fullmatch(digest)
        )


def _names(folder: str) -> list[str]:
    entries = storage.walk_if_there(folder)
    return [storage.basename(entry.path) for entry in entries]


def _lines(counted: Sequence[str]) -> bytes:
    return "".join(f"{digest}\n" for digest in counted).encode()
