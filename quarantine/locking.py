"""Who may change a quarantine at the same time: jobs that seal together, people alone."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError, VaultError

#: How long a job waits for who holds the lock alone: as a rule another that is only sweeping.
WAIT_SECONDS = 10.0


@contextmanager
def quarantine_lock(root: str, *, alone: bool) -> Iterator[None]:
    """Holds a quarantine's lock; the kernel releases it whatever ends the process.

    A job that seals holds it with others of its kind. Destroying, rewrapping and removing are
    done alone: a rewrapping beside a destruction could bring back a key, and what a job has just
    sealed is named by no manifest yet. Object stores have no such lock: there, whoever runs
    these commands has to see to it.

    Raises:
        VaultError: Somebody else holds it; of a job, for longer than `WAIT_SECONDS`.
        StorageError: The lock cannot be opened or held: the folder is not there, say.
    """
    with _opened(root) as lock:
        if lock is not None and not _is_locked(root, lock, alone=alone):
            who = "a job or another command" if alone else "a command that changes the quarantine"
            raise VaultError(f"{root}: {who} is at work on it; wait for it")
        yield


def sweep_quarantine(root: str) -> None:
    """Removes what killed jobs left under temporary names; nothing while another is at work.

    What lies under such a name may be what the other one is just sealing.

    Raises:
        StorageError: The lock cannot be opened or held, whoever else may be at work.
    """
    with _opened(root) as lock:
        if lock is None or _is_locked(root, lock, alone=True):
            storage.sweep(root)


@contextmanager
def _opened(root: str) -> Iterator[int | None]:
    """Yields the lock's descriptor, or None for an object store; closing it lets go of the lock."""
    if storage.is_remote(root):
        yield None
        return
    handle = storage.open_lock(storage.join(root, ".lock"))
    try:
        yield handle
    finally:
        os.close(handle)


def _is_locked(root: str, handle: int, *, alone: bool) -> bool:
    until = time.monotonic() + (0.0 if alone else WAIT_SECONDS)
    while True:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        except OSError as error:
            raise StorageError(f"{root}: {error.strerror}; it cannot be locked") from error
        else:
            return True
        time.sleep(0.02)
