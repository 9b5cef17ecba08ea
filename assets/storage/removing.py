"""Removing files and trees, and what killed runs left behind."""

import os
import shutil
import stat

from ingestgate.assets.errors import StorageError
from ingestgate.assets.storage.explaining import explained
from ingestgate.assets.storage.listing import exists, is_directory, local_partials
from ingestgate.assets.storage.paths import (
    aside_name,
    has_wildcard,
    is_aside,
    is_partial,
    is_remote,
    name_before,
)
from ingestgate.assets.storage.remote import (
    filesystems,
    remote_is_aside,
    remote_settle,
    remote_tree,
)


@explained
def delete(path: str) -> None:
    """Removes a file or a directory tree; it is no error if there is none.

    Raises:
        StorageError: It could not be removed, or (remote) its name holds wildcards, which
            some clients would expand and so remove others.
    """
    if is_remote(path):
        filesystem = filesystems().get_filesystem(path)
        if remote_is_aside(path):
            filesystem.delete([aside_name(path)])  # first, else it would come back
        below = [] if filesystem.has_dirs() else remote_tree(filesystem, path)
        found = [metadata.path for metadata in below] + ([path] if exists(path) else [])
        if any(has_wildcard(name) for name in found):
            raise StorageError(f"{path}: a name with wildcards cannot be deleted safely")
        if found:
            filesystem.delete(found)  # of a directory, what lies in it too
        return
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return


@explained
def sweep(directory: str) -> int:
    """Removes the temporary files a killed run left below a directory; returns how many.

    What was to be replaced and is there under a temporary name alone gets its own again.
    Only for a caller that holds the run's lock: a live writer's files go as well.
    """
    if is_remote(directory):
        filesystem = filesystems().get_filesystem(directory)
        below = len(directory.rstrip("/"))
        tree = remote_tree(filesystem, directory)
        found = [metadata.path for metadata in tree if is_partial(metadata.path[below:])]
    else:
        found = list(local_partials(directory)) if is_directory(directory) else []
    for path in found:
        if not is_remote(path) or not is_aside(path):
            delete(path)
        elif before := name_before(path):
            remote_settle(before)  # else whoever next writes under its name does
    return len(found)
