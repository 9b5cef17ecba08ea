"""Entries to what a compiled list holds: values sorted and joined with the table of entries.

The same entries in any order give the same content. What does not fit into memory goes to
temporary files, see `spilling`: everything of a long list is such a file, mapped.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.blocklists import tables
from ingestgate.blocklists.entries import Entry
from ingestgate.blocklists.manifest import DomainScope
from ingestgate.blocklists.signals import SignalType, signal_type
from ingestgate.blocklists.sources import expression_digest
from ingestgate.blocklists.spilling import GrowingArray, sorted_batches
from ingestgate.blocklists.tables import SortedValues

_BATCH = 65536
_KEYED = pa.schema(
    [
        # entry id, category, feedback, NUL between: none holds control characters
        pa.field("key", pa.large_string()),
        pa.field("signal", pa.int32()),
        pa.field("value", pa.large_binary()),
    ]
)


class Content(NamedTuple):
    """What a list holds, ready to be matched in memory or written.

    Attributes:
        values: Per signal type, its values.
        url_hosts: SHA-256 of the hosts listed URLs lie on; None without URLs.
        entries: The entry table.
        feedback: Feedback on each row of the entry table; None where there is none.
        screens: Of tables of sources, see `screening`.
    """

    values: Mapping[str, SortedValues]
    url_hosts: SortedValues | None
    entries: pa.RecordBatch
    feedback: pa.Array | None
    screens: Mapping[str, npt.NDArray[np.uint32]]


def build(
    sources: Iterable[tuple[SignalType, Iterable[Entry]]],
    *,
    domain_scope: DomainScope = "subdomains",
) -> Content:
    """Sorts and joins entries into what a list holds.

    Args:
        sources: Signal types with their entries; a type may come several times.
        domain_scope: What a domain entry without a wildcard covers.

    Raises:
        StorageError: There is no room for temporary files.
    """
    gathered = _Gathered(domain_scope)
    table = _EntryTable()
    rows: dict[str, _Rows] = {}
    # By key: so each value learns the row of its entry in the sorted table as it passes.
    for batch in sorted_batches(gathered.batches(sources), "key"):
        numbers = table.extend(batch.column("key"))
        signals = batch.column("signal").to_numpy()
        for signal in np.unique(signals):
            name = gathered.names[signal]
            of_signal = signals == signal
            stored = _flat(batch.column("value").filter(pa.array(of_signal)))
            width = signal_type(name).width
            rows.setdefault(name, _Rows(width)).extend(stored, numbers[of_signal])
    # In the order in which the types came first, as matching looks them up.
    values = {name: rows.pop(name).sorted() for name in gathered.names if name in rows}
    entries, feedback = table.finished()
    pa.default_memory_pool().release_unused()
    return Content(values, gathered.url_hosts(), entries, feedback, gathered.screens())


class _Gathered:
    """Entries as keyed rows, and aside what screens and hosts are made of."""

    def __init__(self, scope: DomainScope) -> None:
        self.names: list[str] = []
        self._scope = scope
        self._hosts: _Rows | None = None
        self._fingerprints: dict[str, GrowingArray] = {}

    def batches(
        self, sources: Iterable[tuple[SignalType, Iterable[Entry]]]
    ) -> Iterator[pa.RecordBatch]:
        for signal, entries in sources:
            if signal.name not in self.names:
                self.names.append(signal.name)
            number = self.names.index(signal.name)
            stream = iter(entries)
            while batch := tuple(itertools.islice(stream, _BATCH)):
                keys = [f"{e.entry_id}\0{e.category}\0{e.feedback}" for e in batch]
                stored = self._stored(signal, batch)
                columns = [keys, np.full(len(batch), number, np.int32), stored]
                arrays = [pa.array(*pair) for pair in zip(columns, _KEYED.types, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=_KEYED)

    def _stored(self, signal: SignalType, batch: Sequence[Entry]) -> list[bytes]:
        """Returns what a list holds of entries."""
        if signal.name == "url":
            hosts = sorted({entry.value.partition(b"/")[0] for entry in batch})
            self._hosts = self._hosts or _Rows(signal.width)
            digests = b"".join(expression_digest(host) for host in hosts)
            self._hosts.extend(np.frombuffer(digests, np.uint8), np.zeros(len(hosts), np.uint32))
            self._note(tables.URL_HOSTS, hosts)
            expressions = [entry.value for entry in batch]
        elif signal.name == "domain":
            expressions = [domain_expression(entry.value, self._scope) for entry in batch]
        else:
            return [entry.value for entry in batch]
        self._note(signal.name, expressions)
        return [expression_digest(one) for one in expressions]

    def _note(self, table: str, expressions: Sequence[bytes]) -> None:
        # numba takes half a second to import: only lists of sources and perceptual hashes need it.
        from ingestgate.blocklists import screening

        found = self._fingerprints.setdefault(table, GrowingArray(np.uint64))
        found.extend(screening.fingerprints(table, expressions))

    def url_hosts(self) -> SortedValues | None:
        if self._hosts is None:
            return None
        return SortedValues(self._hosts.sorted().values, np.empty(0, np.uint32))

    def screens(self) -> dict[str, npt.NDArray[np.uint32]]:
        screens = {}
        for table, found in self._fingerprints.items():
            from ingestgate.blocklists import screening

            screens[table] = screening.build_screen(_distinct(found.finished()))
        return screens


def domain_expression(value: bytes, scope: DomainScope) -> bytes:
    """Returns the expression of a domain, which may say itself what it covers."""
    if value[:1] == b".":
        return value[1:]
    return b"=" + value if scope == "exact" and value[:1] not in (b"*", b"=") else value


def _distinct(fingerprints: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Returns distinct numbers in ascending order."""
    batches = (
        pa.RecordBatch.from_arrays([pa.array(fingerprints[start : start + _BATCH])], ["value"])
        for start in range(0, len(fingerprints), _BATCH)
    )
    distinct = GrowingArray(np.uint64)
    last: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
    for batch in sorted_batches(batches, "value"):
        values = np.concatenate([last, batch.column(0).to_numpy()])
        kept = np.ones(len(values), bool)
        kept[1:] = values[1:] != values[:-1]
        kept[: len(last)] = False
        distinct.extend(values[kept])
        last = values[-1:]
    return distinct.finished()


