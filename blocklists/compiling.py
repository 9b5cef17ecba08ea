"""Entries to the compiled, memory-mapped form of one list version.

The same entries, in any order, with the same arguments give the same bytes: values are sorted,
repeated entries dropped, and nothing of the machine or the moment goes in. A list version is
immutable. ``list.json`` is written last, so that a compilation that was killed leaves no list.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.assets.verdict import Action, SignalKind
from ingestgate.blocklists import tables
from ingestgate.blocklists.canaries import canary_ids, with_canaries
from ingestgate.blocklists.changes import Version, changes_since, open_version, version_before
from ingestgate.blocklists.entries import Entry, read_entries
from ingestgate.blocklists.manifest import (
    LIST_ID,
    MANIFEST,
    DomainScope,
    ListInfo,
    read_manifest,
    utc_seconds,
)
from ingestgate.blocklists.signals import SignalType, signal_type
from ingestgate.blocklists.sources import expression_digest
from ingestgate.blocklists.store import stored_entries
from ingestgate.blocklists.tables import SortedValues

_BATCH = 65536


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


def compile_list(
    *,
    id: str,
    version: int,
    sources: Sequence[tuple[str, str]],
    to: str,
    issued: datetime | None = None,
    expires: datetime | None = None,
    partner: str = "",
    store: str | None = None,
    thresholds: Mapping[str, int] | None = None,
    action: str = Action.QUARANTINE,
    domain_scope: DomainScope = "subdomains",
) -> ListInfo:
    """Compiles files of entries into the directory ``TO/<id>-<version>/``.

    Args:
        id: Name of the list: letters, digits, ``.``, ``_`` and ``-``, at most 64.
        version: Positive; of several versions of a list, only the highest is used.
        sources: Pairs of signal type and file, see `entries.read_entries`.
        to: Folder of compiled lists.
        issued: When the partner issued this version; with a time zone, kept in seconds. None:
            what the version says that is there already, else now.
        expires: When it goes stale; a run refuses it from then on.
        partner: Who supplies it.
        store: Folder of partners' entries, see `store`: those of the partner are compiled too.
        thresholds: Largest matching distances, where not the signal type's own.
        action: What a match does, an `Action`.
        domain_scope: Whether a domain entry covers what is below it or that host only.

    Returns:
        What the list says of itself, and how many entries were added, removed and changed since
        the highest version below it that lies in ``to``.

    Raises:
        ListError: A file is refused, the version before is damaged, or this version exists with
            other content.
        UsageError: The arguments do not fit together.
        StorageError: Reading or writing failed.
    """
    if re.fullmatch(LIST_ID, id) is None:
        raise UsageError(
            f"list id {id!r}: wants 1 to 64 letters, digits, '.', '_' or '-', "
            "with a letter or digit at both ends"
        )
    if not sources and store is None:
        raise UsageError(
            f"list {id}: no source given; a list needs at least one TYPE=FILE, or a store"
        )
    if action not in tuple(Action):
        raise UsageError(f"list {id}: action {action!r} is none of {', '.join(Action)}")
    stored = () if store is None else stored_entries(store, partner)
    every = with_canaries(itertools.chain(_read(id, sources), stored))
    content = build(every, domain_scope=domain_scope)
    info = describe(
        content,
        id=id,
        version=version,
        issued=utc_seconds(issued or _issued_before(to, id, version), "issued"),
        expires=None if expires is None else utc_seconds(expires, "expires"),
        partner=partner,
        thresholds=thresholds or {},
        action=Action(action),
        domain_scope=domain_scope,
        canaries=canary_ids(content.values),
    )
    if before := version_before(to, info):
        after = Version(info, content.values, content.entries, content.feedback)
        changes = changes_since(open_version(before), after)
        info = info.model_copy(update={"changes": changes})
    return _write(storage.join(to, f"{id}-{version}"), info, _files(content, info.thresholds))


def _issued_before(to: str, id: str, version: int) -> datetime:
    manifest = storage.join(to, f"{id}-{version}", MANIFEST)
    if not storage.exists(manifest):
        return datetime.now(UTC)
    return read_manifest(manifest, storage.read_bytes(manifest)).issued


def _read(
    list_id: str, sources: Sequence[tuple[str, str]]
) -> Iterator[tuple[SignalType, Iterator[Entry]]]:
    seen: dict[str, int] = {}
    for name, path in sources:
        seen[name] = seen.get(name, 0) + 1
        # The ids of a second file of a type would otherwise repeat the first one's.
        label = list_id if seen[name] == 1 else f"{list_id}.{seen[name]}"
        yield signal_type(name), read_entries(name, path, name=label)


def describe(content: Content, *, thresholds: Mapping[str, int], **fields: object) -> ListInfo:
    """Returns what a list with some content says of itself, but for its files.

    Raises:
        UsageError: A field does not fit.
    """
    own = {
        name: signal_type(name).threshold
        for name in content.values
        if signal_type(name).kind is SignalKind.PERCEPTUAL
    }
    try:
        return ListInfo.model_validate(
            {
                **fields,
                "counts": {name: len(table.values) for name, table in content.values.items()},
                "entries": content.entries.num_rows,
                "thresholds": {**own, **thresholds},
            }
        )
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        said = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"list {fields.get('id')}: {place} {said}".strip()) from None


def build(
    sources: Iterable[tuple[SignalType, Iterable[Entry]]],
    *,
    domain_scope: DomainScope = "subdomains",
) -> Content:
    """Sorts and joins entries into what a list holds.

    Args:
        sources: Signal types with their entries; a type may come several times.
        domain_scope: What a domain entry without a wildcard covers.
    """
    gathered: dict[str, list[_Columns]] = {}
    hosts: set[bytes] = set()
    fingerprints: dict[str, list[npt.NDArray[np.uint64]]] = {}
    for signal, entries in sources:
        columns = gathered.setdefault(signal.name, [])
        stream = iter(entries)
        while batch := tuple(itertools.islice(stream, _BATCH)):
            if signal.name == "url":
                hosts.update(entry.value.partition(b"/")[0] for entry in batch)
            expressions = _expressions(signal, batch, domain_scope)
            columns.append(_columns(signal, batch, expressions))
            if expressions:
                found = _fingerprints(signal.name, expressions)
                fingerprints.setdefault(signal.name, []).append(found)
    names = list(gathered)
    every = [column for name in names for column in gathered[name]]
    entry_table, feedback, numbers = _entry_table(pa.chunked_array([c.keys for c in every]))
    values = {}
    start = 0
    for name in names:
        joined = np.concatenate([column.values for column in gathered.pop(name)])
        values[name] = _sorted(joined, numbers[start : start + len(joined)])
        start += len(joined)
    url_hosts = None
    if hosts:
        digests = b"".join(sorted(expression_digest(host) for host in hosts))
        array = np.frombuffer(digests, np.uint8).reshape(-1, signal_type("url").width)
        url_hosts = SortedValues(array, np.empty(0, np.uint32))
        fingerprints[tables.URL_HOSTS] = [_fingerprints(tables.URL_HOSTS, sorted(hosts))]
    return Content(values, url_hosts, entry_table, feedback, _screens(fingerprints))


def _expressions(
    signal: SignalType, batch: Sequence[Entry], domain_scope: DomainScope
) -> list[bytes]:
    """Returns the expressions of domains and URLs; none of other entries."""
    if signal.name == "domain":
        return [_domain_expression(entry.value, domain_scope) for entry in batch]
    return [entry.value for entry in batch] if signal.name == "url" else []


def _fingerprints(table: str, expressions: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    # numba takes half a second to import: only lists of sources and perceptual hashes need it.
    from ingestgate.blocklists import screening

    return screening.fingerprints(table, expressions)


def _screens(
    fingerprints: Mapping[str, Sequence[npt.NDArray[np.uint64]]],
) -> dict[str, npt.NDArray[np.uint32]]:
    if not fingerprints:
        return {}
    from ingestgate.blocklists import screening

    return {
        table: screening.build_screen(np.concatenate(found))
        for table, found in fingerprints.items()
    }


class _Columns(NamedTuple):
    values: npt.NDArray[np.uint8]
    keys: pa.Array  # entry id, category, feedback, NUL between: none holds control characters


def _columns(signal: SignalType, batch: Sequence[Entry], expressions: Sequence[bytes]) -> _Columns:
    digests = (expression_digest(one) for one in expressions)
    stored = b"".join(digests if expressions else (entry.value for entry in batch))
    values = np.frombuffer(stored, np.uint8).reshape(-1, signal.width)
    keys = [f"{entry.entry_id}\0{entry.category}\0{entry.feedback}" for entry in batch]
    return _Columns(values, pa.array(keys, pa.large_string()))


def _domain_expression(value: bytes, scope: DomainScope) -> bytes:
    """Returns the expression of a domain, which may say itself what it covers."""
    if value[:1] == b".":
        return value[1:]
    return b"=" + value if scope == "exact" and value[:1] not in (b"*", b"=") else value


def _entry_table(
    keys: pa.ChunkedArray,
) -> tuple[pa.RecordBatch, pa.Array | None, npt.NDArray[np.uint32]]:
    """Returns the sorted table of distinct entries, their feedback, and each key's row in it."""
    encoded = keys.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), np.uint32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.uint32)
    parts = pc.split_pattern(encoded.dictionary.take(order), "\0")
    table = pa.RecordBatch.from_arrays(
        [pc.list_element(parts, 0), pc.list_element(parts, 1)], schema=tables.ENTRY_SCHEMA
    )
    feedback = pc.list_element(parts, 2)
    said = pc.any(pc.not_equal(feedback, "")).as_py()
    return table, feedback if said else None, rank[encoded.indices.to_numpy()]


