"""Changing who can open a quarantine: every key file is sealed anew, no object is touched.

For people with a secret key. Resumable: what each key file will be is on record, durably, before
it is replaced, so a second try knows which are done although it may not be able to open them any
more. ``recipients.json`` says whom the quarantine is sealed to now; a manifest's ``recipients``
are those of the day of sealing.

Somebody who loses access by this keeps what they have copied: rewrapping takes away the key files
that lie here, not what was read before.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError, VaultError
from ingestgate.quarantine import rewraps
from ingestgate.quarantine.inventory import present_files
from ingestgate.quarantine.layout import KEYS, OBJECTS, id_of
from ingestgate.quarantine.opening import open_key
from ingestgate.quarantine.vault import encrypt

#: Key files, of a few hundred bytes each, that one record announces.
_BATCH = 256


class Rewrapped(NamedTuple):
    """What a rewrapping did.

    Attributes:
        done: How many key files are sealed to the new recipients, by this and earlier tries.
        unopened: Key files the identity does not open, with why; they are as they were.
    """

    done: int
    unopened: list[tuple[str, str]]


def rewrap(
    root: str,
    identities: Sequence[Any],
    recipients: Sequence[str],
    *,
    samples: frozenset[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Rewrapped:
    """Seals the key files of a quarantine to other recipients.

    Args:
        root: The quarantine.
        identities: Secret keys that open the key files as they are.
        recipients: Who can open them from now on, as `keys.read_recipients` returns them.
        samples: Ids of the samples concerned; None for all.
        progress: Told how many key files of how many are done.

    Raises:
        UsageError: Nothing opens with these identities, or another rewrapping is unfinished.
        StorageError: Something cannot be written; the same again takes it up.
    """
    paths = [
        path
        for path in present_files(root, KEYS)
        if samples is None or id_of(_object(path)) in samples
    ]
    encrypt(b"probe", recipients)
    announced = rewraps.begin(root, recipients, samples)
    done = 0
    unopened: list[tuple[str, str]] = []
    for batch in _batches(paths):
        fresh: list[tuple[str, bytes]] = []
        for path in batch:
            if announced and _sha256(storage.join(root, path)) in announced.get(path, ()):
                done += 1
                continue
            try:
                key = open_key(root, _object(path), identities)
            except VaultError as error:
                unopened.append((path, str(error)))
            else:
                fresh.append((path, encrypt(key, recipients)))
        if fresh:
            rewraps.announce(root, {path: _digest(sealed) for path, sealed in fresh})
        for path, sealed in fresh:
            storage.write_bytes(storage.join(root, path), sealed, private=True)
            done += 1
        progress(done + len(unopened), len(paths))
    if not done:
        rewraps.abandon(root)
        if paths:
            raise UsageError(
                f"none of the {len(paths)} key files opens with this identity; nothing was changed"
            )
        return Rewrapped(0, [])
    names = [path for path, _ in unopened]
    rewraps.finish(root, recipients, samples, keys=done, unopened=names)
    return Rewrapped(done, unopened)


def _batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), _BATCH):
        yield paths[start : start + _BATCH]


def _object(path: str) -> str:
    return f"{OBJECTS}/{path.removeprefix(f'{KEYS}/')}"


def _sha256(path: str) -> str:
    return _digest(storage.read_bytes(path))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
