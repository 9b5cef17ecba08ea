"""URL manifests: rows that say where a picture lies, and perhaps what its digest is.

Parquet, CSV with a header, or JSON Lines. Nothing is ever fetched: rows are filtered, and
those that stay are written as they stood, in CSV and JSON Lines byte for byte.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestgate.assets import storage
from ingestgate.assets.containers import row_groups
from ingestgate.assets.containers.arrow_text import is_identifier, is_list, readable_table
from ingestgate.assets.containers.byte_columns import refuse_bytes
from ingestgate.assets.containers.container import OutputFile, ReadOptions, RowWriter
from ingestgate.assets.containers.delimited import Csv, Dialect, JsonLines, chosen
from ingestgate.assets.containers.output import PendingOutput
from ingestgate.assets.errors import ShardError
from ingestgate.assets.naming import spelled
from ingestgate.assets.pending import Pending
from ingestgate.assets.shard import Shard, WorkRange

_DIALECTS: dict[str, Dialect] = {"csv": Csv(), "jsonl": JsonLines(), "ndjson": JsonLines()}
_HEADER_BLOCK = 64 << 10
#: A record longer than this is taken for a quote that was never closed.
LONGEST_RECORD = 64 << 20

_POINTER = re.compile(
    r"(^|[_\W]|[^_\W]{2})ur[li]s?($|[_\W\d])"  # also of two letters and more: imageurl, not curl
    r"|(^|[_\W])(links?|href|md5(sum)?|sha_?-?(1|224|256|384|512)(sum)?|pdq|phash)($|[_\W])"
)


def is_manifest(schema: pa.Schema) -> bool:
    """Whether a column, at any depth, is called like a URL (``page_url``) or a digest (``md5``)."""
    return any(_points(field) for field in schema)


def _points(field: pa.Field) -> bool:
    name = spelled(field.name)
    children = map(field.type.field, range(field.type.num_fields))
    if not field.type.num_fields:
        return bool(_POINTER.search(name)) and _is_textual(field.type)
    # What a list's items are called says nothing; its own name does.
    return any(
        _points(child.with_name(name) if is_list(field.type) else child) for child in children
    )


def _is_textual(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    tests = (types.is_string, types.is_large_string, types.is_string_view, is_identifier)
    return any(test(kind) for test in tests)


class UrlManifest:
    """Manifests of URLs and digests (see `container.RowContainer`).

    The unit of a range is the row group (Parquet) or the byte (CSV, JSON Lines). A CSV's header
    and a byte order mark stand before the first range; rows are counted after them.
    """

    name: ClassVar[str] = "url-manifest"

    def cut(self, shard: Shard, options: ReadOptions) -> list[WorkRange]:
        """Cuts between records, into ranges of about ``range_bytes``."""
        dialect = _dialect(shard)
        if dialect is None:
            with row_groups.opened(shard) as parquet:
                _refuse_bytes(shard, parquet.schema_arrow)
            return row_groups.cut_row_groups(shard, options.range_bytes)
        with storage.open_read(shard.path) as source:
            start = len(_header(source, shard, dialect))
            source.seek(start)
            starts, firsts = [], []
            row = 0
            for piece, count in _pieces(source, shard, dialect, start, options.range_bytes):
                starts.append(start)
                firsts.append(row)
                start += piece
                row += count
        # Without any record there is one range, an empty one.
        starts, firsts = starts or [start], firsts or [0]
        stops = [*starts[1:], start]
        return [
            WorkRange(number, len(starts), *span)
            for number, span in enumerate(zip(starts, stops, firsts, strict=True))
        ]

    def range_sha256(self, shard: Shard, work: WorkRange) -> str:
        """Returns SHA-256 of the header and the range's bytes; for Parquet, `row_groups_sha256`."""
        dialect = _dialect(shard)
        if dialect is None:
            return row_groups.row_groups_sha256(shard, work)
        header, data = _load(shard, dialect, work)
        return hashlib.sha256(header + data).hexdigest()

    def read_rows(self, shard: Shard, work: WorkRange) -> pa.Table:
        """Returns a range's rows, times and short binary made readable; text as it is."""
        dialect = _dialect(shard)
        if dialect is None:
            with row_groups.opened(shard) as parquet:
                _refuse_bytes(shard, parquet.schema_arrow)
                groups = range(work.start, work.stop)
                return readable_table(row_groups.held_rows(parquet, groups))
        header, data = _load(shard, dialect, work)
        return dialect.table(data, header, shard.name, work.start)

    def rewrite_rows(self, shard: Shard, output_root: str) -> RowWriter:
        """Returns a writer of the shard's file."""
        dialect = _dialect(shard)
        if dialect is None:
            return row_groups.RowGroupWriter(shard, output_root)
        return RecordWriter(shard, output_root, dialect)

    def package_rows(
        self, shard: Shard, work: WorkRange, rows: npt.NDArray[np.bool_]
    ) -> list[tuple[str, bytes]]:
        """Returns the chosen rows as one small manifest of the same format."""
        dialect = _dialect(shard)
        if dialect is None:
            with row_groups.opened(shard) as parquet:
                groups = range(work.start, work.stop)
                content = row_groups.chosen_rows(parquet, groups, rows)
            return [(f"rows-{work.number}.parquet", content)]
        header, data = _load(shard, dialect, work)
        lines = dialect.lines(data, shard.name, work.start, final=True)
        content = header + chosen(data, lines, rows, blanks=False)
        return [(f"rows-{work.number}.{dialect.suffix}", content)]


