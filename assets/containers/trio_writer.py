"""Writing what stays of img2dataset's trio, so that its three files agree."""

import json

import numpy as np
import pyarrow as pa

from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.containers.copying import copy_bytes
from ingestgate.assets.containers.old_times import ParquetFile
from ingestgate.assets.containers.output import PendingOutput
from ingestgate.assets.containers.row_groups import open_writer, write_chosen
from ingestgate.assets.containers.tar_writer import TarWriter
from ingestgate.assets.containers.trio_files import (
    COUNTED,
    StatsCount,
    keys_of,
    open_rows,
    part_names,
    read_stats,
    row_key,
)
from ingestgate.assets.errors import ShardError
from ingestgate.assets.pending import Pending
from ingestgate.assets.shard import Kind, Sample, Shard, WorkRange


class TrioWriter(Pending):
    """Writes what stays of the three files (a `container.SampleWriter`)."""

    def __init__(self, shard: Shard, output_root: str, tar_writer: TarWriter) -> None:
        self._shard = shard
        self._root = output_root
        self._tar = tar_writer
        self._kept: set[str] = set()
        self._seen: set[str] = set()
        self._parts: list[PendingOutput] = []

    def begin(self, work: WorkRange) -> None:
        """Starts a range."""
        self._tar.begin(work)

    def keep(self, sample: Sample) -> None:
        """Writes a sample exactly as it stood; its row stays."""
        if has_row(sample):
            self._seen.add(row_key(sample.key))
            self._kept.add(row_key(sample.key))
        if not is_reference(sample):
            self._tar.keep(sample)

    def drop(self, sample: Sample) -> None:
        """Leaves a sample out; its row goes, unless another sample has it."""
        if has_row(sample):
            self._seen.add(row_key(sample.key))
        if not is_reference(sample):
            self._tar.drop(sample)

    def end(self, work: WorkRange) -> None:
        """Ends a range."""
        self._tar.end(work)

    def publish(self) -> list[OutputFile]:
        """Completes all files, then renames tar, Parquet and stats, in this order."""
        self._tar.complete()
        names = part_names(self._shard.name)[: len(self._shard.parts)]
        for name in names:
            self._parts.append(PendingOutput(self._root, name))
        self._write_parts()
        return [*self._tar.publish(), *(output.publish() for output in self._parts)]

    def discard(self) -> None:
        """Removes what is not published."""
        self._tar.discard()
        for output in self._parts:
            output.discard()

    def _write_parts(self) -> None:
        if self._kept == self._seen:
            for path, output in zip(self._shard.parts, self._parts, strict=True):
                copy_bytes(self._shard.name, path, output)
            return
        count = StatsCount()
        with open_rows(self._shard) as source:
            self._write_rows(source, self._parts[0], count)
        self._parts[0].complete()
        for path, output in zip(self._shard.parts[1:], self._parts[1:], strict=True):
            stats = count.applied(read_stats(self._shard, path))
            output.write(json.dumps(stats, indent=4).encode())
            output.complete()

    def _write_rows(self, source: ParquetFile, output: PendingOutput, count: StatsCount) -> None:
        """Writes the rows that stay, row group by row group, as the file was written."""
        columns = [name for name in COUNTED if name in source.schema_arrow.names]
        with open_writer(source, output) as writer:
            for group in range(source.metadata.num_row_groups):
                table = source.read_row_group(group, columns=columns)
                stays = np.array([self._stays(key) for key in keys_of(self._shard, table)], bool)
                count.add(table.filter(pa.array(stays)))
                write_chosen(source, group, stays, writer)

    def _stays(self, key: str) -> bool:
        if key not in self._seen:
            raise ShardError(self._shard.name, "has rows that were not judged: it has changed")
        return key in self._kept


def is_reference(sample: Sample) -> bool:
    """Whether a sample is a row without bytes."""
    return sample.members[0].kind is Kind.REFERENCE


def has_row(sample: Sample) -> bool:
    """Whether a sample has a row: what readers skip has none, whatever its name."""
    return sample.members[0].kind is not Kind.SKIPPED
