"""What became of the entries between two versions of a compiled list.

By entry id, never by value: an entry has changed if its values, category or feedback have. The
canaries' own values are left out; what else has a canary's id is an entry like all others.
"""

import bisect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets import storage
from ingestgate.blocklists.canaries import canary_rows
from ingestgate.blocklists.manifest import MANIFEST, ListChanges, ListInfo, read_manifest
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.tables import SortedValues, TableFiles, as_keys

_PART = 1 << 18  # rows compared at a time, of either version


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

    def described(self, part: slice) -> pa.Array:
        """Returns rows of the entry table as one text each."""
        said = pa.scalar("", pa.large_string()) if self.feedback is None else self.feedback[part]
        columns = (column[part] for column in self.entries.columns)
        return pc.binary_join_element_wise(*columns, said, pa.scalar("\0", pa.large_string()))

    def canaries(self) -> Mapping[str, frozenset[int]]:
        """Returns the rows of its values that are canaries, as `canaries.canary_rows` does."""
        return canary_rows(self.info.canaries, self.values, self.entries.column(0))


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
    for file in storage.walk_if_there(to):
        directory = storage.parent(file.path)
        match = named.fullmatch(storage.basename(directory))
        if match and storage.basename(file.path) == MANIFEST and int(match[1]) < info.version:
            found[int(match[1])] = directory
    return found[max(found)] if found else None


def changes_since(before: Version, after: Version) -> ListChanges:
    """Returns the numbers that a version's ``list.json`` states."""
    compared = _Comparison(before, after)
    return ListChanges(
        since=before.info.version,
        added=int(compared.added.sum()),
        removed=int(compared.removed.sum()),
        changed=int(compared.changed.sum()),
    )


def compare(before: Version, after: Version) -> Compared:
    """Compares two versions; takes seconds for millions of entries."""
    compared = _Comparison(before, after)
    masks = (compared.added, compared.removed, compared.changed)
    return Compared(before.info, after.info, *compared.names(masks))


class _Ids(NamedTuple):
    """The distinct entry ids of corresponding parts of two entry tables.

    Attributes:
        parts: The rows of either table.
        names: The ids in ascending order.
    """

    parts: tuple[slice, slice]
    names: pa.Array


class _Comparison:
    """What has changed, as masks over the distinct entry ids of two versions, ascending.

    Both versions are gone through side by side, in parts: both are sorted, entries by their ids
    and values by themselves.
    """

    def __init__(self, before: Version, after: Version) -> None:
        self._versions = (before, after)
        self._numbers = tuple(
            np.empty(version.entries.num_rows, np.uint32) for version in self._versions
        )
        self._canaries = tuple(version.canaries() for version in self._versions)
        self._compare_entries()
        self._present = tuple(np.zeros(len(self._touched), bool) for _ in self._versions)
        for name in {*before.values, *after.values}:
            self._compare_values(name)
        was, is_now = self._present
        self.added = is_now & ~was
        self.removed = was & ~is_now
        self.changed = self._touched & was & is_now

    def names(self, masks: Sequence[npt.NDArray[np.bool_]]) -> Iterator[list[str]]:
        """Returns the ids in masks."""
        found: list[list[str]] = [[] for _ in masks]
        start = 0
        for ids in self._ids():
            for names, mask in zip(found, masks, strict=True):
                part = mask[start : start + len(ids.names)]
                names += ids.names.filter(pa.array(part)).to_pylist()
            start += len(ids.names)
        return iter(found)

    def _ids(self) -> Iterator[_Ids]:
        columns = tuple(version.entries.column(0) for version in self._versions)
        for parts in _parts(columns, _first_from):
            texts = [column[part] for column, part in zip(columns, parts, strict=True)]
            names = pc.unique(pa.concat_arrays(texts))
            yield _Ids(parts, names.take(pc.sort_indices(names)))

    def _compare_entries(self) -> None:
        masks: list[npt.NDArray[np.bool_]] = []
        start = 0
        for ids in self._ids():
            touched = np.zeros(len(ids.names), bool)
            texts = [
                version.described(part)
                for version, part in zip(self._versions, ids.parts, strict=True)
            ]
            for place, part in enumerate(ids.parts):
                column = self._versions[place].entries.column(0)[part]
                numbers = pc.index_in(column, ids.names).to_numpy()
                self._numbers[place][part] = numbers + start
                there = pc.is_in(texts[place], texts[1 - place]).to_numpy(zero_copy_only=False)
                touched[numbers[~there]] = True
            masks.append(touched)
            start += len(ids.names)
        self._touched = np.concatenate(masks)

    def _compare_values(self, name: str) -> None:
        width = signal_type(name).width
        empty = SortedValues(np.empty((0, width), np.uint8), np.empty(0, np.uint32))
        both = [version.values.get(name, empty) for version in self._versions]
        canaries = [rows.get(name, frozenset()) for rows in self._canaries]
        for parts in _parts([table.keys for table in both], _first_key_from):
            rows = [_rows_but(part, own) for part, own in zip(parts, canaries, strict=True)]
            ids = [
                numbers[table.entries[own]]
                for numbers, table, own in zip(self._numbers, both, rows, strict=True)
            ]
            for present, own in zip(self._present, ids, strict=True):
                present[own] = True
            keys = [
                _with_ids(table.values[part], own)
                for table, part, own in zip(both, rows, ids, strict=True)
            ]
            for own, those, others in ((ids[0], *keys), (ids[1], *keys[::-1])):
                self._touched[own[~np.isin(those, others)]] = True


