"""Parquet with pictures in it: Hugging Face's image columns, lists of them, plain binary ones.

Every value of bytes at any depth of a row is a member of the row's sample, named by its column
path (``image``, ``images[2]``, ``turns[0].picture``): no column is a way past the gate.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from ingestgate.assets.containers import row_groups
from ingestgate.assets.containers.arrow_text import readable_table
from ingestgate.assets.containers.byte_columns import (
    declared_images,
    has_bytes,
    is_bytes,
    is_image,
    is_list,
    stored,
)
from ingestgate.assets.containers.container import OutputFile, ReadOptions
from ingestgate.assets.containers.packaging import packed
from ingestgate.assets.containers.row_groups import RowGroupWriter
from ingestgate.assets.errors import ShardError
from ingestgate.assets.media import sniff
from ingestgate.assets.pending import Pending
from ingestgate.assets.provenance import flatten
from ingestgate.assets.shard import Kind, Member, Sample, Shard, WorkRange

_SUBTYPE = re.compile(r"image/(?:x-|vnd\.)?([a-z0-9]+)")


class ParquetImages:
    """Parquet files that hold pictures, a sample a row (see `container.SampleContainer`)."""

    name: ClassVar[str] = "parquet"
    copies_whole: ClassVar[bool] = True

    def cut(self, shard: Shard, options: ReadOptions) -> list[WorkRange]:
        """Cuts between row groups; a range's start and stop are row groups' indices."""
        return row_groups.cut_row_groups(shard, options.range_bytes)

    def range_sha256(self, shard: Shard, work: WorkRange) -> str:
        """Returns a digest that binds every column of a range (see `row_groups_sha256`)."""
        return row_groups.row_groups_sha256(shard, work)

    def read(self, shard: Shard, work: WorkRange, options: ReadOptions) -> Iterator[Sample]:
        """Yields a sample for each row; decodes about 16 MiB at a time.

        A picture without bytes, whose ``path`` says where it lies, is a `Kind.REFERENCE`; a
        null one is nothing. A row without any picture is one reference with an empty field.
        """
        with row_groups.opened(shard) as parquet:
            declared = declared_images(parquet.schema_arrow)
            number = work.first
            for group in range(work.start, work.stop):
                for batch in row_groups.batches(parquet, group):
                    table = readable_table(pa.Table.from_batches([batch]))
                    for index in range(batch.num_rows):
                        yield _sample(number, table, declared, _Row(batch, index))
                        number += 1

    def rewrite(self, shard: Shard, output_root: str) -> "ParquetImagesWriter":
        """Returns a writer of the shard's file."""
        return ParquetImagesWriter(shard, output_root)

    def package(self, shard: Shard, sample: Sample) -> list[tuple[str, bytes]]:
        """Returns the row as a Parquet file of its own, and each picture as a file."""
        row: _Row = sample.raw
        with row_groups.opened(shard) as parquet:
            own = row.batch.slice(row.at, 1)
            files = [("row.parquet", row_groups.as_parquet(parquet, [own]))]
        for member in sample.members:
            if member.content is not None:
                files.append((f"{member.field}.{_suffix(member.content)}", member.content))
        return packed(files)


class ParquetImagesWriter(Pending):
    """Writes the rows that stay, row group by row group (a `container.SampleWriter`)."""

    def __init__(self, shard: Shard, output_root: str) -> None:
        self._shard = shard
        self._rows = RowGroupWriter(shard, output_root)
        self._decided: list[bool] = []
        self._first = 0

    def begin(self, work: WorkRange) -> None:
        """Starts a range."""
        self._decided = []
        self._first = work.first

    def keep(self, sample: Sample) -> None:
        """Notes that a row stays."""
        self._decide(sample, keep=True)

    def drop(self, sample: Sample) -> None:
        """Notes that a row goes."""
        self._decide(sample, keep=False)

    def _decide(self, sample: Sample, *, keep: bool) -> None:
        row = self._first + len(self._decided)
        if sample.members[0].position != row:
            raise ShardError(self._shard.name, f"row {row} was passed over")
        self._decided.append(keep)

    def end(self, work: WorkRange) -> None:
        """Writes what stays of a range."""
        self._rows.write(work, np.array(self._decided, bool))

    def publish(self) -> list[OutputFile]:
        """Renames the file to its final name."""
        return self._rows.publish()

    def discard(self) -> None:
        """Removes what is not published."""
        self._rows.discard()


class _Row(NamedTuple):
    """A row as the file has it."""

    batch: pa.RecordBatch
    at: int


def _sample(number: int, table: pa.Table, declared: frozenset[str], row: _Row) -> Sample:
    values = {
        name: column[row.at].as_py()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    name = str(number)
    members = tuple(
        Member(name, number, content, kind, field)
        for column in table.schema
        for field, content, kind in _pictures(
            column.type, values[column.name], column.name, column.name in declared
        )
    )
    members = members or (Member(name, number, None, Kind.REFERENCE),)
    return Sample(name, members, flatten(values), row)


def _pictures(
    kind: pa.DataType, value: Any, field: str, declared: bool
) -> Iterator[tuple[str, bytes | None, Kind]]:
    """Yields column path, bytes and kind of every picture, or other bytes, in a value."""
    kind = stored(kind)
    if value is None:
        return
    if is_bytes(kind) and isinstance(value, bytes):
        is_picture = declared or sniff(value).startswith("image/")
        yield field, value, Kind.PICTURE if is_picture else Kind.OTHER
    elif is_image(kind):
        if value["bytes"] is not None:
            yield field, value["bytes"], Kind.PICTURE
        elif value["path"] is not None:
            yield field, None, Kind.REFERENCE
        yield from _fields(kind, value, field, skip="bytes")
    elif is_list(kind):
        for index, item in enumerate(value):
            yield from _pictures(kind.value_type, item, f"{field}[{index}]", declared)
    elif pa.types.is_struct(kind):
        yield from _fields(kind, value, field)
    elif pa.types.is_map(kind):
        for index, (key, item) in enumerate(value):
            yield from _pictures(kind.key_type, key, f"{field}[{index}].key", False)
            yield from _pictures(kind.item_type, item, f"{field}[{index}].value", False)
    elif declared and isinstance(value, str):
        yield field, None, Kind.REFERENCE
    elif has_bytes(kind):
        yield field, None, Kind.OTHER  # bytes in a form that is not known here: never admitted


def _fields(
    kind: pa.StructType, value: Any, field: str, skip: str = ""
) -> Iterator[tuple[str, bytes | None, Kind]]:
    for child in kind:
        if child.name != skip:
            yield from _pictures(child.type, value[child.name], f"{field}.{child.name}", False)


def _suffix(content: bytes) -> str:
    found = _SUBTYPE.match(sniff(content))
    return found[1].replace("jpeg", "jpg") if found else "bin"
