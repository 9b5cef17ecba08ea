"""Shards that lie in the output and have no receipt any more, as they are to be judged anew.

Until they are committed again, nothing but a note here says that the output holds something of
them. Without it a rescan would pass over what was admitted, as if it had never been.
"""

import json

from ingestgate.assets import storage
from ingestgate.assets.evidence import records

_FOLDER = "receipts-withdrawn"


def withdrawal_path(evidence: str, shard: str) -> str:
    """Returns where it is noted that a shard's receipt was withdrawn."""
    return storage.join(evidence, _FOLDER, f"{shard}.json")


def note_withdrawal(evidence: str, shard: str, *, forgotten: bool) -> None:
    """Notes, durably, that a shard's receipt is about to be withdrawn.

    Args:
        evidence: The evidence folder.
        shard: Name of the shard.
        forgotten: Whether what its ledger holds may stand for judging it anew.
    """
    content = json.dumps({"shard": shard, "forgotten": forgotten}).encode() + b"\n"
    storage.write_bytes(withdrawal_path(evidence, shard), content, private=True)


def end_withdrawal(evidence: str, shard: str) -> None:
    """Takes a note back: the shard has a receipt again."""
    path = withdrawal_path(evidence, shard)
    if storage.exists(path):
        storage.delete(path)


def withdrawals(evidence: str) -> dict[str, bool]:
    """Returns by shard whether what was judged of it before is forgotten.

    A note that is damaged says that it is not: it is forgotten again then.
    """
    notes = records(storage.join(evidence, _FOLDER))
    return {shard: _says(storage.read_bytes(note.path)) for shard, note in notes.items()}


def _says(raw: bytes) -> bool:
    try:
        return json.loads(raw)["forgotten"] is True
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
