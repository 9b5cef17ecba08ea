"""Who may change a quarantine at the same time: jobs that seal together, people alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ingestgate.assets import storage
from ingestgate.assets.errors import VaultError


@contextmanager
def quarantine_lock(root: str, *, alone: bool) -> Iterator[None]:
    """Holds a quarantine's lock; the kernel releases it whatever ends the process.

    A job that seals holds it with others of its kind. Destroying, rewrapping and removing are
    done alone: a rewrapping beside a destruction could bring back a key, and what a job has just
    sealed is named by no manifest yet. Object stores have no such lock: there, whoever runs
    these commands has to see to it.

    Raises:
        VaultError: Somebody else holds it.
        StorageError: The quarantine's folder is not there.
    """
    if storage.is_remote(root):
        yield
        return
    path = storage.join(root, ".lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise VaultError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        who = "a job or another command" if alone else "a command that changes the quarantine"
        raise VaultError(f"{root}: {who} is at work on it; wait for it") from None
    try:
        yield
    finally:
        os.close(handle)
