"""A sink that digests what goes through it, so that a digest is of what was meant to be written."""

import hashlib
from typing import BinaryIO


class DigestingSink:
    """Passes bytes on to another sink and digests them; for writers that only append.

    Args:
        sink: Where the bytes go. Closing this one leaves it open: who opened it closes it.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self.closed = False

    @property
    def sha256(self) -> str:
        """Hex digest of all that went through so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Passes bytes on."""
        self._digest.update(data)
        return self._sink.write(data)

    def flush(self) -> None:
        """Flushes the other sink."""
        self._sink.flush()

    def close(self) -> None:
        """Takes no more; the other sink stays open."""
        self.closed = True
