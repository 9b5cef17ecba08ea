"""What belongs together in an image folder: files, the rows that name them, their sidecars."""

import posixpath
from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingestgate.assets import storage
from ingestgate.assets.containers.folder_metadata import NAMES, FolderMetadata
from ingestgate.assets.shard import Shard

_CACHED = 2  # folders whose index a process keeps; their ranges come one after another


class FolderFile(NamedTuple):
    """A file of a folder that is no metadata file.

    Attributes:
        path: Relative to the folder.
        size: Bytes; 0 for a link.
        plain: Whether it is a file; a link, a pipe or what has a temporary name is not, and is not
            read.
    """

    path: str
    size: int
    plain: bool

    @property
    def hidden(self) -> bool:
        """Whether it, or a directory it is in, has a name that starts with a dot."""
        return any(part.startswith(".") for part in self.path.split("/"))


class FolderListing(NamedTuple):
    """A folder's files, sorted by path, and its metadata files."""

    files: list[FolderFile]
    metadata: list[FolderMetadata]


class FolderSample(NamedTuple):
    """What stands or falls together.

    Attributes:
        files: Indices in the listing's files, ascending.
        missing: Indices in the index's list of missing names, ascending.
        rows: Metadata file (its index in the listing) and row of each row.
    """

    files: list[int]
    missing: list[int]
    rows: list[tuple[int, int]]


class FolderIndex:
    """The samples of a folder, in the order of their first files.

    A file is a sample by itself, together with its sidecars: files with a sidecar's suffix in
    the same directory whose stem is its stem (``a.txt`` of ``a.jpg``) or its name
    (``a.jpg.json``), or would be with fewer suffixes (``a.info.json``); one that has no such file
    is of those that begin with its stem (``a.json`` of ``a.left.jpg`` and ``a.right.jpg``). A
    metadata row ties the files it names together. A name without a file stands for itself, after
    all files, and so does a row that names no file.

    Args:
        listing: The folder's files.
        sidecars: Suffixes of sidecars.
    """

    def __init__(self, listing: FolderListing, sidecars: frozenset[str]) -> None:
        self.listing = listing
        known = {file.path: number for number, file in enumerate(listing.files)}
        rows = [
            (source, row, _resolved(names, known) or [f"{metadata.name}#{row}"])
            for source, metadata in enumerate(listing.metadata)
            for row, names in enumerate(metadata.references())
        ]
        #: Names in rows that no file of the folder has, sorted.
        self.missing = sorted({name for *_, names in rows for name in names} - known.keys())
        nodes = known | {name: len(known) + i for i, name in enumerate(self.missing)}
        ties = _Ties(len(nodes))
        for *_, names in rows:
            for name in names[1:]:
                ties.tie(nodes[names[0]], nodes[name])
        _tie_sidecars(listing.files, known, sidecars, ties)
        labels = ties.labels()
        # Samples are numbered by their first node; the nodes of one lie together in `_order`.
        self._order = np.argsort(labels, kind="stable")
        firsts, self._bounds = np.unique(labels[self._order], return_index=True)
        self._bounds = np.append(self._bounds, len(labels))
        numbers = {int(first): number for number, first in enumerate(firsts)}
        self._rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for source, row, names in rows:
            self._rows[numbers[int(labels[nodes[names[0]]])]].append((source, row))

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, number: int) -> FolderSample:
        nodes = self._order[self._bounds[number] : self._bounds[number + 1]].tolist()
        count = len(self.listing.files)
        return FolderSample(
            [node for node in nodes if node < count],
            [node - count for node in nodes if node >= count],
            self._rows.get(number, []),
        )

    def sizes(self) -> npt.NDArray[np.int64]:
        """Returns the bytes of each sample's files."""
        sizes = [file.size for file in self.listing.files] + [0] * len(self.missing)
        ordered = np.array(sizes, np.int64)[self._order]
        return np.add.reduceat(ordered, self._bounds[:-1]) if len(self) else ordered


class _Ties:
    """A union-find over nodes; each set goes by its smallest node."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def _find(self, node: int) -> int:
        parents = self._parents
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    def tie(self, one: int, other: int) -> None:
        """Unites two nodes' sets."""
        one, other = sorted((self._find(one), self._find(other)))
        self._parents[other] = one

    def labels(self) -> npt.NDArray[np.int64]:
        """Returns the smallest node of each node's set."""
        return np.array([self._find(node) for node in range(len(self._parents))], np.int64)


def _resolved(names: list[str], known: dict[str, int]) -> list[str]:
    # Readers take a backslash for a slash, where there is no file of the very name.
    return [name if name in known else name.replace("\\", "/") for name in names]


def _tie_sidecars(
    files: list[FolderFile], known: dict[str, int], sidecars: frozenset[str], ties: _Ties
) -> None:
    seen = [number for number, file in enumerate(files) if not file.hidden]
    waiting = {
        number: _stems(files[number].path)
        for number in seen
        if posixpath.splitext(files[number].path)[1][1:].lower() in sidecars
    }
    wanted = {stems[0] for stems in waiting.values()}
    of_stem: dict[str, list[int]] = defaultdict(list)
    beginning: dict[str, list[int]] = defaultdict(list)  # with a stem, behind which more follows
    for number in seen:
        if number not in waiting:
            stem, *shorter = _stems(files[number].path)
            of_stem[stem].append(number)
            for stem in wanted.intersection(shorter):
                beginning[stem].append(number)
    for number, stems in waiting.items():
        named = (
            [*of_stem.get(stem, ()), *([known[stem]] if stem in known else ())] for stem in stems
        )
        for partner in next(filter(None, named), beginning.get(stems[0], ())):
            ties.tie(number, partner)


def _stems(path: str) -> list[str]:
    """Returns a path without its suffix, without its last two, and so on; itself if it has none."""
    stems = [posixpath.splitext(path)[0]]
    while (shorter := posixpath.splitext(stems[-1])[0]) != stems[-1]:
        stems.append(shorter)
    return stems


@lru_cache(maxsize=_CACHED)
def _listing(name: str, path: str, identity: str) -> FolderListing:
    plain, others = storage.walk_unfollowed(path)
    start = len(path.rstrip("/")) + 1
    files = [FolderFile(entry.path[start:], entry.size, plain=True) for entry in plain]
    files += [FolderFile(other.path[start:], 0, plain=False) for other in others]
    metadata = [
        FolderMetadata(name, storage.join(path, file.path), file.path)
        for file in sorted(files)
        if file.plain and not file.hidden and storage.basename(file.path) in NAMES
    ]
    # One that names no files says nothing of them: it is a file like others. In a blank one
    # there is nothing to judge, and it may be what a purge left.
    metadata = [item for item in metadata if item.names_files or item.is_blank]
    taken = {item.name for item in metadata}
    return FolderListing(sorted(file for file in files if file.path not in taken), metadata)


@lru_cache(maxsize=_CACHED)
def _index(name: str, path: str, identity: str, sidecars: frozenset[str]) -> FolderIndex:
    return FolderIndex(_listing(name, path, identity), sidecars)


def folder_listing(shard: Shard) -> FolderListing:
    """Returns what is in a folder; the last ones are remembered by the shard's identity."""
    return _listing(shard.name, shard.path, shard.identity)


def folder_index(shard: Shard, sidecars: frozenset[str]) -> FolderIndex:
    """Returns what belongs together in a folder; the last ones are remembered."""
    return _index(shard.name, shard.path, shard.identity, sidecars)
