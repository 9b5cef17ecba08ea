"""Locks: one at a time, or those of a kind together."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingestgate.assets.errors import NotLockableError, StorageError
from ingestgate.assets.storage.explaining import explaining
from ingestgate.assets.storage.paths import is_remote

_POLL_SECONDS = 0.02
_NOT_LOCKABLE = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP)


@contextmanager
def lock(
    path: str, *, directory: bool = False, shared: bool = False, seconds: float = 0.0
) -> Iterator[bool]:
    """Holds a lock until the block is left; the kernel releases it whatever ends the process.

    Object stores have no locks: there, nobody is kept out, and the scheduler has to see to it.

    Args:
        path: A file, made, 0600, if it is not there.
        directory: It is a directory, which has to be there, and nothing is put into it.
        shared: Held together with others that share it.
        seconds: How long to wait for who holds it.

    Yields:
        Whether it is held; if not, somebody else holds it.

    Raises:
        NotLockableError: The file system locks nothing of the kind.
        StorageError: It cannot be opened or locked.
    """
    if is_remote(path):
        yield True
        return
    flags = os.O_RDONLY | os.O_DIRECTORY if directory else os.O_RDWR | os.O_CREAT
    with explaining(path):
        handle = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield _is_held(handle, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, seconds)
    finally:
        os.close(handle)


def is_locked(path: str, *, alone: bool) -> bool:
    """Whether somebody holds a lock; False where that cannot be told, as on object stores.

    Nothing is made or written: who may only read can ask.

    Args:
        path: The lock's file.
        alone: Whether it is held alone; shared does not count.
    """
    if is_remote(path):
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _is_held(handle, path, fcntl.LOCK_SH if alone else fcntl.LOCK_EX, 0.0)
    except StorageError:
        return False
    finally:
        os.close(handle)


def _is_held(handle: int, path: str, kind: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        except OSError as error:
            refusal = NotLockableError if error.errno in _NOT_LOCKABLE else StorageError
            raise refusal(f"{path}: {error.strerror}; it cannot be locked") from error
        else:
            return True
        time.sleep(_POLL_SECONDS)
