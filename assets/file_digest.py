"""SHA-256 of a file as it lies there."""

import hashlib
import threading
from collections.abc import Callable
from typing import BinaryIO, cast

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError

_BLOCK = 1 << 20
_buffers = threading.local()

#: Called with the bytes done since it was last called.
OnBytes = Callable[[int], object]


def _nothing(done: int) -> None:
    """Tells nobody."""


def file_sha256(path: str, on_bytes: OnBytes = _nothing) -> str:
    """Returns the SHA-256 of a file in hex.

    Large blocks into one buffer per thread: while `hashlib` digests one, it lets go of the
    interpreter, so threads of one process keep all cores busy.

    Args:
        path: The file.
        on_bytes: Called as bytes are done.

    Raises:
        StorageError: It cannot be read.
    """
    buffer = getattr(_buffers, "block", None)
    if buffer is None:
        buffer = _buffers.block = bytearray(_BLOCK)
    view = memoryview(buffer)
    digest = hashlib.sha256()
    with storage.open_read(path) as source:
        # Past Python's own buffer: blocks are larger than it.
        raw = cast(BinaryIO, getattr(source, "raw", source))
        try:
            while count := raw.readinto(view):  # type: ignore[attr-defined]
                digest.update(view[:count])
                on_bytes(count)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}") from error
    return digest.hexdigest()
