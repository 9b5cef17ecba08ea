"""What a container format must do to pass through the gate.

Two families. A `SampleContainer` holds bytes: it yields samples, and its writer is told sample
by sample what stays. A `RowContainer` holds rows that only point at bytes elsewhere: it yields
Arrow tables, and its writer is given a mask. Both cut a shard into ranges that can be judged
anywhere in any order, and write what stays exactly as it stood.

Formats are found through the entry point group ``ingestgate.containers`` (see `registry`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestgate.assets.shard import Sample, Shard, WorkRange

#: Suffixes (lower case, no dot) of members that carry text about a picture.
DEFAULT_SIDECARS = frozenset(
    {"txt", "text", "caption", "captions", "json", "jsonl", "cls", "cls2", "id", "index", "inx"}
    | {"csv", "tsv", "yaml", "yml", "xml", "md", "url"}
)
DEFAULT_RANGE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a reader takes from the policy.

    Attributes:
        sidecars: Suffixes of members that are sidecars (unless their bytes are a picture).
        range_bytes: Aim for ranges of about this many bytes.
    """

    sidecars: frozenset[str] = field(default=DEFAULT_SIDECARS)
    range_bytes: int = DEFAULT_RANGE_BYTES


class OutputFile(NamedTuple):
    """A published file: its path below the output root, SHA-256 in hex, and size in bytes."""

    name: str
    sha256: str
    size: int


class ShardWriter(Protocol):
    """Writes what stays of one shard under temporary names, until `publish`.

    A context manager; leaving the block without having published discards everything.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def publish(self) -> list[OutputFile]:
        """Makes everything durable, renames it to its final names, and returns what it is.

        Raises:
            StorageError: Something could not be written; what is published was whole.
        """
        ...


class SampleWriter(ShardWriter, Protocol):
    """A `ShardWriter` told sample by sample, in the order `SampleContainer.read` yields them."""

    def begin(self, work: WorkRange) -> None:
        """Starts a range; ranges come in order."""
        ...

    def keep(self, sample: Sample) -> None:
        """Writes a sample exactly as it stood."""
        ...

    def drop(self, sample: Sample) -> None:
        """Leaves a sample out."""
        ...

    def end(self, work: WorkRange) -> None:
        """Ends a range."""
        ...


class RowWriter(ShardWriter, Protocol):
    """A `ShardWriter` told range by range which rows stay."""

    def write(self, work: WorkRange, keep: npt.NDArray[np.bool_]) -> None:
        """Writes the rows of a range for which ``keep`` is true, exactly as they stood."""
        ...


@runtime_checkable
class Container(Protocol):
    """What both families share."""

    #: Name of the format, as in ``--format`` and `Shard.format`.
    name: ClassVar[str]

    def cut(self, shard: Shard, options: ReadOptions) -> list[WorkRange]:
        """Cuts a shard into ranges: in order, gapless, never through a sample, at least one.

        Deterministic: the same shard and options give the same ranges.

        Raises:
            ShardError: The shard cannot be read; says what is wrong and where.
        """
        ...

    def range_sha256(self, shard: Shard, work: WorkRange) -> str:
        """Returns a digest of a range's raw bytes, for formats verified by range, else ""."""
        ...


@runtime_checkable
class SampleContainer(Container, Protocol):
    """A format that holds bytes.

    Its writer and `package` are given a copy of the shard, which nobody changes after it was
    verified, as they may read what `read` has not yielded; not if it has ``reads_again = False``.
    """

    #: Whether an untouched shard may be published as a copy of its files that was verified
    #: (True), or has to go through the writer (a folder).
    copies_whole: ClassVar[bool]

    def read(self, shard: Shard, work: WorkRange, options: ReadOptions) -> Iterator[Sample]:
        """Yields every sample of a range, by ascending position; every member is in one.

        Raises:
            ShardError: The shard is truncated or corrupt; nothing after that point is yielded.
        """
        ...

    def rewrite(self, shard: Shard, output_root: str) -> SampleWriter:
        """Returns a writer of ``output_root/shard.name`` and the shard's further files."""
        ...

    def package(self, shard: Shard, sample: Sample) -> list[tuple[str, bytes]]:
        """Returns the files that hold the whole sample, for sealing: (name, bytes) each.

        Names as the landing zone has them; who seals them makes them harmless.
        """
        ...


@runtime_checkable
class RowContainer(Container, Protocol):
    """A format of rows without bytes."""

    def read_rows(self, shard: Shard, work: WorkRange) -> pa.Table:
        """Returns the rows of a range with every column; its row 0 is number ``work.first``.

        Text may be what the file has, though it be no UTF-8: such a row is not admitted.

        Raises:
            ShardError: The shard is truncated or corrupt.
        """
        ...

    def rewrite_rows(self, shard: Shard, output_root: str) -> RowWriter:
        """Returns a writer of ``output_root/shard.name``."""
        ...

    def package_rows(
        self, shard: Shard, work: WorkRange, rows: npt.NDArray[np.bool_]
    ) -> list[tuple[str, bytes]]:
        """Returns the files that hold the chosen rows of a range exactly, for sealing."""
        ...


class Discovery(NamedTuple):
    """What the inputs resolve to.

    Attributes:
        root: The input's common root.
        shards: Sorted by name; at least one.
        left_behind: Files of an input directory that are no part of any shard (a README);
            they are not copied to the output, and the report names them.
    """

    root: str
    shards: Sequence[Shard]
    left_behind: Sequence[str]
