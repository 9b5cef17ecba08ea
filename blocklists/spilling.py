"""Arrays and sorted rows that outgrow memory go to files without a name, which go by themselves.

So a list of any length is compiled in bounded memory: what is written is read again through a
map, whose pages the system takes back when it needs them.
"""

import itertools
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.temporary import no_room

RUN_BYTES = 1 << 26  # sorted in memory at a time; sorting takes twice as much again
_HELD_BYTES = 1 << 24  # of an array, before it goes to a file
_BLOCK_BYTES = 1 << 20  # of each run, in memory while runs are merged


class GrowingArray:
    """An array that is made piece by piece, in a file once it is large.

    Args:
        kind: Type of its elements.
    """

    def __init__(self, kind: npt.DTypeLike) -> None:
        self._kind = np.dtype(kind)
        self._parts: list[npt.NDArray[Any]] = []
        self._held = 0
        self._file: IO[bytes] | None = None

    def extend(self, values: npt.NDArray[Any]) -> None:
        """Puts values behind those that are there.

        Raises:
            StorageError: There is no room for them.
        """
        part = np.ascontiguousarray(values, self._kind).reshape(-1)
        self._parts.append(part)
        self._held += part.nbytes
        if self._held > _HELD_BYTES:
            self._spill()

    def finished(self) -> npt.NDArray[Any]:
        """Returns the array, of one dimension; nothing more can be put behind it.

        Raises:
            StorageError: There is no room for it.
        """
        if self._file is None:
            return np.concatenate([np.empty(0, self._kind), *self._parts])
        self._spill()
        with self._file as file:
            return np.asarray(np.memmap(file, self._kind, "r"))

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = _unnamed_file(self)
            for part in self._parts:
                self._file.write(part.data)
            self._file.flush()
        except OSError as error:
            raise no_room(error) from error
        self._parts, self._held = [], 0


def _unnamed_file(owner: object) -> IO[bytes]:
    """Makes a file that goes with its owner."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    weakref.finalize(owner, file.close)
    return file


def sorted_batches(batches: Iterable[pa.RecordBatch], key: str) -> Iterator[pa.RecordBatch]:
    """Sorts rows by one column, stably, and yields them in batches of moderate size.

    Runs of at most about `RUN_BYTES` are sorted in memory and merged block by block.

    Args:
        batches: The rows; without nulls.
        key: Name of the column.

    Raises:
        StorageError: There is no room for temporary files.
    """
    runs: list[Iterator[pa.RecordBatch]] = []
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > RUN_BYTES:
            runs.append(_Spilled(_ordered(held, key)))
            held, size = [], 0
    if held:
        runs.append(_ordered(held, key))
    return _merged(runs, key)


def _ordered(batches: list[pa.RecordBatch], key: str) -> Iterator[pa.RecordBatch]:
    """Yields the rows of batches in order, in blocks."""
    table = pa.Table.from_batches(batches)
    table = table.take(pc.sort_indices(table.column(key)))
    rows = max(1, len(table) * _BLOCK_BYTES // max(1, table.nbytes))
    yield from table.combine_chunks().to_batches(max_chunksize=rows)


class _Spilled(Iterator[pa.RecordBatch]):
    """Blocks that are written to a file at once, and read when they are wanted."""

    def __init__(self, blocks: Iterator[pa.RecordBatch]) -> None:
        first = next(blocks)
        try:
            file = _unnamed_file(self)
            with pa.ipc.new_stream(file, first.schema) as writer:
                for block in itertools.chain([first], blocks):
                    writer.write_batch(block)
            file.seek(0)
        except OSError as error:
            raise no_room(error) from error
        self._reader = pa.ipc.open_stream(file)

    def __next__(self) -> pa.RecordBatch:
        return self._reader.read_next_batch()


def _merged(runs: list[Iterator[pa.RecordBatch]], key: str) -> Iterator[pa.RecordBatch]:
    """Merges sorted runs; of equal rows, those of an earlier run come first.

    Each round takes from every run's block what comes before the first of the blocks' ends, and
    then, run after run, what equals that end.
    """
    heads: dict[int, pa.RecordBatch] = {}
    for number, run in enumerate(runs):
        _advance(heads, number, run)
    while len(heads) > 1:
        ends = {number: head.column(key)[-1] for number, head in heads.items()}
        cut = min(ends.values(), key=lambda end: end.as_py())
        before = []
        for number in sorted(heads):
            head = heads[number]
            count = pc.sum(pc.less(head.column(key), cut)).as_py()
            before.append(head.slice(0, count))
            heads[number] = head.slice(count)
        yield from _ordered_unless_empty(before, key)
        for number in sorted(heads):
            while number in heads:
                head = heads[number]
                count = pc.sum(pc.equal(head.column(key), cut)).as_py()
                if count:
                    yield head.slice(0, count)
                if count < len(head):
                    heads[number] = head.slice(count)
                    break
                _advance(heads, number, runs[number])
    for number, head in heads.items():
        yield head
        yield from runs[number]


def _ordered_unless_empty(batches: list[pa.RecordBatch], key: str) -> Iterator[pa.RecordBatch]:
    if any(len(batch) for batch in batches):
        yield from _ordered(batches, key)


def _advance(heads: dict[int, pa.RecordBatch], number: int, run: Iterator[pa.RecordBatch]) -> None:
    """Puts a run's next block, that has rows, in the place of the one before."""
    heads.pop(number, None)
    for block in run:
        if len(block):
            heads[number] = block
            return
