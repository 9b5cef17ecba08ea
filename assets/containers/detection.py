"""Which format a file or directory is of, by its name and its content."""

import threading
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ingestgate.assets import ledger, storage
from ingestgate.assets.containers import trio_files
from ingestgate.assets.containers.nesting import open_parquet
from ingestgate.assets.errors import InputError
from ingestgate.assets.media import PICTURE_SUFFIXES
from ingestgate.assets.storage import Entry

_TAR = (".tar", ".tar.gz", ".tgz")
_PARQUET = (".parquet",)
_ROWS = (".csv", ".jsonl", ".ndjson")
# What a format's files are called, for a directory whose format was said.
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "webdataset": _TAR,
    "img2dataset": _TAR,
    "parquet": _PARQUET,
    "url-manifest": (*_PARQUET, *_ROWS),
}


class Siblings:
    """Finds files beside others.

    On object stores first among those known; then a folder is listed once, as asking for each file
    would take a request each.
    """

    def __init__(self, known: Mapping[str, Entry]) -> None:
        self._known = known
        self._listings: dict[str, dict[str, Entry]] = {}
        self._lock = threading.Lock()

    def find(self, path: str) -> Entry | None:
        """Returns the entry of a file, None if there is none; a pipe of its name is none."""
        if not storage.is_remote(path):
            return storage.file_if_there(path)
        if path in self._known:
            return self._known[path]
        folder = storage.parent(path)
        with self._lock:
            if folder not in self._listings:
                entries = storage.match(f"{folder}/*")
                self._listings[folder] = {entry.path: entry for entry in entries}
        return self._listings[folder].get(path)


def is_image_folder(directory: str, entries: Sequence[Entry], format: str | None) -> bool:
    """Whether a directory of these files is one image folder.

    Raises:
        InputError: It holds both pictures and shards.
    """
    if format is not None:
        return format == "folder"
    seen = [entry.path for entry in _visible(directory, entries)]
    pictures = any(path.lower().rpartition(".")[2] in PICTURE_SUFFIXES for path in seen)
    shards = [path for path in seen if _is_bulk(path)]
    if pictures and shards:
        raise InputError(
            f"{directory}: holds both pictures and shards ({storage.basename(shards[0])}); "
            "name the shards by a pattern, or the folder of the pictures"
        )
    return pictures


def shard_files(directory: str, entries: Sequence[Entry], format: str | None) -> list[Entry]:
    """Returns those files of a directory that are shards, or parts of shards."""
    suffixes = (*_TAR, *_PARQUET, *_ROWS) if format is None else _SUFFIXES.get(format, ("",))
    return [
        entry for entry in _visible(directory, entries) if entry.path.lower().endswith(suffixes)
    ]


def trio_parts(path: str, siblings: Siblings, format: str | None) -> list[Entry]:
    """Returns the Parquet and stats files of img2dataset's that belong to a tar; [] if none."""
    if not path.lower().endswith(_TAR) or format not in (None, "img2dataset"):
        return []
    rows, stats = map(siblings.find, trio_files.part_names(path))
    if rows is None:
        return []
    if stats is not None:
        return [rows, stats]
    if format is not None:
        return [rows]
    schema = _schema(rows.path)
    # One that cannot be read is part of the shard: whoever reads that says why.
    return [rows] if schema is None or set(schema.names) >= trio_files.COLUMNS else []


def format_of(path: str) -> str | None:
    """Returns the format of a file that is no trio's, None if it is of no known one.

    A Parquet file that cannot be read is one of pictures: whoever reads it says why it cannot be.

    Raises:
        InputError: It is a part of a ledger.
    """
    name = path.lower()
    if name.endswith(_TAR):
        return "webdataset"
    if name.endswith(_ROWS):
        return "url-manifest"
    if name.endswith(_PARQUET):
        # The formats' modules load libraries: only where there is a Parquet file to tell.
        from ingestgate.assets.containers.byte_columns import has_images
        from ingestgate.assets.containers.url_manifest import is_manifest

        schema = _schema(path)
        if schema is None:
            return "parquet"
        if ledger.is_ledger(schema):
            raise InputError(
                f"{storage.basename(path)}: is a part of a run's ledger, which is no input; name "
                "the shards beside the evidence"
            )
        if has_images(schema):
            return "parquet"
        if is_manifest(schema):
            return "url-manifest"
    return None


def _visible(directory: str, entries: Sequence[Entry]) -> list[Entry]:
    start = len(directory.rstrip("/"))
    return [entry for entry in entries if "/." not in entry.path[start:]]


def _is_bulk(path: str) -> bool:
    name = storage.basename(path).lower()
    return name.endswith(_TAR) or (name.endswith(_PARQUET) and name != "metadata.parquet")


def _schema(path: str) -> pa.Schema | None:
    """Returns a Parquet file's schema; None if it cannot be read, for whatever reason."""
    try:
        with storage.open_read(path) as source:
            return open_parquet(source).schema_arrow
    except Exception:  # noqa: BLE001 - one file is no reason to read none
        return None