class _Rows:
    """Values of one width, and the entry of each, as they come."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._values = GrowingArray(np.uint8)
        self._entries = GrowingArray(np.uint32)

    def extend(self, values: npt.NDArray[np.uint8], entries: npt.NDArray[np.uint32]) -> None:
        self._values.extend(values)
        self._entries.extend(entries)

    def sorted(self) -> SortedValues:
        """Returns them by value, then as they came, without what comes twice in a row."""
        given, numbers = self._values.finished(), self._entries.finished()
        given = given.reshape(-1, self._width)
        batches = (
            tables.sorted_batch(
                SortedValues(given[start : start + _BATCH], numbers[start : start + _BATCH])
            )
            for start in range(0, len(given), _BATCH)
        )
        values, entries = GrowingArray(np.uint8), GrowingArray(np.uint32)
        last: tuple[bytes, int] | None = None
        for batch in sorted_batches(batches, "value"):
            found = _flat(batch.column(0)).reshape(-1, self._width)
            rows = batch.column(1).to_numpy()
            kept = np.ones(len(rows), bool)
            kept[1:] = (found[1:] != found[:-1]).any(axis=1) | (rows[1:] != rows[:-1])
            kept[0] = (found[0].tobytes(), int(rows[0])) != last
            last = found[-1].tobytes(), int(rows[-1])
            values.extend(found[kept])
            entries.extend(rows[kept])
        return SortedValues(values.finished().reshape(-1, self._width), entries.finished())


class _EntryTable:
    """The distinct entries, made from sorted keys."""

    def __init__(self) -> None:
        self._columns = [_Texts() for _ in range(3)]
        self._count = 0
        self._last: str | None = None

    def extend(self, keys: pa.Array) -> npt.NDArray[np.uint32]:
        """Takes sorted keys that come after those before; returns the row of each."""
        new = np.ones(len(keys), bool)
        new[1:] = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
        new[0] = keys[0].as_py() != self._last
        self._last = keys[-1].as_py()
        parts = pc.split_pattern(keys.filter(pa.array(new)), "\0")
        for place, column in enumerate(self._columns):
            column.extend(pc.list_element(parts, place))
        rows = self._count + np.cumsum(new) - 1
        self._count = int(rows[-1]) + 1
        return rows.astype(np.uint32)

    def finished(self) -> tuple[pa.RecordBatch, pa.Array | None]:
        """Returns the table, and the feedback on each of its rows if there is any."""
        *columns, feedback = (column.finished() for column in self._columns)
        table = pa.RecordBatch.from_arrays(columns, schema=tables.ENTRY_SCHEMA)
        return table, feedback if pc.sum(pc.binary_length(feedback)).as_py() else None


class _Texts:
    """A column of texts that is made piece by piece."""

    def __init__(self) -> None:
        self._offsets = GrowingArray(np.int64)
        self._offsets.extend(np.zeros(1, np.int64))
        self._data = GrowingArray(np.uint8)
        self._size = 0

    def extend(self, texts: pa.Array) -> None:
        ends = np.cumsum(pc.binary_length(texts).to_numpy(), dtype=np.int64) + self._size
        self._offsets.extend(ends)
        self._data.extend(_flat(texts))
        self._size = int(ends[-1]) if len(ends) else self._size

    def finished(self) -> pa.Array:
        offsets = self._offsets.finished()
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._data.finished())]
        return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


def _flat(column: pa.Array) -> npt.NDArray[np.uint8]:
    """Returns the bytes of a column of fixed or other width, one value behind the other."""
    *_, data = column.buffers()
    if data is None or not len(column):
        return np.empty(0, np.uint8)
    if pa.types.is_fixed_size_binary(column.type):
        width = column.type.byte_width
        return np.frombuffer(data, np.uint8, len(column) * width, column.offset * width)
    offsets = np.frombuffer(column.buffers()[1], np.int64, len(column) + 1, 8 * column.offset)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
