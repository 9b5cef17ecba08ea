"""One at a time in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError, StorageError


@contextmanager
def alone(directory: str, what: str) -> Iterator[None]:
    """Keeps everybody else out of a folder; object stores have no locks.

    The lock goes with the process, however it ends.

    Args:
        directory: The folder; made if it is not there.
        what: What is done there, for the message.

    Raises:
        ListError: Somebody else is at it.
        StorageError: The folder cannot be made or locked.
    """
    if storage.is_remote(directory):
        yield
        return
    storage.make_directory(directory, private=True)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ListError(
                f"{directory}: another {what} is under way there; wait until it has ended, and "
                "run again"
            ) from None
        except OSError as error:
            raise StorageError(f"{directory}: cannot be locked ({error.strerror})") from error
        yield
    finally:
        os.close(handle)
