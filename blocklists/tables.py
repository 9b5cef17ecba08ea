"""The Arrow IPC files of a compiled list: uncompressed, memory-mapped, checked when opened.

- ``<signal>.arrow``: columns ``value`` (fixed-size binary) and ``entry`` (uint32, a row of the
  entry table), sorted by value, then entry;
- ``url.hosts.arrow``: SHA-256 of each host that a listed URL lies on, sorted: the paths of
  URLs on other hosts need not be looked at;
- ``<table>.screen.arrow``: the screen of a table of sources, see `screening`: one column ``value``
  (uint32); without it, every source is parsed and looked up;
- ``<signal>.chunks.arrow``: the multi-index of a perceptual hash, see `chunking`: a record batch
  per array, of one column ``value`` (uint32); without it (and with ``<signal>.index.arrow``, the
  multi-index of form 1.0), hashes are compared one by one;
- ``entries.arrow``: columns ``entry_id`` and ``category``, sorted;
- ``feedback.arrow``, where partners passed any on: column ``feedback``, row by row of the entry
  table.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError
from ingestgate.blocklists.chunking import HammingIndex, index_lengths
from ingestgate.blocklists.manifest import ListFile

ENTRIES = "entries"
URL_HOSTS = "url.hosts"
#: Per signal type of sources, what it has screens of; hashed expressions cannot have any.
SCREENS = {"domain": ("domain",), "url": ("url", URL_HOSTS)}
ENTRY_SCHEMA = pa.schema(
    [
        pa.field("entry_id", pa.large_string(), nullable=False),
        pa.field("category", pa.large_string(), nullable=False),
    ]
)
FEEDBACK = "feedback"
FEEDBACK_SCHEMA = pa.schema([pa.field("feedback", pa.large_string(), nullable=False)])
WORDS_SCHEMA = pa.schema([pa.field("value", pa.uint32(), nullable=False)])
SCREEN_BUCKET = 8  # entries
_PIECE = 1 << 20  # bytes written at a time
_NO_ROWS: Final = np.empty(0, np.intp)
_AGAIN = "copy the list again from where it was compiled, or compile it again"
_DAMAGED = f"is damaged; {_AGAIN}"


def file_name(table: str) -> str:
    """Returns the name of a table's file."""
    return f"{table}.arrow"


def index_name(signal: str) -> str:
    """Returns the name of the table that holds a perceptual signal's multi-index."""
    return f"{signal}.chunks"


def screen_name(table: str) -> str:
    """Returns the name of the table that holds the screen of a table of sources."""
    return f"{table}.screen"


def values_schema(width: int, *, with_entry: bool = True) -> pa.Schema:
    """Returns the schema of a table of sorted values of a width in bytes."""
    fields = [pa.field("value", pa.binary(width), nullable=False)]
    if with_entry:
        fields.append(pa.field("entry", pa.uint32(), nullable=False))
    return pa.schema(fields)


