"""Entries to the compiled, memory-mapped form of one list version.

The same entries, in any order, with the same arguments give the same bytes: values are sorted,
repeated entries dropped, and nothing of the machine or the moment goes in. A list version is
immutable. ``list.json`` is written last, so that a compilation that was killed leaves no list.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError, UsageError, first_problem
from ingestgate.assets.verdict import Action, SignalKind
from ingestgate.blocklists import tables
from ingestgate.blocklists.building import Content, build, domain_expression
from ingestgate.blocklists.canaries import canary_ids, with_canaries
from ingestgate.blocklists.changes import Version, changes_since, open_version, version_before
from ingestgate.blocklists.entries import (
    Entry,
    FieldError,
    check_suffix,
    read_entries,
)
from ingestgate.blocklists.locking import CHANGE, alone
from ingestgate.blocklists.manifest import (
    LIST_ID,
    MANIFEST,
    DomainScope,
    ListInfo,
    read_manifest,
    utc_seconds,
)
from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.signals import SignalType, signal_type
from ingestgate.blocklists.store import stored_entries


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
    suffixes: PublicSuffixes | None = None,
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
        suffixes: Public suffixes, which no domain may be that covers what is below it; None for
            the built-in ones.

    Returns:
        What the list says of itself, and how many entries were added, removed and changed since
        the highest version below it that lies in ``to``.

    Raises:
        ListError: A file is refused, the version before is damaged, or this version exists with
            other content, or is being compiled or signed by somebody else.
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
    if store is not None and not partner:
        raise UsageError(f"list {id}: a store holds what partners supplied; say whose by --partner")
    if action not in tuple(Action):
        raise UsageError(f"list {id}: action {action!r} is none of {', '.join(Action)}")
    known = suffixes or PublicSuffixes.built_in()
    stored = () if store is None else stored_entries(store, partner)
    checked = _checked(id, stored, domain_scope, known)
    read = _read(id, sources, domain_scope, known)
    every = with_canaries(itertools.chain(read, checked))
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
    return _write(storage.join(to, f"{id}-{version}"), info, content)


def _issued_before(to: str, id: str, version: int) -> datetime:
    manifest = storage.join(to, f"{id}-{version}", MANIFEST)
    if not storage.exists(manifest):
        return datetime.now(UTC)
    return read_manifest(manifest, storage.read_bytes(manifest)).issued


def _read(
    list_id: str,
    sources: Sequence[tuple[str, str]],
    scope: DomainScope,
    suffixes: PublicSuffixes,
) -> Iterator[tuple[SignalType, Iterator[Entry]]]:
    seen: dict[str, int] = {}
    for name, path in sources:
        seen[name] = seen.get(name, 0) + 1
        # The ids of a second file of a type would otherwise repeat the first one's.
        label = list_id if seen[name] == 1 else f"{list_id}.{seen[name]}"
        entries = read_entries(name, path, name=label, suffixes=suffixes, domain_scope=scope)
        yield signal_type(name), entries


def _checked(
    list_id: str,
    stored: Iterable[tuple[SignalType, Iterable[Entry]]],
    scope: DomainScope,
    suffixes: PublicSuffixes,
) -> Iterator[tuple[SignalType, Iterable[Entry]]]:
    """Yields stored entries; of domains, only what they cover in this list says if they may be."""
    for signal, entries in stored:
        is_domain = signal.name == "domain"
        yield signal, _without_suffixes(list_id, entries, scope, suffixes) if is_domain else entries


def _without_suffixes(
    list_id: str, entries: Iterable[Entry], scope: DomainScope, suffixes: PublicSuffixes
) -> Iterator[Entry]:
    for entry in entries:
        try:
            check_suffix(domain_expression(entry.value, scope), suffixes)
        except FieldError as error:
            raise ListError(f"list {list_id}, entry {entry.entry_id}: {error}") from None
        yield entry


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
        raise UsageError(f"list {fields.get('id')}: {first_problem(error)}") from None


def _write(directory: str, info: ListInfo, content: Content) -> ListInfo:
    """Writes every file under a temporary name first: so what is there already is left as it is."""
    manifest = storage.join(directory, MANIFEST)
    with ExitStack() as stack:
        stack.enter_context(alone(directory, CHANGE))
        storage.sweep(directory)
        written = {}
        for table, schema, batches in _tables(content, info.thresholds):
            path = storage.join(directory, tables.file_name(table))
            pending = stack.enter_context(storage.PendingFile(path, private=True))
            stated = tables.write_ipc(pending.sink, schema, batches)
            pending.complete()
            written[tables.file_name(table)] = (pending, stated)
        files = {name: stated for name, (_, stated) in written.items()}
        info = info.model_copy(update={"files": files})
        statement = info.to_bytes()
        if storage.exists(manifest) and storage.read_bytes(manifest) != statement:
            raise ListError(
                f"{directory}: {info.name} is there already with other content, and versions are "
                "immutable; give this one a higher version"
            )
        for _, (pending, _) in sorted(written.items()):
            pending.publish()
        storage.write_bytes(manifest, statement, private=True)
    return read_manifest(manifest, statement)


def _tables(
    content: Content, thresholds: Mapping[str, int]
) -> Iterator[tuple[str, pa.Schema, Iterable[pa.RecordBatch]]]:
    """Yields name, schema and record batches of each file."""
    yield tables.ENTRIES, tables.ENTRY_SCHEMA, [content.entries]
    if content.feedback is not None:
        batch = pa.RecordBatch.from_arrays([content.feedback], schema=tables.FEEDBACK_SCHEMA)
        yield tables.FEEDBACK, batch.schema, [batch]
    for name, values in content.values.items():
        batch = tables.sorted_batch(values)
        yield name, batch.schema, [batch]
        if signal_type(name).kind is SignalKind.PERCEPTUAL:
            # numba takes half a second to import: only lists of perceptual hashes need it.
            from ingestgate.blocklists import hamming, indexing

            if len(values.values) >= hamming.INDEXED_FROM:
                index = indexing.build_index(values.values, thresholds[name])
                yield tables.index_name(name), tables.WORDS_SCHEMA, map(_words, index)
    for table, screen in content.screens.items():
        yield tables.screen_name(table), tables.WORDS_SCHEMA, [_words(screen)]
    if content.url_hosts is not None:
        batch = tables.sorted_batch(content.url_hosts, with_entry=False)
        yield tables.URL_HOSTS, batch.schema, [batch]


def _words(array: npt.NDArray[np.uint32]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(array)], schema=tables.WORDS_SCHEMA)
