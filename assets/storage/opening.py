"""Opening files for reading."""

import os
import stat
from typing import BinaryIO

from ingestgate.assets.errors import StorageError
from ingestgate.assets.storage.explaining import explained
from ingestgate.assets.storage.paths import is_remote
from ingestgate.assets.storage.remote import remote_open


@explained
def open_read(path: str) -> BinaryIO:
    """Opens a file's raw bytes for reading, seekable, never decompressed by its extension.

    What is no regular file is not read: a pipe may never end, nor begin. Only what a person has
    named below ``/dev`` (a shell's ``<(...)``) may be one.

    Raises:
        StorageError: There is no such file, or it cannot be opened.
    """
    if is_remote(path):
        return remote_open(path)
    return open(path, "rb", opener=None if path.startswith("/dev/") else _open_regular)


def _open_regular(path: str, flags: int) -> int:
    # A pipe would be waited for while it is opened; its name may lead elsewhere by now, and so it
    # is the descriptor that is looked at.
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # `open` itself refuses a directory
        return descriptor
    os.close(descriptor)
    raise StorageError(f"{path}: neither a file nor a directory", path)


@explained
def read_bytes(path: str) -> bytes:
    """Returns a file's bytes."""
    with open_read(path) as source:
        return source.read()
