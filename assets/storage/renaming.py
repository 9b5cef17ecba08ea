"""Names that outlast a crash: directories made, files and directories renamed."""

import os
from contextlib import suppress

from ingestgate.assets.storage.explaining import explained
from ingestgate.assets.storage.paths import is_remote, parent, temporary_name
from ingestgate.assets.storage.remote import remote_rename, remote_settle
from ingestgate.assets.storage.removing import delete_tree


@explained
def make_directory(path: str, *, private: bool = False) -> None:
    """Makes a directory and its parents durably; where private, those it makes are 0700."""
    if is_remote(path):
        return
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        try:
            os.mkdir(directory, 0o700 if private else 0o777)
        except FileExistsError:
            if not os.path.isdir(directory):  # else somebody else was faster
                raise
        sync_directory(os.path.dirname(directory))


@explained
def sync_directory(path: str) -> None:
    """Makes the names in a local directory durable."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@explained
def publish_directory(path: str, temporary: str) -> None:
    """Renames a local directory, already durable, to its final name, durably.

    What stands there already is renamed aside before and removed after: a crash between the
    two leaves nothing under the final name, and never a mixture.
    """
    aside = temporary_name(path)
    with suppress(FileNotFoundError):
        os.rename(path, aside)
    os.rename(temporary, path)
    sync_directory(parent(path))
    delete_tree(aside)


@explained
def settle(path: str) -> None:
    """Ends a replacement of a file that was interrupted: the earlier file stays, or the later.

    Only some remote file systems cannot replace a file in one step. There, `exists` and listings
    bring back what would be missing; this also removes what is left of what was replaced.

    Raises:
        StorageError: It cannot be told which, or not be done.
    """
    if is_remote(path):
        remote_settle(path)


@explained
def move(source: str, path: str) -> None:
    """Gives a whole, durable file another name, durably, in place of what is there.

    Raises:
        StorageError: It could not be; it is then under the one name or the other.
    """
    make_directory(parent(path))
    if is_remote(path):
        remote_settle(source)  # else what it once replaced would be taken for it
        remote_rename(source, path)
        return
    os.replace(source, path)
    sync_directory(parent(path))
