"""Changing who can open a quarantine: every key file is sealed anew, no object is touched.

For people with a secret key. Resumable: what each key file will be is on record, durably, and the
audit log has it, before it is replaced; so a second try knows which are done although it may not be
able to open them any more. ``recipients.json`` says whom the quarantine is sealed to now; a
manifest's ``recipients`` are those of the day of sealing.

Somebody who loses access by this keeps what they have copied: rewrapping takes away the key files
that lie here, not what was read before.

A key file that is not the one on record stays as it is: sealed anew, it would count as sound. Nor
does a file that says it was announced make it so: the log has to.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError, VaultError
from ingestgate.quarantine import rewraps
from ingestgate.quarantine.audit import AuditLine, read_log
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import named_objects, present_files
from ingestgate.quarantine.layout import KEYS, id_of, object_of
from ingestgate.quarantine.manifest_reading import read_manifest
from ingestgate.quarantine.opening import open_key, open_package
from ingestgate.quarantine.vault import encrypt

#: Told before (`rewraps.BEGUN`), of each batch (`rewraps.ANNOUNCED`) and after (`rewraps.DONE`);
#: refuses what it cannot log.
Note = Callable[[str, Mapping[str, Any]], object]

#: Key files, of a few hundred bytes each, that one line of the log announces.
_BATCH = 1024


class Rewrapped(NamedTuple):
    """What a rewrapping did.

    Attributes:
        done: How many key files are sealed to the new recipients, by this and earlier tries.
        unopened: Key files the identity does not open, or that are not those on record, with why;
            they are as they were.
    """

    done: int
    unopened: list[tuple[str, str]]


def rewrap(
    root: str,
    identities: Sequence[Any],
    recipients: Sequence[str],
    note: Note,
    *,
    samples: frozenset[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Rewrapped:
    """Seals the key files of a quarantine to other recipients.

    Args:
        root: The quarantine.
        identities: Secret keys that open the key files as they are.
        recipients: Who can open them from now on, as `keys.read_recipients` returns them.
        note: Told before the first key file of each batch is replaced, and once all are.
        samples: Ids of the samples concerned; None for all. One of fewer that is unfinished, to
            the same recipients, is finished first.
        progress: Told how many key files of how many are done.

    Raises:
        UsageError: Nothing opens with these identities, or another rewrapping is unfinished.
        EvidenceError: The audit log does not hold, or refuses who does it; a manifest is not what
            is on record, or not on record; or what an earlier try has announced is not there.
        VaultError: A manifest is damaged.
        StorageError: Something cannot be written; the same again takes it up.
    """
    paths = [
        path
        for path in present_files(root, KEYS)
        if samples is None or id_of(object_of(path)) in samples
    ]
    encrypt(b"probe", recipients)
    lines = list(read_log(root))
    under_way = rewraps.unfinished(lines)
    if under_way and under_way.is_part_of(recipients, samples):
        # Of an asset, another sample may have been sealed since: nobody could name the same again.
        rewrap(root, identities, recipients, note, samples=under_way.samples)
        lines, under_way = list(read_log(root)), None
    if under_way:
        under_way.require_same(recipients, samples)
    holding = Holding(root, lines)
    announced = rewraps.announced(root, under_way)
    sealed_as = {each.key_path: holding.key_sha256(each) for each in named_objects(root).values()}
    about = {"recipients": list(recipients), "samples": sorted(samples) if samples else "all"}
    note(rewraps.BEGUN, about)
    digests: dict[str, str] = {}
    unopened: list[tuple[str, str]] = []
    for batch in _batches(paths):
        fresh: list[tuple[str, bytes]] = []
        for path in batch:
            current = _digest(storage.read_bytes(storage.join(root, path)))
            if current in announced.get(path, ()) or holding.is_sealed_to(
                path, current, recipients
            ):
                digests[path] = current
                continue
            if (sealed_as.get(path) or current) != current:
                unopened.append((path, f"{path}: is not the key file that was sealed"))
                continue
            try:
                key = open_key(root, object_of(path), identities)
                if path in sealed_as and sealed_as[path] is None:
                    # Nothing on record tells which key file is right: its object has to open by it.
                    open_package(root, object_of(path), identities)
            except VaultError as error:
                unopened.append((path, str(error)))
            else:
                fresh.append((path, encrypt(key, recipients)))
        if fresh:
            said = rewraps.announce(root, {path: _digest(sealed) for path, sealed in fresh})
            note(rewraps.ANNOUNCED, {"announcement": said})
        for path, sealed in fresh:
            storage.write_bytes(storage.join(root, path), sealed, private=True)
            digests[path] = _digest(sealed)
        progress(len(digests) + len(unopened), len(paths))
    counts = {"keys": len(digests), "unopened": len(unopened)}
    if not digests:
        if paths:
            raise UsageError(
                f"none of the {len(paths)} key files opens with this identity; nothing was changed"
            )
        note(rewraps.DONE, {**about, **counts})
        return Rewrapped(0, [])
    # On record before it counts as finished: until then, the key files are not what was sealed.
    lost = {} if samples else {"retired": sorted(_everybody(root, lines) - set(recipients))}
    record = {"record": rewraps.write_record(root, digests)}
    note(rewraps.DONE, {**about, **counts, **record, **lost})
    rewraps.write_statement(root, rewraps.access(read_log(root)))
    rewraps.forget(root)
    return Rewrapped(len(digests), unopened)


def _everybody(root: str, lines: Iterable[AuditLine]) -> set[str]:
    """Returns everybody who could ever open something in a quarantine."""
    before = rewraps.access(lines)
    sealed_to = {each for row in read_manifest(root) for each in row["recipients"]}
    return sealed_to | before.known | before.retired


def _batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), _BATCH):
        yield paths[start : start + _BATCH]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
