"""One run at a time on one evidence folder, and on one output."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingestgate.assets import storage
from ingestgate.assets.errors import GateError


class RunInProgressError(GateError):
    """Another run is at work on the same evidence folder."""


@contextmanager
def run_lock(evidence: str) -> Iterator[None]:
    """Holds the evidence folder's lock; the kernel releases it whatever ends the process.

    Object stores have no such lock: there, the scheduler has to see to it.

    Raises:
        RunInProgressError: Another run holds it.
    """
    if storage.is_remote(evidence):
        yield
        return
    storage.make_directory(evidence, private=True)
    path = Path(evidence) / ".lock"
    with open(path, "a+", opener=lambda name, flags: os.open(name, flags, 0o600)) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunInProgressError(
                f"another run is at work on {evidence}; wait for it, or give this one "
                "folders of its own"
            ) from error
        yield


@contextmanager
def output_lock(output: str) -> Iterator[None]:
    """Holds the output folder itself, so that runs with other evidence do not write there, too.

    Another run's rules could let in what this one takes out. Nothing is put into the folder: the
    lock is the directory's own. File systems that lock no directories, and object stores, do
    without; there, the scheduler has to see to it.

    Raises:
        RunInProgressError: Another run holds it.
    """
    if storage.is_remote(output):
        yield
        return
    storage.make_directory(output)
    handle = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _hold(handle, output)
        yield
    finally:
        os.close(handle)


def _hold(handle: int, output: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunInProgressError(
            f"another run is at work on {output}, with other evidence; wait for it, or give this "
            "one folders of its own"
        ) from None
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP):
            raise