def _rows_but(part: slice, left_out: frozenset[int]) -> slice | npt.NDArray[np.intp]:
    """Returns the rows of a part without some; as a slice, which copies nothing, if it can."""
    own = [row - part.start for row in left_out if part.start <= row < part.stop]
    return np.delete(np.arange(part.start, part.stop), own) if own else part


Column = TypeVar("Column", bound=Sized)


def _parts(
    columns: Sequence[Column], first_from: Callable[[Column, Any, bool], int]
) -> Iterator[tuple[slice, slice]]:
    """Cuts two sorted columns into corresponding parts: what is equal lies in one.

    Args:
        columns: The two columns.
        first_from: Returns the place of the first value that is not below a row's, or, if told,
            of the first that is above it.
    """
    left, right = columns
    places = [0, 0]
    while places != [len(left), len(right)]:
        ends = [
            column[place + _PART]  # type: ignore[index]
            for column, place in zip(columns, places, strict=True)
            if place + _PART < len(column)
        ]
        following = [len(left), len(right)]
        if ends:
            cut = min(ends, key=_comparable)
            following = [first_from(column, cut, False) for column in columns]
            if following == places:  # more of one value than a part has room for
                following = [first_from(column, cut, True) for column in columns]
        yield slice(places[0], following[0]), slice(places[1], following[1])
        places = following


def _comparable(value: Any) -> Any:
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _first_from(column: pa.Array, value: pa.Scalar, above: bool) -> int:
    find = bisect.bisect_right if above else bisect.bisect_left
    return find(column, value.as_py(), key=lambda row: row.as_py())


def _first_key_from(keys: npt.NDArray[np.bytes_], value: np.bytes_, above: bool) -> int:
    return int(np.searchsorted(keys, value, "right" if above else "left"))


def _with_ids(
    values: npt.NDArray[np.uint8], numbers: npt.NDArray[np.uint32]
) -> npt.NDArray[np.bytes_]:
    """Returns values with the number of their entry's id behind them, as fixed-width strings."""
    width = values.shape[1]
    joined = np.empty((len(values), width + 4), np.uint8)
    joined[:, :width] = values
    joined[:, width:] = numbers.astype(">u4").view(np.uint8).reshape(-1, 4)
    return as_keys(joined)
