"""Image folders, with and without metadata files, as one shard each.

Every file below the folder is a member of a sample (see `folder_index` for what makes one),
but for the metadata files: they are written again without the rows of what was dropped, their
other rows as they stood, and are the input's very bytes where nothing was dropped. Hidden
files are skipped members, and so are links, which are not followed. What a metadata row names
that is not there is a reference: it shares the row's verdict.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ingestgate.assets import storage
from ingestgate.assets.containers.container import OutputFile, ReadOptions
from ingestgate.assets.containers.folder_index import (
    FolderFile,
    FolderIndex,
    FolderListing,
    FolderSample,
    folder_index,
    folder_listing,
)
from ingestgate.assets.containers.pending_folder import PendingFolder
from ingestgate.assets.containers.tar import MAX_MEMBER_BYTES
from ingestgate.assets.errors import ShardError
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.listing import listing_sha256
from ingestgate.assets.pending import Pending
from ingestgate.assets.provenance import SIDECAR_ERROR, flatten, of_sidecar, readable
from ingestgate.assets.shard import Kind, Member, Sample, Shard, WorkRange

#: A sample is read into memory whole, as a member of a tar is; a larger one is held unread.
MOST_SAMPLE_BYTES = MAX_MEMBER_BYTES
_FILES_PER_RANGE = 2000
_ROWS_AT_A_TIME = 256


class ImageFolder:
    """Folders of pictures (see `container.SampleContainer`); ranges count samples."""

    name: ClassVar[str] = "folder"
    copies_whole: ClassVar[bool] = False
    reads_again: ClassVar[bool] = False

    def cut(self, shard: Shard, options: ReadOptions) -> list[WorkRange]:
        """Cuts into ranges of about ``range_bytes``, and at most 2,000 samples."""
        sizes = folder_index(shard, options.sidecars).sizes()
        starts = [0]
        size = 0
        for number, more in enumerate(sizes.tolist()):
            count = number - starts[-1]
            if count and (size + more > options.range_bytes or count == _FILES_PER_RANGE):
                starts.append(number)
                size = 0
            size += more
        stops = [*starts[1:], len(sizes)]
        return [
            WorkRange(number, len(starts), start, stop)
            for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
        ]

    def range_sha256(self, shard: Shard, work: WorkRange) -> str:
        """Returns a digest of the metadata files (`listing_sha256`); members have their own."""
        metadata = folder_listing(shard).metadata
        return listing_sha256((item.name, item.sha256) for item in metadata)

    def read(self, shard: Shard, work: WorkRange, options: ReadOptions) -> Iterator[Sample]:
        """Yields a range's samples, with one sample's bytes in memory at a time."""
        index = folder_index(shard, options.sidecars)
        for start in range(work.start, work.stop, _ROWS_AT_A_TIME):
            samples = [index[n] for n in range(start, min(start + _ROWS_AT_A_TIME, work.stop))]
            for sample, rows in zip(samples, _rows(index.listing, samples), strict=True):
                yield _sample(shard, index, sample, rows, options.sidecars)

    def rewrite(self, shard: Shard, output_root: str) -> "FolderWriter":
        """Returns a writer of the folder."""
        return FolderWriter(shard, output_root)

    def package(self, shard: Shard, sample: Sample) -> list[tuple[str, bytes]]:
        """Returns the sample's files, and metadata files of its rows alone."""
        origin: Origin = sample.raw
        files = [
            (path, member.content)
            for path, member in zip(origin.paths, sample.members, strict=True)
            if member.content is not None
        ]
        for number, item in enumerate(folder_listing(shard).metadata):
            keep = np.zeros(item.table.num_rows, bool)
            keep[[row for source, row in origin.rows if source == number]] = True
            if keep.any():
                files.append((item.name, item.chosen(keep, blanks=False)))
        return files


