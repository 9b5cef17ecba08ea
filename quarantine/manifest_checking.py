"""Checking manifests: is each what was sealed, by the audit log, and which rows are not.

Each manifest lies there twice, as JSON lines and as Parquet. Where only one of the two was
changed, the other tells which rows were edited, dropped or put in. What a row says is never
repeated: it names columns and asset ids.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from ingestgate.assets.file_digest import file_sha256
from ingestgate.quarantine.faults import Fault, Problem
from ingestgate.quarantine.sealed_manifests import SealedManifest

FOLDER: Final = "manifest"
SUFFIXES: Final = ("jsonl", "parquet")

#: A file's rows, by asset id, with the place of each for people.
_Rows = dict[str, tuple[str, dict[str, Any]]]


def check_manifests(root: str, sealed: Mapping[str, SealedManifest]) -> list[Fault]:
    """Returns what is wrong with a quarantine's manifests.

    Args:
        root: The quarantine.
        sealed: What the audit log says was sealed, by name.

    Raises:
        StorageError: The folder cannot be listed.
    """
    there = manifest_files(root)
    faults = []
    for path in sorted(there - {f"{stem}.{s}" for stem in _stems(there) for s in SUFFIXES}):
        detail = f"{FOLDER}/{path}: is no file of a manifest; somebody put it there"
        faults.append(Fault(Problem.UNNAMED, f"{FOLDER}/{path}", detail))
    for stem in sorted(_stems(there) | set(sealed)):
        faults += _faults_of(root, stem, there, sealed.get(stem))
    return faults


def manifest_files(root: str) -> set[str]:
    """Returns the names of all files below a quarantine's folder of manifests."""
    folder = storage.join(root, FOLDER)
    files = storage.walk_if_there(folder)
    return {entry.path.removeprefix(f"{folder.rstrip('/')}/") for entry in files}


def check_manifest(root: str, said: SealedManifest) -> list[Fault]:
    """Returns what is wrong with one manifest, held against what is said of it elsewhere.

    Raises:
        StorageError: It cannot be read.
    """
    names = {f"{said.name}.{suffix}" for suffix in SUFFIXES}
    there = {name for name in names if storage.exists(storage.join(root, FOLDER, name))}
    return list(_faults_of(root, said.name, there, said))


def unlogged(root: str, sealed: Mapping[str, SealedManifest]) -> list[SealedManifest]:
    """Returns the manifests that are whole pairs and on no record, as they lie there."""
    there = manifest_files(root)
    return [
        SealedManifest(stem, *(file_sha256(_path(root, stem, suffix)) for suffix in SUFFIXES))
        for stem in sorted(_stems(there) - set(sealed))
        if {f"{stem}.{suffix}" for suffix in SUFFIXES} <= there
    ]


def _stems(names: set[str]) -> set[str]:
    return {
        stem
        for stem, _, suffix in (name.rpartition(".") for name in names)
        if suffix in SUFFIXES and "/" not in stem
    }


def _faults_of(
    root: str, stem: str, there: set[str], said: SealedManifest | None
) -> Iterator[Fault]:
    missing = [suffix for suffix in SUFFIXES if f"{stem}.{suffix}" not in there]
    for suffix in missing:
        path = f"{FOLDER}/{stem}.{suffix}"
        yield Fault(Problem.MISSING, path, f"{path}: is not there; it was removed")
    present = [suffix for suffix in SUFFIXES if suffix not in missing]
    if said is None:
        path = f"{FOLDER}/{stem}.{present[0]}"
        detail = (
            f"{FOLDER}/{stem}: the audit log does not say that it was sealed; a run was killed "
            "and has to be run again, or somebody put it there"
        )
        yield Fault(Problem.UNLOGGED, path, detail)
        if not missing:
            yield from _disagreements(root, stem, "jsonl", "parquet", "differs from the Parquet")
        return
    changed = [s for s in present if file_sha256(_path(root, stem, s)) != said.digests()[s]]
    for suffix in changed:
        path = f"{FOLDER}/{stem}.{suffix}"
        yield Fault(Problem.CHANGED, path, f"{path}: is not what was sealed; it was changed")
    if len(changed) == 1 and not missing:
        (whole,) = set(SUFFIXES) - set(changed)
        yield from _disagreements(root, stem, changed[0], whole, "was edited")
    elif len(changed) == 2:
        yield from _disagreements(root, stem, "jsonl", "parquet", "differs from the Parquet")


def _disagreements(root: str, stem: str, suspect: str, other: str, verb: str) -> Iterator[Fault]:
    """Yields where one file of a manifest says something else than the other."""
    path = f"{FOLDER}/{stem}.{suspect}"
    try:
        wanted, strange = _read(root, stem, other)
        found, more = _read(root, stem, suspect)
    except (StorageError, pa.ArrowException, OSError, ValueError):
        yield Fault(Problem.CHANGED, path, f"{path}: it or the .{other} cannot be read any more")
        return
    for place in strange:
        other_path = f"{FOLDER}/{stem}.{other}"
        detail = f"{other_path}: {place}: is no row of a manifest, or one twice"
        yield Fault(Problem.CHANGED, other_path, detail)
    for place in more:
        yield Fault(
            Problem.CHANGED, path, f"{path}: {place}: is no row of a manifest, or one twice"
        )
    for asset, (place, row) in found.items():
        if asset not in wanted:
            detail = f"{path}: {place}: is in this file only; it was put in"
            yield Fault(Problem.CHANGED, path, detail, (asset,))
            continue
        row_there = wanted[asset][1]
        columns = [n for n in {**row, **row_there} if row.get(n) != row_there.get(n)]
        if columns:
            detail = f"{path}: {place}: {verb}: {', '.join(columns)}"
            yield Fault(Problem.CHANGED, path, detail, (asset,))
    for asset in wanted.keys() - found.keys():
        detail = f"{path}: a row is missing; it was dropped"
        yield Fault(Problem.CHANGED, path, detail, (asset,))


def _read(root: str, stem: str, suffix: str) -> tuple[_Rows, list[str]]:
    """Returns a file's rows, and the places of what is none or is there twice."""
    path = _path(root, stem, suffix)
    rows: _Rows = {}
    strange = []
    for place, row in _lines(path) if suffix == "jsonl" else _columns(path):
        asset = row.get("asset_id") if isinstance(row, dict) else None
        if not isinstance(asset, str) or asset in rows:
            strange.append(place)
        else:
            rows[asset] = place, row
    return rows, strange


def _lines(path: str) -> Iterator[tuple[str, Any]]:
    with storage.open_read(path) as source:
        for number, line in enumerate(source, 1):
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError):
                yield f"line {number}", None


def _columns(path: str) -> Iterator[tuple[str, Any]]:
    with storage.open_read(path) as source:
        table = pq.read_table(source)
    for number, row in enumerate(table.to_pylist(maps_as_pydicts="lossy"), 1):
        yield f"row {number}", row


def _path(root: str, stem: str, suffix: str) -> str:
    return storage.join(root, FOLDER, f"{stem}.{suffix}")
