"""Partners' entries between files and compiled lists, under (partner, entry id).

One Parquet file per partner, ``STORE/<partner>/entries.parquet``, sorted by entry id, with a row
per value. It is rewritten whole and renamed: an import is there or it is not. An entry that a
partner withdrew, or stated without a value, keeps a row without one, so that an older page that
comes later does not bring it back. What cannot be read says nothing of an entry, and keeps none.

The file holds what partners sent in confidence: 0600, like the lists compiled from it.
"""

import heapq
import itertools
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.entries import Entry, FieldError, check_discloses_nothing
from ingestgate.blocklists.entry_ids import Spellings, shown_id
from ingestgate.blocklists.formats.reading import Listed
from ingestgate.blocklists.locking import alone
from ingestgate.blocklists.manifest import LIST_ID
from ingestgate.blocklists.signals import SignalType, signal_type

FILE = "entries.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("entry_id", pa.string(), nullable=False),
        pa.field("signal_type", pa.string()),
        pa.field("value", pa.binary()),
        pa.field("category", pa.string(), nullable=False),
        pa.field("feedback", pa.string(), nullable=False),
        pa.field("modified", pa.int64()),
        pa.field("tombstone", pa.bool_(), nullable=False),
    ]
)
_VERSION = b"1"
_VERSION_KEY = b"ingestgate.list_store"
_COUNTS_KEY = b"ingestgate.values"
_BATCH = 16384
_RUN = 262_144  # rows sorted in memory at a time; each takes about half a kilobyte


class Row(NamedTuple):
    """One value of an entry, or the mark that it has none, or (with a type alone) an unread one.

    Attributes:
        source: Which file it came from: 0 the store, 1 the first file of an import...
    """

    entry_id: str
    source: int
    signal_type: str | None
    value: bytes | None
    category: str
    feedback: str
    modified: int | None
    tombstone: bool


class Changes(NamedTuple):
    """What an import did to a partner's entries: numbers of entries.

    Attributes:
        added: They were not there, or withdrawn.
        changed: Their values, category or feedback are others now.
        removed: They were there.
        older: What came was older than what is stored, and left out.
        total: Entries there are now, with values.
        values: Values there are now, by signal type.
    """

    added: int
    changed: int
    removed: int
    older: int
    total: int
    values: dict[str, int]


def apply(
    store: str, partner: str, files: Iterable[Iterable[Listed]], *, snapshot: bool = False
) -> Changes:
    """Applies a partner's files to its entries.

    The entries of one file under one identifier belong together; they replace what was there
    under it, unless both say when they were changed and what was there is younger. Of one
    moment within an import, the later file counts; within a file, an entry counts before its
    removal. Of values that could not be read, those of their type stand that were said before.
    One import of a partner at a time: a second one at once is refused.

    Args:
        store: Folder of partners' entries.
        partner: Whose; names the folder below.
        files: The entries of each file, in the order in which the partner made them.
        snapshot: The files are all there is: what they lack is removed.

    Raises:
        ListError: A file is refused, the store damaged, or another import under way; or a
            snapshot would remove entries that could be what could not be read. Nothing has
            changed then.
        UsageError: The partner's name cannot be a folder's.
        StorageError: Reading or writing failed.
    """
    path = _path(store, partner)
    tally = _Tally()
    with ExitStack() as stack:
        stack.enter_context(alone(storage.parent(path), "import"))
        storage.sweep(storage.parent(path))
        before = _mark(path)
        runs = _sorted_runs(_rows(files), stack)
        rows = heapq.merge(_stored(path), *runs, key=attrgetter("entry_id"))
        with storage.PendingFile(path, private=True) as pending:
            _write(pending.sink, _resolved(rows, tally, snapshot=snapshot), tally)
            if snapshot and not tally.total:
                raise ListError(
                    f"{path}: the files hold no entry, and would remove everything there is"
                )
            if snapshot and tally.nameless and tally.removed:
                raise ListError(
                    f"{path}: {tally.nameless:,} malformed value"
                    f"{' has' if tally.nameless == 1 else 's have'} no identifier, and could be "
                    f"one of the {tally.removed:,} entries that the files lack; import them "
                    "without --snapshot, or ask the partner for other files"
                )
            if _mark(path) != before:  # where there are no locks
                raise ListError(f"{path}: another import changed it meanwhile; import again")
            pending.publish()
    return tally.changes()


