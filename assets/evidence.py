"""Folders of evidence: whether one is where somebody says, and what tells it from others."""

import re
import secrets

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, UsageError

#: What a run makes first, and what is of use where the rest was left behind.
_FOLDERS = ("contexts", "ledger", "receipts", "reports", "rescans")
_ID = re.compile(rb"[0-9a-f]{32}\n")


def require_evidence(evidence: str) -> None:
    """Refuses a folder that holds no evidence, before anything is made or locked there.

    Raises:
        UsageError: It does not.
        StorageError: It cannot be told.
    """
    if not storage.exists(storage.join(evidence, "report.json")) and not any(
        storage.is_directory(storage.join(evidence, folder)) for folder in _FOLDERS
    ):
        raise UsageError(f"{evidence}: no evidence of a run there; give the --evidence of a run")


def records(folder: str) -> dict[str, storage.Entry]:
    """Returns the files of a folder of evidence that are ``<name>.json`` each, by name, in order.

    Names are mostly those of shards, which may have folders in them.
    """
    return {
        entry.path[len(folder) + 1 :].removesuffix(".json"): entry
        for entry in storage.walk_if_there(folder)
    }


def evidence_id(evidence: str) -> str:
    """Returns the random id of an evidence folder, which it gets if it has none.

    Paths do not tell: a folder may be moved, and another be where it was.

    Raises:
        EvidenceError: What lies in its place is none.
        StorageError: It cannot be read or written.
    """
    path = storage.join(evidence, "id")
    if not storage.exists(path):
        storage.write_bytes(path, f"{secrets.token_hex(16)}\n".encode(), private=True)
    content = storage.read_bytes(path)
    if not _ID.fullmatch(content):
        raise EvidenceError(f"{path}: damaged; put it back, or remove it and run again")
    return content.decode().strip()
