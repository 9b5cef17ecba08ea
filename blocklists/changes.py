"""What became of the entries between two versions of a compiled list.

By entry id, never by value: an entry has changed if its values, category or feedback have.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets import storage
from ingestgate.blocklists.manifest import MANIFEST, ListChanges, ListInfo, read_manifest
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.tables import SortedValues, TableFiles


class Compared(NamedTuple):
    """Two versions, and what lies between them.

    Attributes:
        old, new: What the versions say of themselves.
        added, removed, changed: Entry ids, ascending.
    """

    old: ListInfo
    new: ListInfo
    added: list[str]
    removed: list[str]
    changed: list[str]


class Version(NamedTuple):
    """One version of a list, as `compiling.Content` has it, and what it says of itself."""

    info: ListInfo
    values: Mapping[str, SortedValues]
    entries: pa.RecordBatch
    feedback: pa.Array | None

    def described(self) -> pa.Array:
        """Returns each row of the entry table as one text."""
        said = pa.scalar("", pa.large_string()) if self.feedback is None else self.feedback
        return pc.binary_join_element_wise(
            *self.entries.columns, said, pa.scalar("\0", pa.large_string())
        )


def open_version(directory: str) -> Version:
    """Opens a compiled list to compare it.

    Its files are checked against what it says of them; signatures and dates are not looked at,
    so that an expired version can be compared.

    Raises:
        ListError: It is not a compiled list, or damaged.
        StorageError: Reading failed.
    """
    path = storage.join(directory, MANIFEST)
    info = read_manifest(path, storage.read_bytes(path))
    files = TableFiles(directory, info.files, verify=True)
    values = {
        name: files.sorted_values(name, signal_type(name).width, count, info.entries)
        for name, count in info.counts.items()
    }
    return Version(info, values, files.entries(info.entries), files.feedback(info.entries))


def version_before(to: str, info: ListInfo) -> str | None:
    """Returns the directory of the version before one in a folder of compiled lists, if any."""
    named = re.compile(re.escape(f"{info.id}-") + r"([1-9][0-9]*)")
    found: dict[int, str] = {}
    for file in storage.walk(to) if storage.match_directories(to) else []:
        directory = storage.parent(file.path)
        match = named.fullmatch(storage.basename(directory))
        if match and storage.basename(file.path) == MANIFEST and int(match[1]) < info.version:
            found[int(match[1])] = directory
    return found[max(found)] if found else None


def changes_since(before: Version, after: Version) -> ListChanges:
    """Returns the numbers that a version's ``list.json`` states."""
    compared = compare(before, after)
    return ListChanges(
        since=before.info.version,
        added=len(compared.added),
        removed=len(compared.removed),
        changed=len(compared.changed),
    )


def compare(before: Version, after: Version) -> Compared:
    """Compares two versions; takes seconds for millions of entries."""
    numbers, names = _numbered([before.entries.column(0), after.entries.column(0)])
    present = [_marked(each, len(names)) for each in numbers]
    touched = np.zeros(len(names), bool)

    rows, texts = _numbered([before.described(), after.described()])
    there = [_marked(each, len(texts)) for each in rows]
    for each, number in zip(rows, numbers, strict=True):
        touched[number[(there[0] != there[1])[each]]] = True

    for name in {*before.values, *after.values}:
        keys = [
            _with_ids(name, version.values.get(name), number)
            for version, number in zip((before, after), numbers, strict=True)
        ]
        for those, others in (keys, keys[::-1]):
            lone = those[~np.isin(those, others)]
            width = signal_type(name).width
            tail = np.frombuffer(lone.tobytes(), np.uint8).reshape(-1, width + 4)[:, width:]
            touched[np.ascontiguousarray(tail).view(">u4").reshape(-1)] = True

    canaries = {
        name for info in (before.info, after.info) for ids in info.canaries.values() for name in ids
    }

    def named(mask: npt.NDArray[np.bool_]) -> list[str]:
        return sorted(set(names.filter(pa.array(mask)).to_pylist()) - canaries)

    return Compared(
        before.info,
        after.info,
        added=named(present[1] & ~present[0]),
        removed=named(present[0] & ~present[1]),
        changed=named(touched & present[0] & present[1]),
    )


def _numbered(columns: list[pa.Array]) -> tuple[list[npt.NDArray[np.int64]], pa.Array]:
    """Numbers the distinct texts of columns; returns each column's numbers, and the texts."""
    encoded = pa.concat_arrays(columns).dictionary_encode()
    indices = encoded.indices.to_numpy().astype(np.int64)
    return np.split(indices, [len(columns[0])]), encoded.dictionary


def _marked(numbers: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(count, bool)
    mask[numbers] = True
    return mask


def _with_ids(
    name: str, table: SortedValues | None, numbers: npt.NDArray[np.int64]
) -> npt.NDArray[np.bytes_]:
    """Returns values with the number of their entry's id behind them, as fixed-width strings."""
    width = signal_type(name).width
    count = 0 if table is None else len(table.values)
    joined = np.empty((count, width + 4), np.uint8)
    if table is not None:
        joined[:, :width] = table.values
        ids = numbers[table.entries].astype(">u4")
        joined[:, width:] = ids.view(np.uint8).reshape(-1, 4)
    return joined.view(f"S{width + 4}").reshape(-1)