class RecordWriter(Pending):
    """Writes the records of a CSV or JSON Lines file that stay (a `container.RowWriter`)."""

    def __init__(self, shard: Shard, output_root: str, dialect: Dialect) -> None:
        self._shard = shard
        self._dialect = dialect
        self._output = PendingOutput(output_root, shard.name)
        self._ranges = self._written = 0

    def write(self, work: WorkRange, keep: npt.NDArray[np.bool_]) -> None:
        """Writes the records of a range for which ``keep`` is true; ranges come in order.

        Raises:
            ShardError: The range holds another number of records, or is not the next one.
        """
        header, data = _load(self._shard, self._dialect, work)
        lines = self._dialect.lines(data, self._shard.name, work.start, final=True)
        if lines.number != len(keep) or work.number != self._written:
            raise ShardError(self._shard.name, f"range {work.number} is not what was judged")
        if not self._written:
            self._output.write(header)
        self._output.write(chosen(data, lines, keep))
        self._written += 1
        self._ranges = work.total

    def publish(self) -> list[OutputFile]:
        """Renames the file to its final name.

        Raises:
            ShardError: Not all ranges were decided on.
        """
        if not self._written or self._written < self._ranges:
            raise ShardError(self._shard.name, f"range {self._written} was not decided on")
        return [self._output.publish()]

    def discard(self) -> None:
        """Removes what is not published."""
        self._output.discard()


def _refuse_bytes(shard: Shard, schema: pa.Schema) -> None:
    remedy = "read it as --format parquet, or without saying a format"
    refuse_bytes(shard.name, schema, "", remedy)


def _dialect(shard: Shard) -> Dialect | None:
    """Returns how a shard's bytes are divided into records; None for Parquet."""
    return _DIALECTS.get(shard.name.lower().rpartition(".")[2])


def _load(shard: Shard, dialect: Dialect, work: WorkRange) -> tuple[bytes, bytes]:
    """Returns the header and a range's bytes."""
    with storage.open_read(shard.path) as source:
        header = _header(source, shard, dialect)
        source.seek(work.start)
        data = _read(source, shard, work.stop - work.start)
    if len(data) < work.stop - work.start:
        raise ShardError(shard.name, f"is truncated at byte {work.start + len(data)}")
    return header, data


def _header(source: BinaryIO, shard: Shard, dialect: Dialect) -> bytes:
    size = _HEADER_BLOCK
    while True:
        source.seek(0)
        begin = _read(source, shard, size)
        final = len(begin) < size
        end = dialect.header(begin, shard.name, final=final)
        if end is not None:
            return begin[:end]
        if size > LONGEST_RECORD:
            raise ShardError(shard.name, "its header does not end; is there a quote too many?")
        size *= 4


def _pieces(
    source: BinaryIO, shard: Shard, dialect: Dialect, at: int, size: int
) -> Iterator[tuple[int, int]]:
    """Yields length in bytes and number of records of each range."""
    rest = b""
    wanted = size
    final = False
    while not final:
        more = _read(source, shard, wanted)
        final = len(more) < wanted
        data = rest + more
        lines = dialect.lines(data, shard.name, at, final=final)
        end = int(lines.ends[-1]) if lines.ends.size else 0
        if end:
            yield end, lines.number
        elif len(data) > LONGEST_RECORD:
            problem = f"the record at byte {at} does not end; is there a quote too many?"
            raise ShardError(shard.name, problem)
        at += end
        rest = data[end:]
        # A record that is longer than a range takes twice as much each time.
        wanted = max(size - len(rest), 1) if end else len(data)


def _read(source: BinaryIO, shard: Shard, size: int) -> bytes:
    """Reads as many bytes as there are, up to ``size``."""
    parts = []
    try:
        while size > 0 and (part := source.read(size)):
            parts.append(part)
            size -= len(part)
    except OSError as error:
        raise ShardError(shard.name, f"cannot be read ({type(error).__name__})") from error
    return b"".join(parts)
