"""Removing files and trees, and what killed runs left behind."""

import os
import shutil
import stat
from contextlib import suppress

from ingestgate.assets.errors import StorageError
from ingestgate.assets.storage.explaining import explained
from ingestgate.assets.storage.listing import is_directory, local_partials
from ingestgate.assets.storage.paths import (
    has_wildcard,
    is_aside,
    is_partial,
    is_remote,
    name_before,
)
from ingestgate.assets.storage.remote import filesystems, remote_settle, remote_tree


@explained
def delete(path: str) -> None:
    """Removes a file; it is no error if there is none.

    Raises:
        StorageError: It could not be removed, or (remote) its name holds wildcards, which
            some clients would expand and so remove others.
    """
    if is_remote(path):
        _delete_remote(path, tree=False)
        return
    with suppress(FileNotFoundError):
        os.unlink(path)


@explained
def delete_tree(path: str) -> None:
    """Removes a directory and all below it, or a file, as `delete` does."""
    if is_remote(path):
        _delete_remote(path, tree=True)
        return
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _delete_remote(path: str, *, tree: bool) -> None:
    filesystem = filesystems(path).get_filesystem(path)
    remote_settle(path)  # else what it once replaced would be taken for it
    found = [path] if filesystem.exists(path) else []
    if tree and not filesystem.has_dirs():  # elsewhere what lies below goes with the directory
        found += [metadata.path for metadata in remote_tree(filesystem, path)]
    if any(has_wildcard(name) for name in found):
        raise StorageError(f"{path}: a name with wildcards cannot be deleted safely")
    if found:
        filesystem.delete(found)


@explained
def sweep(directory: str) -> int:
    """Removes the temporary files a killed run left below a directory; returns how many.

    What was to be replaced and is there under a temporary name alone gets its own again.
    Only for a caller that holds the run's lock: a live writer's files go as well.
    """
    if is_remote(directory):
        filesystem = filesystems(directory).get_filesystem(directory)
        below = len(directory.rstrip("/"))
        tree = remote_tree(filesystem, directory)
        found = [metadata.path for metadata in tree if is_partial(metadata.path[below:])]
    else:
        found = list(local_partials(directory)) if is_directory(directory) else []
    for path in found:
        if not is_remote(path):
            delete_tree(path)
        elif not is_aside(path):
            delete(path)
        elif before := name_before(path):  # else whoever next writes under its name does it
            remote_settle(before)
    return len(found)
