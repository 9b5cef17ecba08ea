"""Parquet files by their row groups: cut, digested, and written again without some rows.

What stays is written as the file was: schema and its metadata (``huggingface``, ``pandas``),
row groups, and per column the codec, dictionaries, encodings and statistics, as far as a
Parquet file tells and pyarrow can (codec levels, data page versions and Bloom filters it
cannot). One row group of decoded rows is in memory at a time.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ingestgate.assets import storage
from ingestgate.assets.containers.arrow_text import stored
from ingestgate.assets.containers.byte_columns import has_images, refuse_carried
from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.containers.nesting import open_parquet
from ingestgate.assets.containers.old_times import ParquetFile
from ingestgate.assets.containers.output import PendingOutput
from ingestgate.assets.errors import GateError, ShardError, StorageError
from ingestgate.assets.pending import Pending
from ingestgate.assets.shard import Shard, WorkRange

_BUFFER = 1 << 20
_BATCH_BYTES = 16 << 20
_BATCH_ROWS = 4096
_HELD_ROWS = 256
#: Decoded bytes of rows that are in memory at once, a little more or less: what those of a small
#: file come to has no bound.
MOST_HELD = 1 << 30
_OLD_LIST = re.compile(r"\.list\.item(\.|$)")


@contextmanager
def explained(shard: str) -> Iterator[None]:
    """Turns what Arrow raises about a Parquet file into a ShardError that names the shard."""
    try:
        yield
    except GateError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        problem = str(error).partition("\n")[0] or type(error).__name__
        raise ShardError(shard, f"cannot be read as Parquet: {problem}") from error


@contextmanager
def opened(shard: Shard) -> Iterator[ParquetFile]:
    """Opens a shard's Parquet file; column chunks are read piece by piece, not ahead.

    Raises:
        ShardError: It is no Parquet file, or `check_footer` refuses it; also whatever Arrow raises
            inside the block.
    """
    with explained(shard.name), storage.open_read(shard.path) as source:
        parquet = open_parquet(source, pre_buffer=False, buffer_size=_BUFFER)
        check_footer(shard.name, parquet)
        yield parquet


def check_footer(shard: str, parquet: pq.ParquetFile) -> None:
    """Refuses a file of which a reader could see something else than is judged.

    Args:
        shard: The shard's name, for errors.
        parquet: The file.

    Raises:
        ShardError: Two of its columns, or fields of a column, have one name, its schema carries a
            picture, or its row groups are not all there.
    """
    if _names_twice(parquet.schema_arrow):
        raise ShardError(shard, "two of its columns, or fields of one, have the same name")
    refuse_carried(shard, parquet.schema_arrow)
    metadata = parquet.metadata
    held = sum(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    if held != metadata.num_rows:
        # A footer that lost a row group would have its rows pass unseen, in a file that is
        # copied whole.
        raise ShardError(
            shard,
            f"damaged: its footer speaks of {metadata.num_rows} rows, its row groups of {held}",
        )


def _names_twice(fields: Iterable[pa.Field]) -> bool:
    fields = list(fields)
    kinds = [stored(field.type) for field in fields]
    return len({field.name for field in fields}) < len(fields) or any(
        _names_twice(map(kind.field, range(kind.num_fields))) for kind in kinds
    )


def cut_row_groups(shard: Shard, range_bytes: int) -> list[WorkRange]:
    """Cuts a Parquet file into ranges of whole row groups, about ``range_bytes`` decoded each."""
    with opened(shard) as parquet:
        metadata = parquet.metadata
        sizes = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    starts = [0]
    size = 0
    for group, more in enumerate(sizes):
        if group and size + more > range_bytes:
            starts.append(group)
            size = 0
        size += more
    stops = [*starts[1:], len(sizes)]
    return [
        WorkRange(number, len(starts), start, stop, sum(rows[:start]))
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


def row_groups_sha256(shard: Shard, work: WorkRange) -> str:
    """Returns a digest of all a range's row groups hold, captions and URLs as well as pictures.

    SHA-256 of the file's footer (schema, metadata, place of every page), then of the raw bytes
    of each column chunk of each row group, in order.
    """
    digest = hashlib.sha256()
    with explained(shard.name), storage.open_read(shard.path) as source:
        metadata = open_parquet(source, pre_buffer=False).metadata
        end = source.seek(0, io.SEEK_END)
        for piece in _pieces(source, shard.name, end - 8 - metadata.serialized_size, end):
            digest.update(piece)
        for group in range(work.start, work.stop):
            chunks = metadata.row_group(group)
            for column in map(chunks.column, range(chunks.num_columns)):
                start = column.data_page_offset
                if column.dictionary_page_offset:
                    start = min(start, column.dictionary_page_offset)
                stop = start + column.total_compressed_size
                for piece in _pieces(source, shard.name, start, stop):
                    digest.update(piece)
    return digest.hexdigest()


def _pieces(source: BinaryIO, shard: str, start: int, stop: int) -> Iterator[bytes]:
    source.seek(start)
    while start < stop:
        piece = source.read(min(_BUFFER, stop - start))
        if not piece:
            raise ShardError(shard, f"is truncated: there is nothing at byte {start}")
        start += len(piece)
        yield piece


def batches(parquet: ParquetFile, group: int, at_once: int = 1) -> Iterator[pa.RecordBatch]:
    """Yields a row group in batches of about 16 MiB.

    Args:
        parquet: The file.
        group: The row group.
        at_once: How many rows are decoded before it is asked how much they came to.

    Raises:
        ValueError: It holds another number of rows than its metadata says, or a time that Arrow
            takes for another.
    """
    parquet.check_times([group])
    metadata = parquet.metadata.row_group(group)
    missing = metadata.num_rows
    # What rows decode to is known of none before it is decoded: a value that a thousand of them
    # share is in the file once.
    for batch in _gathered(
        parquet.iter_batches(batch_size=at_once, row_groups=[group], use_threads=False)
    ):
        missing -= batch.num_rows
        yield batch
    # Columns are asked after what they hold was read: pyarrow ends the process when it is asked
    # about a column that a damaged footer does not describe.
    if missing or _lengths(parquet, group) - {metadata.num_rows}:
        raise ValueError(f"row group {group} is damaged: its columns are not of one length")


def _gathered(pieces: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields small batches as larger ones."""
    gathered: list[pa.RecordBatch] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += piece.nbytes
        if size >= _BATCH_BYTES or len(gathered) == _BATCH_ROWS:
            yield pa.concat_batches(gathered)
            gathered, size = [], 0
    if gathered:
        yield pa.concat_batches(gathered)


