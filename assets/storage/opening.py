"""Opening files for reading."""

from typing import BinaryIO

from ingestgate.assets.storage.explaining import explained
from ingestgate.assets.storage.paths import is_remote
from ingestgate.assets.storage.remote import remote_open


@explained
def open_read(path: str) -> BinaryIO:
    """Opens a file's raw bytes for reading, seekable, never decompressed by its extension."""
    if is_remote(path):
        return remote_open(path)
    return open(path, "rb")


@explained
def read_bytes(path: str) -> bytes:
    """Returns a file's bytes."""
    with open_read(path) as source:
        return source.read()
