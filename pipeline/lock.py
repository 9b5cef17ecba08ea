"""One run at a time on one evidence folder, and on one output."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ingestgate.assets import storage
from ingestgate.assets.errors import GateError, StorageError


class RunInProgressError(GateError):
    """Another run is at work on the same evidence folder."""


@contextmanager
def run_lock(evidence: str) -> Iterator[None]:
    """Holds the evidence folder's lock; the kernel releases it whatever ends the process.

    Object stores have no such lock: there, the scheduler has to see to it.

    Raises:
        RunInProgressError: Another run holds it.
        StorageError: It cannot be held.
    """
    if storage.is_remote(evidence):
        yield
        return
    storage.make_directory(evidence, private=True)
    path = storage.join(evidence, ".lock")
    handle = storage.open_lock(path)
    try:
        _hold(handle, path, f"{evidence}; wait for it, or give this one folders of its own")
        yield
    finally:
        os.close(handle)


@contextmanager
def output_lock(output: str) -> Iterator[None]:
    """Holds the output folder itself, so that runs with other evidence do not write there, too.

    Another run's rules could let in what this one takes out. Nothing is put into the folder: the
    lock is the directory's own. File systems that lock no directories, and object stores, do
    without; there, the scheduler has to see to it.

    Raises:
        RunInProgressError: Another run holds it.
        StorageError: It cannot be held.
    """
    if storage.is_remote(output):
        yield
        return
    storage.make_directory(output)
    try:
        handle = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"{output}: {error.strerror}") from error
    advice = "with other evidence; wait for it, or give this one folders of its own"
    try:
        with suppress(_NotLockableError):
            _hold(handle, output, f"{output}, {advice}")
        yield
    finally:
        os.close(handle)


class _NotLockableError(StorageError):
    """The file system locks nothing of the kind."""


def _hold(handle: int, path: str, advice: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunInProgressError(f"another run is at work on {advice}") from None
    except OSError as error:
        said = f"{path}: {error.strerror}; it cannot be locked"
        if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP):
            raise _NotLockableError(said) from error
        raise StorageError(said) from error