def _path(store: str, partner: str) -> str:
    if re.fullmatch(LIST_ID, partner) is None:
        raise UsageError(
            f"partner {partner!r}: wants 1 to 64 letters, digits, '.', '_' or '-', "
            "with a letter or digit at both ends"
        )
    return storage.join(store, partner, FILE)


def _mark(path: str) -> str:
    return storage.status(path).mark if storage.exists(path) else ""


def _rows(files: Iterable[Iterable[Listed]]) -> Iterator[Row]:
    for number, entries in enumerate(files, 1):
        for entry in entries:
            shared = (entry.category, entry.feedback, entry.modified, entry.tombstone)
            for name, value in entry.values:
                yield Row(entry.entry_id, number, name, value, *shared)
            for name in entry.unreadable:
                yield Row(entry.entry_id, number, name, None, *shared)
            if not entry.values and not entry.unreadable:
                yield Row(entry.entry_id, number, None, None, *shared)


def _sorted_runs(rows: Iterator[Row], stack: ExitStack) -> list[Iterator[Row]]:
    """Sorts rows by entry id, runs of them in files without a name when they are many."""
    runs: list[Iterator[Row]] = []
    while run := sorted(itertools.islice(rows, _RUN), key=attrgetter("entry_id")):
        if len(run) < _RUN:
            runs.append(iter(run))
            break
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        schema = _SCHEMA.append(pa.field("source", pa.int32()))
        with pa.ipc.new_stream(file, schema) as writer:
            for start in range(0, len(run), _BATCH):
                writer.write_batch(_batch(run[start : start + _BATCH], schema))
        file.seek(0)
        runs.append(_spilled(cast(BinaryIO, file)))
    return runs


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    columns = [[getattr(row, name) for row in rows] for name in schema.names]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _spilled(file: BinaryIO) -> Iterator[Row]:
    with pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield from _of_batch(batch)


def _of_batch(batch: pa.RecordBatch) -> Iterator[Row]:
    columns = [batch.column(name).to_pylist() for name in _SCHEMA.names]
    sources = [0] * len(batch)
    if "source" in batch.schema.names:
        sources = batch.column("source").to_pylist()
    return itertools.starmap(Row, zip(columns[0], sources, *columns[1:], strict=True))


def _stored(path: str) -> Iterator[Row]:
    if not storage.exists(path):
        return
    with storage.open_read(path) as source, _explaining(path):
        for batch in _open(path, source).iter_batches(_BATCH):
            yield from _of_batch(batch)


@contextmanager
def _explaining(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError):  # whose messages can hold what is in the file
        raise ListError(
            f"{path}: damaged; restore it, or remove it and import the files again"
        ) from None


def _open(path: str, source: BinaryIO) -> pq.ParquetFile:
    parquet = pq.ParquetFile(source)
    metadata = parquet.schema_arrow.metadata or {}
    if metadata.get(_VERSION_KEY) != _VERSION:
        raise ListError(
            f"{path}: not entries as this version stores them; remove it and import the "
            "partner's files again"
        )
    return parquet


class _Tally:
    """Counts while rows pass."""

    def __init__(self) -> None:
        self.added = self.changed = self.removed = self.older = self.total = 0
        self.nameless = 0  # values that could not be read, of nobody knows which entry
        self.values: dict[str, int] = {}

    def changes(self) -> Changes:
        values = dict(sorted(self.values.items()))
        return Changes(self.added, self.changed, self.removed, self.older, self.total, values)


def _resolved(rows: Iterable[Row], tally: _Tally, *, snapshot: bool) -> Iterator[Row]:
    """Yields, of all rows of each entry, those that count; sorted."""
    for entry_id, group in itertools.groupby(rows, key=attrgetter("entry_id")):
        everything = list(group)
        if not entry_id:
            tally.nameless += len(everything)
            continue
        old = [row for row in everything if row.source == 0]
        new = _latest([row for row in everything if row.source])
        kept = [row for row in new if not _is_unread(row)]
        if not new:
            kept = [] if snapshot else old
        elif kept and not snapshot and _is_older(kept, old):
            tally.older += 1
            kept = old
        elif unread := {row.signal_type for row in new if _is_unread(row)}:
            rest = [row for row in everything if row.source not in (0, new[0].source)]
            earlier = [row for row in _latest(rest) if not _is_unread(row)]
            if not earlier or (not snapshot and _is_older(earlier, old)):
                earlier = old
            kept += [row for row in earlier if not kept or row.signal_type in unread]
        before, after = _content(old), _content(kept)
        tally.added += bool(after and not before)
        tally.removed += bool(before and not after)
        tally.changed += bool(before and after and before != after)
        tally.total += bool(after)
        for name, *_ in after:
            tally.values[name] = tally.values.get(name, 0) + 1
        distinct = {row[2:]: row for row in kept}
        for key in sorted(distinct, key=lambda key: (key[0] or "", key[1] or b"", *key[2:4])):
            yield distinct[key]._replace(source=0)


