"""Reading manifests for whoever acts by them: each as it was sealed, by the audit log.

Who can write to a quarantine can change a manifest for a moment and put it back, and nothing shows
afterwards. So the rows that people open, decide, rewrap and destroy by are those of the very bytes
whose digest is on record. What is on no record says nothing here: a run that is at work puts it
there when it ends, or somebody else wrote it.

The JSON lines are the record. By the Parquet beside them nobody acts; `manifest_checking` has both.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.manifest import parse_rows
from ingestgate.quarantine.presence import require_log
from ingestgate.quarantine.sealed_manifests import SealedManifest, sealed_manifests

_FOLDER = "manifest"
_SUFFIX = ".jsonl"


def read_manifest(
    root: str, sealed: Mapping[str, SealedManifest] | None = None
) -> Iterator[dict[str, Any]]:
    """Yields every row of every manifest on record, in order of file name and line.

    Args:
        root: The quarantine.
        sealed: What is on record, for who has read the audit log already.

    Raises:
        UsageError: There is no such quarantine.
        EvidenceError: A manifest is missing or not what was sealed, or the log is gone or does not
            hold.
        VaultError: A line is damaged; names file and line, never what it says.
        StorageError: A file cannot be read.
    """
    require_log(root)
    known = sealed_manifests(read_log(root)) if sealed is None else sealed
    for name in sorted(known):
        yield from read_as_sealed(root, name, known[name].jsonl)


def read_as_sealed(root: str, name: str, sha256: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of one manifest; none before its digest was compared.

    Args:
        root: The quarantine.
        name: Stem of its files.
        sha256: Hex digest of its JSON lines, as is on record of it.

    Raises:
        EvidenceError, VaultError, StorageError: As `read_manifest` does.
    """
    content = _as_sealed(root, name, sha256)
    yield from parse_rows(io.BytesIO(content), manifest_path(root, name))


def require_as_sealed(root: str, name: str, sha256: str) -> None:
    """Refuses a manifest that is missing or not what was sealed; arguments as of `read_as_sealed`.

    Raises:
        EvidenceError: It is.
        StorageError: It cannot be read.
    """
    _as_sealed(root, name, sha256)


def _as_sealed(root: str, name: str, sha256: str) -> bytes:
    path = manifest_path(root, name)
    if not storage.exists(path):
        raise _refusal(f"{path}: is not there; it was removed")
    content = storage.read_bytes(path)  # read once: what is compared is what is acted by
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _refusal(f"{path}: is not what was sealed; it was changed")
    return content


def manifest_path(root: str, name: str) -> str:
    """Returns where a manifest's JSON lines lie."""
    return storage.join(root, _FOLDER, f"{name}{_SUFFIX}")


def manifest_names(root: str) -> set[str]:
    """Returns the names of all manifests that lie in a quarantine, on record or not.

    Raises:
        StorageError: They cannot be listed.
    """
    entries = storage.walk_if_there(storage.join(root, _FOLDER))
    names = (storage.basename(entry.path) for entry in entries)
    return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}


def not_on_record(root: str, sealed: Mapping[str, SealedManifest]) -> list[str]:
    """Returns the paths, below the root, of manifests that the audit log does not name.

    Raises:
        StorageError: They cannot be listed.
    """
    strange = sorted(manifest_names(root) - set(sealed))
    return [f"{_FOLDER}/{name}{_SUFFIX}" for name in strange]


def require_all_on_record(root: str, sealed: Mapping[str, SealedManifest]) -> None:
    """Refuses a quarantine with manifests that say what nothing on record bears out.

    Raises:
        EvidenceError: There is one.
        StorageError: They cannot be listed.
    """
    if strange := not_on_record(root, sealed):
        raise EvidenceError(
            f"{strange[0]}: the audit log does not say that it was sealed ({len(strange)} such). "
            "If a run was killed, run it to its end, which puts it on record; else see who put it "
            "there, and `ingestgate quarantine check --accept-manifests`"
        )


def _refusal(what: str) -> EvidenceError:
    return EvidenceError(
        f"{what}. Nobody acts by it: where a run is at work or was killed, run it to its end; else "
        "restore the file, see `ingestgate quarantine check`"
    )