def held_rows(parquet: ParquetFile, groups: Sequence[int]) -> pa.Table:
    """Returns the rows of some row groups, all at once.

    Raises:
        ValueError: They decode to more than is held in memory, or hold a time that Arrow takes for
            another.
    """
    parquet.check_times(groups)
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in parquet.iter_batches(batch_size=_HELD_ROWS, row_groups=groups, use_threads=False):
        size += batch.nbytes
        if size > MOST_HELD:
            raise ValueError(f"rows that decode to more than {MOST_HELD >> 20} MiB")
        held.append(batch)
    return pa.Table.from_batches(held, parquet.schema_arrow)


def _lengths(parquet: pq.ParquetFile, group: int) -> set[int]:
    """Returns how many values the columns that have one a row hold."""
    metadata = parquet.metadata.row_group(group)
    return {
        metadata.column(index).num_values
        for index in range(len(parquet.schema))
        if not parquet.schema.column(index).max_repetition_level
    }


def write_chosen(
    parquet: ParquetFile, group: int, keep: npt.NDArray[np.bool_], writer: pq.ParquetWriter
) -> None:
    """Writes the rows of a row group for which ``keep`` is true as one row group, if any is.

    As several, if they decode to more than is held in memory.
    """
    kept: list[pa.RecordBatch] = []
    at = size = 0
    # Text is short as a rule, and to decode it row by row would take ten times as long.
    at_once = 1 if has_images(parquet.schema_arrow) else _HELD_ROWS
    for batch in batches(parquet, group, at_once) if keep.any() else ():
        mask = keep[at : at + batch.num_rows]
        at += batch.num_rows
        if mask.any():
            kept.append(plain(batch.filter(pa.array(mask))))
            size += kept[-1].nbytes
        if size > MOST_HELD:
            _write_group(kept, writer)
            kept, size = [], 0
    if kept:
        _write_group(kept, writer)


