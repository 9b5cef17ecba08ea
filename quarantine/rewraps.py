"""On record: whom a quarantine is sealed to by now, and how far a rewrapping has come.

``recipients.json`` is the statement, with every rewrapping so far. While one goes on,
``rewrapping/`` says what each key file is about to become, a batch at a time, before it does. What
each has become says ``rewrapped/<sha256>.json``, which the audit log names by its digest.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, UsageError, VaultError
from ingestgate.quarantine.manifest_reading import read_manifest

STATEMENT: Final = "recipients.json"
#: Events of the audit log; `DONE` names the record of what each key file is since.
BEGUN: Final = "vault.rewrap_begun"
DONE: Final = "vault.rewrap_done"
_FOLDER = "rewrapping"
_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


def statement(root: str) -> dict[str, Any]:
    """Returns what `STATEMENT` says: ``recipients``, ``retired``, ``rewraps``; empty without one.

    Raises:
        VaultError: It is damaged.
        StorageError: It cannot be read.
    """
    path = storage.join(root, STATEMENT)
    if not storage.exists(path):
        return {"version": _VERSION, "recipients": [], "retired": [], "rewraps": []}
    try:
        found = dict(json.loads(storage.read_bytes(path)))
    except (ValueError, TypeError):
        found = {}
    lists = (found.get(name) for name in ("recipients", "retired", "rewraps"))
    if found.get("version") != _VERSION or not all(isinstance(each, list) for each in lists):
        raise VaultError(f"{path}: damaged; restore it from a backup")
    return found


def retired(root: str) -> list[str]:
    """Returns the recipients that a rewrapping took access from; raises as `statement` does."""
    return [str(each) for each in statement(root)["retired"]]


def begin(
    root: str, recipients: Sequence[str], samples: Iterable[str] | None
) -> dict[str, set[str]]:
    """Begins a rewrapping, or takes up the same one that was interrupted.

    Args:
        root: The quarantine.
        recipients: Who can open it from then on.
        samples: Ids of the samples concerned; None for all.

    Returns:
        The digests that each key file may have got in an earlier try, by its path.

    Raises:
        UsageError: Another one is unfinished.
    """
    wanted = {
        "recipients": sorted(recipients),
        "samples": None if samples is None else sorted(samples),
    }
    path = storage.join(root, _FOLDER, "begun.json")
    if not storage.exists(path):
        storage.write_bytes(path, json.dumps(wanted, indent=1).encode(), private=True)
        return {}
    unfinished = _loaded(path)
    if unfinished != wanted:
        raise UsageError(
            f"a rewrapping to {', '.join(unfinished.get('recipients', []))} is unfinished; "
            "finish it with the same recipients and assets first"
        )
    announced: dict[str, set[str]] = {}
    for entry in storage.walk(storage.join(root, _FOLDER)):
        if entry.path != path:
            for name, digest in _loaded(entry.path).items():
                announced.setdefault(name, set()).add(digest)
    return announced


def _loaded(path: str) -> dict[str, Any]:
    try:
        return dict(json.loads(storage.read_bytes(path)))
    except (ValueError, TypeError):
        raise VaultError(f"{path}: damaged") from None


def announce(root: str, digests: Mapping[str, str]) -> None:
    """Says, durably, which digest each key file is about to have."""
    folder = storage.join(root, _FOLDER)
    number = len(storage.walk(folder))
    path = storage.join(folder, f"{number:08d}.json")
    storage.write_bytes(path, json.dumps(digests).encode(), private=True)


def is_unfinished(root: str) -> bool:
    """Whether a rewrapping was begun and did not come to its end."""
    return storage.exists(storage.join(root, _FOLDER, "begun.json"))


def record_path(sha256: str) -> str:
    """Returns where, below the root, the record of a rewrapping lies."""
    return f"rewrapped/{sha256}.json"


def write_record(root: str, digests: Mapping[str, str]) -> str:
    """Puts the digest of each key file on record, by its path; returns the record's own."""
    content = json.dumps(digests, indent=1, sort_keys=True).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    storage.write_bytes(storage.join(root, record_path(sha256)), content, private=True)
    return sha256


def read_record(root: str, sha256: str) -> dict[str, str]:
    """Returns the digests that a record has.

    Raises:
        EvidenceError: It is not there, or not the one of that digest.
        StorageError: It cannot be read.
    """
    path = storage.join(root, record_path(sha256))
    if not _SHA256.fullmatch(sha256) or not storage.exists(path):
        raise EvidenceError(f"{path}: is not there; it says what key files were sealed anew")
    content = storage.read_bytes(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EvidenceError(f"{path}: was changed; it says what key files were sealed anew")
    found: dict[str, str] = json.loads(content)
    return found


def abandon(root: str) -> None:
    """Forgets a rewrapping that has changed nothing."""
    storage.delete_tree(storage.join(root, _FOLDER))


def finish(
    root: str,
    recipients: Sequence[str],
    samples: Iterable[str] | None,
    *,
    keys: int,
    unopened: Sequence[str],
) -> None:
    """Writes the statement of a rewrapping that is done, and forgets how far it had come.

    Args:
        root: The quarantine.
        recipients: As given to `begin`.
        samples: As given to `begin`.
        keys: How many key files are sealed to them now.
        unopened: Paths of those that are as they were.
    """
    found = statement(root)
    found["rewraps"].append(
        {
            "rewrapped_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipients": list(recipients),
            "samples": None if samples is None else sorted(samples),
            "keys": keys,
            "unopened": list(unopened),
        }
    )
    if samples is None:
        before = {*found["recipients"], *found["retired"]}
        before.update(each for row in read_manifest(root) for each in row["recipients"])
        found["retired"] = sorted(before - set(recipients))
        found["recipients"] = list(recipients)
    content = json.dumps(found, indent=1, sort_keys=True) + "\n"
    storage.write_bytes(storage.join(root, STATEMENT), content.encode(), private=True)
    abandon(root)