class FolderWriter(Pending):
    """Writes the samples of a folder that stay (a `container.SampleWriter`)."""

    def __init__(self, shard: Shard, output_root: str) -> None:
        self._shard = shard
        self._output = PendingFolder(output_root, shard.name)
        self._metadata = folder_listing(shard).metadata
        self._kept: list[npt.NDArray[np.bool_]] = [
            np.zeros(item.table.num_rows, bool) for item in self._metadata
        ]
        self._next = 0
        self._ranges = 1

    def begin(self, work: WorkRange) -> None:
        """Starts a range.

        Raises:
            ShardError: It is not the next one.
        """
        self._ranges = work.total
        if work.number != self._next:
            raise ShardError(self._shard.name, f"range {self._next} was passed over")

    def keep(self, sample: Sample) -> None:
        """Writes a sample's files, with their modes and times, and notes its rows.

        Raises:
            ShardError: One is a link: nobody has seen what it leads to.
        """
        origin: Origin = sample.raw
        for path, member in zip(origin.paths, sample.members, strict=True):
            if member.content is not None:
                source = storage.join(self._shard.path, path)
                self._output.write(path, member.content, source)
            elif member.kind is not Kind.REFERENCE:
                problem = f"{member.name} is a link, no file or too large, and cannot be admitted"
                raise ShardError(self._shard.name, problem)
        for source_number, row in origin.rows:
            self._kept[source_number][row] = True

    def drop(self, sample: Sample) -> None:
        """Leaves a sample out, and its rows."""

    def end(self, work: WorkRange) -> None:
        """Ends a range."""
        self._next = work.number + 1

    def publish(self) -> list[OutputFile]:
        """Writes the metadata files and gives the folder its final name.

        Returns:
            One entry for the whole folder: its `listing_sha256` and the bytes of all files.

        Raises:
            ShardError: Not all ranges were decided on.
        """
        if self._next != self._ranges:
            raise ShardError(self._shard.name, f"range {self._next} was not decided on")
        for item, keep in zip(self._metadata, self._kept, strict=True):
            self._output.write(item.name, item.chosen(keep), item.path)
        return [self._output.publish()]

    def discard(self) -> None:
        """Removes what is not published."""
        self._output.discard()


class Origin(NamedTuple):
    """Where a sample comes from: each member's path as it is, and the metadata rows."""

    paths: tuple[str, ...]
    rows: list[tuple[int, int]]


def _rows(
    listing: FolderListing, samples: Sequence[FolderSample]
) -> Iterator[list[dict[str, str]]]:
    """Yields the metadata rows of each sample; those of one metadata file are fetched at once."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for sample in samples:
        for source, row in sample.rows:
            wanted[source].append(row)
    found = {
        (source, row): record
        for source, rows in wanted.items()
        for row, record in zip(rows, listing.metadata[source].records(rows), strict=True)
    }
    for sample in samples:
        yield [found[key] for key in sample.rows]


def _sample(
    shard: Shard,
    index: FolderIndex,
    sample: FolderSample,
    rows: Sequence[Mapping[str, str]],
    sidecars: frozenset[str],
) -> Sample:
    files = index.listing.files
    fits = sum(files[number].size for number in sample.files) <= MOST_SAMPLE_BYTES
    members = [
        _member(shard, files[number], number, sidecars, fits=fits) for number in sample.files
    ]
    paths = [files[number].path for number in sample.files]
    records = [*rows]
    for member in members:
        if member.kind is Kind.SIDECAR and member.content is not None:
            records.append(of_sidecar(member.name, member.content))
    for number in sample.missing:
        name = index.missing[number]
        position = len(files) + number
        # A row that names no file goes by a name that a file may have, too.
        members.append(
            Member(readable(name), position, None, Kind.REFERENCE, discriminator="reference")
        )
        paths.append(name)
    origin = Origin(tuple(paths), sample.rows)
    return Sample(members[0].name, tuple(members), _united(records), origin)


def _member(
    shard: Shard, file: FolderFile, position: int, sidecars: frozenset[str], *, fits: bool
) -> Member:
    path = storage.join(shard.path, file.path)
    content = storage.read_bytes(path) if file.plain and fits else None
    if file.plain and not fits and not file.hidden:
        kind = Kind.OTHER  # nobody looks at its bytes: never admitted
    elif file.hidden or content is None:
        kind = Kind.SKIPPED
    else:
        kind = kind_of(storage.basename(file.path).partition(".")[2], content, sidecars)
    name = readable(file.path)
    discriminator = "" if name == file.path else file.path.encode(errors="surrogateescape").hex()
    return Member(name, position, content, kind, discriminator=discriminator)


def _united(records: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns what several records say; of values that differ all, as a list's (``url[1]``)."""
    values: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        for name, text in record.items():
            if name != SIDECAR_ERROR or not values[name]:  # one is enough, and it keeps its name
                values[name][text] = None
    return flatten(
        {name: next(iter(texts)) if len(texts) == 1 else [*texts] for name, texts in values.items()}
    )
