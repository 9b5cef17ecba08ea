"""One at a time in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError

#: What compiling, signing and making an exception do in a list's directory: one at a time.
CHANGE: Final = "change"


@contextmanager
def alone(directory: str, what: str) -> Iterator[None]:
    """Keeps everybody else out of a folder, as `storage.lock` can.

    Args:
        directory: The folder; made if it is not there.
        what: What is done there, for the message.

    Raises:
        ListError: Somebody else is at it.
        StorageError: The folder cannot be made or locked.
    """
    if not storage.is_remote(directory):
        storage.make_directory(directory, private=True)
    with storage.lock(directory, directory=True) as held:
        if not held:
            raise ListError(
                f"{directory}: another {what} is under way there; wait until it has ended, and "
                "run again"
            )
        yield