def _content(rows: Iterable[Row]) -> frozenset[tuple[str, bytes, str, str]]:
    return frozenset(
        (row.signal_type, row.value, row.category, row.feedback)
        for row in rows
        if row.signal_type is not None and row.value is not None
    )


def _is_unread(row: Row) -> bool:
    return row.signal_type is not None and row.value is None


def _latest(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows of the latest state among those of one entry that came together.

    A file that holds of it only what cannot be read has no state, if another one has.
    """
    if not rows:
        return []
    stated = [row for row in rows if not _is_unread(row)] or rows
    timed = all(row.modified is not None for row in stated)
    _, last = max((_moment(row) if timed else 0, row.source) for row in stated)
    rows = [row for row in rows if row.source == last]
    # Within a file, rows are values of the entry side by side, however they are dated.
    removed = max((_moment(row) for row in rows if row.tombstone), default=0)
    listed = [row for row in rows if row.signal_type is not None and _moment(row) >= removed]
    return listed or [max(rows, key=lambda row: (row.tombstone, _moment(row)))]


def _moment(row: Row) -> int:
    return 0 if row.modified is None else row.modified


def _is_older(new: Sequence[Row], old: Sequence[Row]) -> bool:
    """Whether all of an entry's new state was made before any of what is stored of it."""
    timed = all(row.modified is not None for row in (*new, *old))
    return bool(old) and timed and max(map(_moment, new)) < max(map(_moment, old))


def _write(sink: BinaryIO, rows: Iterator[Row], tally: _Tally) -> None:
    schema = _SCHEMA.with_metadata({_VERSION_KEY: _VERSION})
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while batch := list(itertools.islice(rows, 4 * _BATCH)):
            writer.write_batch(_batch(batch, _SCHEMA))
        counts = json.dumps(dict(sorted(tally.values.items())))
        writer.add_key_value_metadata({_COUNTS_KEY.decode(): counts})


def stored_entries(store: str, partner: str) -> Iterator[tuple[SignalType, Iterator[Entry]]]:
    """Yields a partner's entries, by signal type, with ids that can be shown.

    Raises:
        ListError: The partner has none, the store is damaged, or an import changed it while it
            was read.
        UsageError: A signal type is unknown: its plug-in is not installed.
        StorageError: It cannot be read.
    """
    path = _path(store, partner)
    if not storage.exists(path):
        raise ListError(
            f"{path}: no entries of that partner; import its files with 'ingestgate lists import'"
        )
    before = _mark(path)
    with storage.open_read(path) as source, _explaining(path):
        metadata = _open(path, source).metadata.metadata or {}
    try:
        names = list(json.loads(metadata[_COUNTS_KEY]))
    except (KeyError, ValueError, TypeError, RecursionError):
        raise ListError(f"{path}: damaged; remove it and import the files again") from None
    if not names:
        raise ListError(f"{path}: the partner withdrew every entry; there is no list to compile")
    for name in names:
        yield signal_type(name), _entries_of(path, name)
    if _mark(path) != before:  # an entry whose type it changed could be in neither
        raise ListError(f"{path}: an import changed it meanwhile; compile again")


def _entries_of(path: str, name: str) -> Iterator[Entry]:
    for entry_id, rows in itertools.groupby(_stored(path), key=attrgetter("entry_id")):
        listed = [
            (row.signal_type, row.value, row.category, row.feedback)
            for row in rows
            if row.signal_type is not None and row.value is not None
        ]
        if not any(kind == name for kind, *_ in listed):
            continue
        values = [(kind, value) for kind, value, *_ in listed]
        shown = shown_id(entry_id, values)
        texts = {text for *_, category, feedback in listed for text in (category, feedback)} - {""}
        spellings = Spellings(values if texts else ())
        for text in texts:
            try:
                check_discloses_nothing(text, spellings)
            except FieldError as error:
                raise ListError(
                    f"{path}, entry {shown}, category or feedback: {error}, and import again"
                ) from None
        for kind, value, category, feedback in listed:
            if kind == name:
                yield Entry(value, shown, category, feedback)