@dataclass(frozen=True)
class SortedValues:
    """Fixed-width values in ascending order, and the entry of each.

    Attributes:
        values: uint8, shape (n, width), read-only.
        entries: uint32, shape (n,): rows of the entry table; empty where there is none.
    """

    values: npt.NDArray[np.uint8]
    entries: npt.NDArray[np.uint32]

    @cached_property
    def keys(self) -> npt.NDArray[np.bytes_]:
        """The values as fixed-width strings: equal widths compare as ``memcmp`` does."""
        return as_keys(self.values)

    def find(
        self, queries: npt.NDArray[np.bytes_]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Returns every pair (query, row) of equal values, by query, then row.

        Args:
            queries: Shape (k,), as `as_keys` makes them, of these values' width.
        """
        keys = self.keys
        if not len(keys):
            return _NO_ROWS, _NO_ROWS
        first = keys.searchsorted(queries, "left")
        (hit,) = (keys.take(first, mode="clip") == queries).nonzero()
        if not len(hit):
            return _NO_ROWS, _NO_ROWS
        first = first[hit]
        counts = keys.searchsorted(queries[hit], "right") - first
        # By how much each query's first row is ahead of its first pair's place among all.
        ahead = first - (np.cumsum(counts) - counts)
        return np.repeat(hit, counts), np.arange(counts.sum()) + np.repeat(ahead, counts)


def as_keys(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bytes_]:
    """Views uint8 of shape (n, width) as n fixed-width strings."""
    return np.ascontiguousarray(values).view(f"S{values.shape[1]}").reshape(-1)


def write_ipc(sink: BinaryIO, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> ListFile:
    """Writes record batches as an uncompressed Arrow IPC file; returns its digest and size."""
    hashed = _HashedSink(sink)
    with pa.ipc.new_file(hashed, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return ListFile(sha256=hashed.digest.hexdigest(), size=hashed.size)


class _HashedSink(io.RawIOBase):
    def __init__(self, sink: BinaryIO) -> None:
        super().__init__()
        self._sink = sink
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.digest.update(content)
        size = len(content)
        for start in range(0, size, _PIECE):
            self._sink.write(memoryview(content)[start : start + _PIECE])
        self.size += size
        return size


def sorted_batch(values: SortedValues, *, with_entry: bool = True) -> pa.RecordBatch:
    """Turns sorted values into the record batch their file holds."""
    schema = values_schema(values.values.shape[1], with_entry=with_entry)
    count = len(values.values)
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(
            schema.field("value").type, count, [None, pa.py_buffer(values.values)]
        )
    ]
    if with_entry:
        columns.append(pa.array(values.entries, pa.uint32()))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class TableFiles:
    """Opens the files of one compiled list.

    Args:
        directory: Where the list lies.
        files: What its ``list.json`` says of each file.
        verify: Check each file's SHA-256 and the order of what is sorted. Without it, only
            sizes, schemas and counts are checked, which touches no page of the values.
    """

    def __init__(self, directory: str, files: dict[str, ListFile], *, verify: bool) -> None:
        self._directory = directory
        self._files = files
        self._verify = verify

    def sorted_values(
        self, table: str, width: int, count: int | None, entries: int
    ) -> SortedValues:
        """Returns a table of sorted values.

        Args:
            table: Its name.
            width: Bytes of one value.
            count: How many there must be; None where ``list.json`` does not say.
            entries: Rows of the entry table; 0 where values have no entry.

        Raises:
            ListError: The file is not what it must be.
        """
        schema = values_schema(width, with_entry=entries > 0)
        (batch,) = self._batches(table, schema, 1)
        if count is not None and batch.num_rows != count:
            raise self._refuse(
                table, f"holds {batch.num_rows} values, list.json says {count}; {_AGAIN}"
            )
        values = self._fixed_width(table, batch.column(0), width)
        rows = _unsigned(batch.column(1)) if entries else np.empty(0, np.uint32)
        if self._verify:
            keys = as_keys(values)
            if not bool(np.all(keys[:-1] <= keys[1:])):
                raise self._refuse(table, "is not sorted; compile the list again")
            if entries and int(rows.max(initial=0)) >= entries:
                raise self._refuse(table, "names entries that are not there; compile it again")
        return SortedValues(values, rows)

    def entries(self, count: int) -> pa.RecordBatch:
        """Returns the entry table.

        Raises:
            ListError: The file is not what it must be.
        """
        return self._rows(ENTRIES, ENTRY_SCHEMA, count)

    def feedback(self, count: int) -> pa.Array | None:
        """Returns the feedback on each row of the entry table; None where there is none.

        Raises:
            ListError: The file is not what it must be.
        """
        if file_name(FEEDBACK) not in self._files:
            return None
        return self._rows(FEEDBACK, FEEDBACK_SCHEMA, count).column(0)

    def _rows(self, table: str, schema: pa.Schema, count: int) -> pa.RecordBatch:
        (batch,) = self._batches(table, schema, 1)
        if batch.num_rows != count:
            raise self._refuse(
                table, f"holds {batch.num_rows} rows, list.json says {count}; {_AGAIN}"
            )
        return batch

    def index(self, signal: str, values: SortedValues) -> HammingIndex:
        """Returns the multi-index of a perceptual signal.

        Args:
            signal: Its name.
            values: Its hashes.

        Raises:
            ListError: The file is not what it must be.
        """
        table = index_name(signal)
        batches = self._batches(table, WORDS_SCHEMA, len(HammingIndex._fields))
        index = HammingIndex(*(_unsigned(batch.column(0)) for batch in batches))
        lengths = index_lengths(index.layout, values.values.shape[1], len(values.values))
        if tuple(len(array) for array in index) != lengths:
            raise self._refuse(table, "has not the size its list needs; compile it again")
        if self._verify:
            # numba takes half a second to import: only lists that have an index need it.
            from ingestgate.blocklists import indexing

            if not indexing.is_index_of(index, values.values):
                raise self._refuse(table, f"does not fit {file_name(signal)}; {_AGAIN}")
        return index

    def screen(self, table: str, values: SortedValues) -> npt.NDArray[np.uint32] | None:
        """Returns the screen of a table of sources; None where the list has none.

        Args:
            table: Its name.
            values: What the table holds.

        Raises:
            ListError: The file is not what it must be.
        """
        name = screen_name(table)
        if file_name(name) not in self._files:
            return None
        (batch,) = self._batches(name, WORDS_SCHEMA, 1)
        buckets, rest = divmod(batch.num_rows, SCREEN_BUCKET)
        if rest or buckets < 2 or buckets & (buckets - 1):
            raise self._refuse(name, "has not the size of a screen; compile the list again")
        screen = _unsigned(batch.column(0))
        if self._verify and not _may_be_screen_of(screen, values):
            raise self._refuse(name, f"does not fit {file_name(table)}; {_AGAIN}")
        return screen

    def _batches(self, table: str, schema: pa.Schema, count: int) -> list[pa.RecordBatch]:
        buffer = self._open(table)
        try:
            reader = pa.ipc.open_file(buffer)
            if not reader.schema.equals(schema):
                raise self._refuse(
                    table,
                    "has other columns or widths than its signal type; ask the partner for values "
                    "of that type, and compile the list again",
                )
            if reader.num_record_batches != count:
                raise self._refuse(table, f"has another number of record batches; {_AGAIN}")
            batches = [reader.get_batch(number) for number in range(count)]
            for batch in batches:
                batch.validate(full=self._verify)
        except (pa.ArrowException, OSError) as error:
            raise self._refuse(table, _DAMAGED) from error
        if any(column.null_count for batch in batches for column in batch.columns):
            raise self._refuse(table, _DAMAGED)
        return batches

    def _open(self, table: str) -> pa.Buffer:
        """Maps a local file into memory; a remote one is read, for there is nothing to map."""
        name = file_name(table)
        path = storage.join(self._directory, name)
        stated = self._files.get(name)
        if stated is None:
            raise self._refuse(table, "is not named in list.json; compile the list again")
        try:
            if storage.is_remote(path):
                buffer = pa.py_buffer(storage.read_bytes(path))
            else:
                with pa.memory_map(path) as mapped:
                    buffer = mapped.read_buffer()
        except OSError as error:
            raise self._refuse(
                table,
                f"cannot be read ({type(error).__name__}); check its permissions, or copy it again",
            ) from error
        if buffer.size != stated.size:
            raise self._refuse(
                table, f"has {buffer.size} bytes, list.json says {stated.size}; {_DAMAGED}"
            )
        if self._verify and hashlib.sha256(buffer).hexdigest() != stated.sha256:
            raise self._refuse(table, f"has not the SHA-256 that list.json says; {_DAMAGED}")
        return buffer

    def _fixed_width(self, table: str, column: pa.Array, width: int) -> npt.NDArray[np.uint8]:
        buffer = column.buffers()[1]
        if buffer is None or buffer.size < len(column) * width:
            raise self._refuse(table, _DAMAGED)
        flat = np.frombuffer(buffer, np.uint8, len(column) * width)
        return flat.reshape(-1, width)

    def _refuse(self, table: str, problem: str) -> ListError:
        return ListError(f"{storage.join(self._directory, file_name(table))} {problem}")


def _may_be_screen_of(screen: npt.NDArray[np.uint32], values: SortedValues) -> bool:
    """Whether a screen holds as many expressions as a table, and has the room that it needs."""
    keys = values.keys
    distinct = int(np.count_nonzero(keys[1:] != keys[:-1])) + 1
    held = int(np.count_nonzero(screen))
    # Of a million expressions or more, two may happen to have one fingerprint.
    return distinct - (distinct >> 20) <= held <= min(distinct, len(screen) // 2)


def _unsigned(column: pa.Array) -> npt.NDArray[np.uint32]:
    # Not `to_numpy`, which imports pandas: a quarter of a second in every worker.
    return np.frombuffer(column.buffers()[1], np.uint32, len(column), 4 * column.offset)
