"""Removing a file so that its bytes are gone as well as its name."""

import os

from ingestgate.assets.storage.explaining import explained
from ingestgate.assets.storage.listing import exists, status
from ingestgate.assets.storage.paths import is_remote, parent
from ingestgate.assets.storage.removing import delete
from ingestgate.assets.storage.renaming import sync_directory
from ingestgate.assets.storage.writing import write_bytes


@explained
def erase(path: str) -> None:
    """Overwrites a file with zeros, durably, then removes it; it is no error if there is none.

    A crash after the removal may bring the name back, but not what it held. What copies a
    file system, a disk or a store keeps of earlier contents is theirs.

    Raises:
        StorageError: It could not be overwritten or removed.
    """
    if is_remote(path):
        if exists(path):
            write_bytes(path, bytes(status(path).size), private=True)
            delete(path)
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with open(descriptor, "wb", buffering=0) as sink:
        left = os.fstat(descriptor).st_size
        while left > 0:
            left -= sink.write(bytes(min(left, 1 << 20)))
        os.fsync(descriptor)
    os.unlink(path)
    sync_directory(parent(path))