def _write_group(rows: Sequence[pa.RecordBatch], writer: pq.ParquetWriter) -> None:
    table = pa.Table.from_batches(rows)
    writer.write_table(table, row_group_size=table.num_rows)


def open_writer(parquet: pq.ParquetFile, sink: Any) -> pq.ParquetWriter:
    """Returns a writer of a file of the same schema that writes as this one was written.

    It takes `plain` rows.
    """
    schema = pa.schema([_plain(field) for field in parquet.schema_arrow])
    options = _written_as(parquet.metadata)
    if _needs_latest(schema, options.get("use_deprecated_int96_timestamps", False)):
        options["version"] = "2.6"
    writer = pq.ParquetWriter(sink, schema, **options)
    # All of the source's metadata goes along as it is: its Arrow schema too, so that the same
    # types are read again.
    if parquet.metadata.metadata:
        writer.add_key_value_metadata(parquet.metadata.metadata)
    return writer


def _needs_latest(fields: Iterable[pa.Field], old_times: bool) -> bool:
    """Whether older versions of the format would have other types for some, or other values.

    Writers of such columns say all the same that a file is of one.

    Args:
        fields: The columns.
        old_times: Whether times are written in INT96, which all versions have.
    """
    kinds = [field.type for field in fields]
    return any(
        pa.types.is_uint32(kind)
        or (pa.types.is_timestamp(kind) and kind.unit == "ns" and not old_times)
        or _needs_latest(map(kind.field, range(kind.num_fields)), old_times)
        for kind in kinds
    )


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns a batch without dictionary types.

    Rows that are taken out of a dictionary column leave their values in its dictionary, and so
    in what is written.
    """
    columns = [
        column if target.type == field.type else column.cast(target.type)
        for column, field in zip(batch.columns, batch.schema, strict=True)
        for target in (_plain(field),)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(map(_plain, batch.schema)))


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(_without_dictionaries(field.type))


def _without_dictionaries(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_dictionary(kind):
        return _without_dictionaries(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([_plain(child) for child in kind])
    if types.is_map(kind):
        return pa.map_(_plain(kind.key_field), _plain(kind.item_field), kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_field), kind.list_size)
    if types.is_list(kind):
        return pa.list_(_plain(kind.value_field))
    return pa.large_list(_plain(kind.value_field)) if types.is_large_list(kind) else kind


def _written_as(metadata: pq.FileMetaData) -> dict[str, Any]:
    properties = metadata.metadata or {}
    options: dict[str, Any] = {"store_schema": False}
    if metadata.format_version in ("1.0", "2.4", "2.6"):
        options["version"] = metadata.format_version
    if b"content_defined_chunking" in properties:  # as `datasets` marks its files
        options["use_content_defined_chunking"] = _chunking(properties[b"content_defined_chunking"])
    if not metadata.num_row_groups:
        return options
    group = metadata.row_group(0)
    columns = {
        column.path_in_schema: column for column in map(group.column, range(group.num_columns))
    }
    return options | {
        "compression": {
            path: "NONE" if column.compression == "UNCOMPRESSED" else column.compression
            for path, column in columns.items()
        },
        "use_dictionary": [path for path, column in columns.items() if column.has_dictionary_page],
        "column_encoding": {
            path: encoding
            for path, column in columns.items()
            for encoding in column.encodings
            if encoding.startswith(("DELTA_", "BYTE_STREAM")) and not column.has_dictionary_page
        }
        or None,
        "write_statistics": [path for path, column in columns.items() if column.is_stats_set],
        "write_page_index": any(column.has_offset_index for column in columns.values()),
        "sorting_columns": group.sorting_columns or None,
        # It goes for all columns of times: INT64 holds those of INT96, and not the other way round.
        "use_deprecated_int96_timestamps": any(
            column.physical_type == "INT96" for column in columns.values()
        )
        and not _has_new_times(metadata),
        "use_compliant_nested_type": not any(map(_OLD_LIST.search, columns)),
    }


def _has_new_times(metadata: pq.FileMetaData) -> bool:
    columns = map(metadata.schema.column, range(metadata.num_columns))
    return any(column.logical_type.type == "TIMESTAMP" for column in columns)


def _chunking(text: bytes) -> dict[str, int] | bool:
    try:
        options = json.loads(text)
    except ValueError:
        return True
    return options if isinstance(options, dict) else True


def as_parquet(parquet: pq.ParquetFile, rows: Iterable[pa.RecordBatch]) -> bytes:
    """Returns a Parquet file of some rows, written as ``parquet`` was."""
    sink = io.BytesIO()
    with open_writer(parquet, sink) as writer:
        for batch in rows:
            writer.write_batch(plain(batch))
    return sink.getvalue()


def chosen_rows(parquet: ParquetFile, groups: range, rows: npt.NDArray[np.bool_]) -> bytes:
    """Returns a Parquet file of the chosen rows of some row groups."""
    sink = io.BytesIO()
    at = 0
    with open_writer(parquet, sink) as writer:
        for group in groups:
            count = parquet.metadata.row_group(group).num_rows
            write_chosen(parquet, group, rows[at : at + count], writer)
            at += count
    return sink.getvalue()


class RowGroupWriter(Pending):
    """Writes the rows of a Parquet shard that stay (a `container.RowWriter`)."""

    def __init__(self, shard: Shard, output_root: str) -> None:
        self._shard = shard
        self._output = PendingOutput(output_root, shard.name)
        self._writer: pq.ParquetWriter | None = None
        self._group = 0

    def write(self, work: WorkRange, keep: npt.NDArray[np.bool_]) -> None:
        """Writes the rows of a range for which ``keep`` is true; ranges come in order.

        Raises:
            ShardError: The range holds another number of rows, or is not the next one.
        """
        with opened(self._shard) as parquet:
            if self._writer is None:
                self._writer = open_writer(parquet, self._output)
            groups = range(work.start, work.stop)
            counts = [parquet.metadata.row_group(group).num_rows for group in groups]
            if sum(counts) != len(keep) or work.start != self._group:
                raise ShardError(self._shard.name, f"range {work.number} is not what was judged")
            at = 0
            for group, count in zip(groups, counts, strict=True):
                write_chosen(parquet, group, keep[at : at + count], self._writer)
                at += count
            self._group = work.stop

    def publish(self) -> list[OutputFile]:
        """Writes the footer and renames the file to its final name.

        Raises:
            ShardError: Not all row groups were decided on.
        """
        with opened(self._shard) as parquet:
            if self._writer is None or self._group != parquet.metadata.num_row_groups:
                raise ShardError(self._shard.name, f"row group {self._group} was not decided on")
        self._writer.close()
        return [self._output.publish()]

    def discard(self) -> None:
        """Removes what is not published."""
        if self._writer is not None:
            # Its finalizer would write to a file that is closed by then.
            with suppress(StorageError, OSError, pa.ArrowException):
                self._writer.close()
            self._writer.is_open = False
        self._output.discard()