def _sorted(values: npt.NDArray[np.uint8], entries: npt.NDArray[np.uint32]) -> SortedValues:
    """Sorts by value, then entry, and drops what is there twice."""
    width = values.shape[1]
    padded = values
    if width % 8:
        padded = np.zeros((len(values), width + 8 - width % 8), np.uint8)
        padded[:, :width] = values
    words = np.ascontiguousarray(padded).view(">u8").astype(np.uint64)
    keys: list[npt.NDArray[np.unsignedinteger]] = [entries]  # the last one is the primary
    keys += [words[:, place] for place in reversed(range(words.shape[1]))]
    order = np.lexsort(keys)
    values, entries = values[order], entries[order]
    kept = np.ones(len(values), bool)
    kept[1:] = (values[1:] != values[:-1]).any(axis=1) | (entries[1:] != entries[:-1])
    return SortedValues(np.ascontiguousarray(values[kept]), entries[kept])


def _files(content: Content, thresholds: Mapping[str, int]) -> dict[str, pa.Buffer]:
    files = {tables.ENTRIES: tables.to_ipc([content.entries])}
    if content.feedback is not None:
        batch = pa.RecordBatch.from_arrays([content.feedback], schema=tables.FEEDBACK_SCHEMA)
        files[tables.FEEDBACK] = tables.to_ipc([batch])
    for name, values in content.values.items():
        files[name] = tables.to_ipc([tables.sorted_batch(values)])
        if signal_type(name).kind is SignalKind.PERCEPTUAL:
            # numba takes half a second to import: only lists of perceptual hashes need it.
            from ingestgate.blocklists import hamming

            if len(values.values) >= hamming.INDEXED_FROM:
                index = hamming.build_index(values.values, thresholds[name])
                files[tables.index_name(name)] = tables.to_ipc([_words(one) for one in index])
    for table, screen in content.screens.items():
        files[tables.screen_name(table)] = tables.to_ipc([_words(screen)])
    if content.url_hosts is not None:
        batch = tables.sorted_batch(content.url_hosts, with_entry=False)
        files[tables.URL_HOSTS] = tables.to_ipc([batch])
    return files


def _words(array: npt.NDArray[np.uint32]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(array)], schema=tables.WORDS_SCHEMA)


def _write(directory: str, info: ListInfo, files: dict[str, pa.Buffer]) -> ListInfo:
    stated = {tables.file_name(name): tables.describe(buffer) for name, buffer in files.items()}
    info = info.model_copy(update={"files": stated})
    manifest = storage.join(directory, MANIFEST)
    statement = info.to_bytes()
    if storage.exists(manifest) and storage.read_bytes(manifest) != statement:
        raise ListError(
            f"{directory}: {info.name} is there already with other content, and versions are "
            "immutable; give this one a higher version"
        )
    storage.make_directory(directory, private=True)
    tables.write_tables(directory, files)
    storage.write_bytes(manifest, statement, private=True)
    return read_manifest(manifest, statement)
