"""Parquet with pictures in it: Hugging Face's image columns, lists of them, plain binary ones.

Every value of bytes at any depth of a row is a member of the row's sample, named by its column
path (``image``, ``images[2]``, ``turns[0].picture``): no column is a way past the gate.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from ingestgate.assets.carrying import LEAST, carried, carried_in_list
from ingestgate.assets.containers import row_groups
from ingestgate.assets.containers.arrow_text import (
    bytes_and_text,
    hexed,
    is_decodable,
    is_identifier,
    is_list,
    readable_table,
    shown,
    stored,
)
from ingestgate.assets.containers.byte_columns import (
    Declared,
    declared_images,
    has_bytes,
    is_image,
    is_in_pieces,
    joined,
)
from ingestgate.assets.containers.container import OutputFile, ReadOptions
from ingestgate.assets.containers.row_groups import RowGroupWriter
from ingestgate.assets.errors import ShardError
from ingestgate.assets.locating import remote_parts
from ingestgate.assets.media import sniff
from ingestgate.assets.pending import Pending
from ingestgate.assets.provenance import LOCATION, Named, flatten, readable
from ingestgate.assets.shard import Kind, Member, Sample, Shard, WorkRange

_SUBTYPE = re.compile(r"image/(?:x-|vnd\.)?([a-z0-9]+)")
_ENCODED = re.compile(r"(?:data:[^,]*,)?[A-Za-z0-9+/=_%\s-]*+", re.ASCII)  # base64, hex, data URI


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
                    columns = _Columns(table)
                    for index in range(batch.num_rows):
                        yield _sample(number, columns, declared, _Row(batch, index))
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
        return files


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


class _Columns:
    """The columns of a batch; a row is made Python values of when it is asked for.

    But for columns with text that is not UTF-8, which has no such form.
    """

    def __init__(self, table: pa.Table) -> None:
        self.schema = table.schema
        self._columns = [
            column if is_decodable(column) else bytes_and_text(column) for column in table.columns
        ]

    def row(self, index: int) -> dict[str, Any]:
        """Returns a row's values by column."""
        return {
            name: column[index] if isinstance(column, list) else column[index].as_py()
            for name, column in zip(self.schema.names, self._columns, strict=True)
        }


def _sample(number: int, columns: _Columns, declared: Mapping[str, Declared], row: _Row) -> Sample:
    values = columns.row(row.at)
    name = str(number)
    found = [
        each
        for column in columns.schema
        for each in _pictures(
            column.type, values[column.name], column.name, declared.get(column.name, False)
        )
    ]
    members = tuple(Member(name, number, each.content, each.kind, each.field) for each in found)
    members = members or (Member(name, number, None, Kind.REFERENCE),)
    said = {
        column.name: hexed(shown(values[column.name], column.type), column.type)
        for column in columns.schema
        if not is_in_pieces(column.type) or len(joined(values[column.name])) < LEAST
    }
    provenance = Named(flatten(said))
    for each in found:
        for part in remote_parts(each.path):
            provenance.put(LOCATION, readable(part))
    return Sample(name, members, provenance.texts, row)


class _Found(NamedTuple):
    """A picture in a row, or other bytes: column path, bytes, kind, and where it says it lies."""

    field: str
    content: bytes | None
    kind: Kind
    path: str = ""


def _pictures(kind: pa.DataType, value: Any, field: str, declared: Declared) -> Iterator[_Found]:
    """Yields every picture, or other bytes, in a value."""
    kind = stored(kind)
    itself = declared is True
    if value is None:
        return
    if isinstance(value, bytes) and not is_identifier(kind):
        yield _of_bytes(value, field, itself)  # of text as well, where it is no text
    elif is_in_pieces(kind):
        if len(content := joined(value)) >= LEAST:
            yield _of_bytes(content, field, itself)
    elif is_image(kind) or (itself and pa.types.is_struct(kind)):
        path, content = value.get("path"), value.get("bytes")
        lies = path if isinstance(path, str) else ""
        if content is None and path is not None:
            yield _Found(field, None, Kind.REFERENCE, lies)
        for number, form in enumerate(_forms(content)):
            yield _Found(_numbered(field, number), form, Kind.PICTURE, lies)
        own = content is None or isinstance(content, bytes | str)
        yield from _fields(kind, value, field, {}, skip="bytes" if own else "")
    elif is_list(kind):
        if (numbers := carried_in_list(value)) is not None:
            yield _Found(field, numbers, Kind.PICTURE)
        for index, item in enumerate(value):
            yield from _pictures(kind.value_type, item, f"{field}[{index}]", declared)
    elif pa.types.is_struct(kind):
        yield from _fields(kind, value, field, {} if isinstance(declared, bool) else declared)
    elif pa.types.is_map(kind):
        for index, (key, item) in enumerate(value):
            yield from _pictures(kind.key_type, key, f"{field}[{index}].key", False)
            yield from _pictures(kind.item_type, item, f"{field}[{index}].value", False)
    elif isinstance(value, str):
        yield from _in_text(value, field, itself)
    elif has_bytes(kind):
        yield _Found(
            field, None, Kind.OTHER
        )  # bytes in a form that is not known here: never admitted


def _of_bytes(content: bytes, field: str, declared: bool) -> _Found:
    is_picture = declared or sniff(content).startswith("image/")
    return _Found(field, content, Kind.PICTURE if is_picture else Kind.OTHER)


def _in_text(text: str, field: str, declared: bool) -> Iterator[_Found]:
    pictures = carried(text)
    for number, content in enumerate(pictures):
        yield _Found(_numbered(field, number), content, Kind.PICTURE)
    if declared and not pictures:
        yield _Found(field, None, Kind.REFERENCE, text)


def _forms(content: Any) -> list[bytes]:
    """Returns what the bytes of an Image are; as text, as it stands and what it carries.

    Base64 alone is no picture as it stands.
    """
    if not isinstance(content, str):
        return [content] if isinstance(content, bytes) else []
    pictures = carried(content)
    as_it_stands = [] if pictures and _ENCODED.fullmatch(content) else [content.encode()]
    return [*dict.fromkeys(as_it_stands + pictures)]


def _numbered(field: str, number: int) -> str:
    return f"{field}#{number}" if number else field


def _fields(
    kind: pa.StructType, value: Any, field: str, declared: Mapping[str, Declared], skip: str = ""
) -> Iterator[_Found]:
    for child in kind:
        if child.name != skip:
            inner = declared.get(child.name, False)
            yield from _pictures(child.type, value[child.name], f"{field}.{child.name}", inner)


def _suffix(content: bytes) -> str:
    found = _SUBTYPE.match(sniff(content))
    return found[1].replace("jpeg", "jpg") if found else "bin"
