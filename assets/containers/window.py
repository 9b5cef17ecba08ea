"""A forward-moving window on a file: how the readers of sequential formats look ahead."""

import zlib
from typing import BinaryIO

from ingestgate.assets.errors import ShardError


class Window:
    """A forward-moving window on a file: look ahead, take, skip.

    Args:
        source: The file, placed at ``offset``.
        shard: The shard's name, for errors.
        offset: Where the window stands.
        chunk: Bytes to read at a time, at least.
    """

    def __init__(self, source: BinaryIO, shard: str, offset: int = 0, chunk: int = 1 << 20):
        self.offset = offset
        self._source = source
        self._shard = shard
        self._chunk = chunk
        self._buffer = memoryview(b"")
        self._at = 0

    def peek(self, size: int, ahead: int = 0) -> bytes:
        """Returns ``size`` bytes from ``ahead`` bytes further on; fewer at the end of the file."""
        start = self._at + ahead
        if start + size > len(self._buffer):
            self._fill(ahead + size)
            start = ahead
        return bytes(self._buffer[start : start + size])

    def take(self, size: int) -> memoryview:
        """Returns the next ``size`` bytes and moves on; fewer at the end of the file.

        Not a copy: what it holds on to is all that was read with it.
        """
        if self._at + size > len(self._buffer):
            self._fill(size)
        taken = self._buffer[self._at : self._at + size]
        self._at += len(taken)
        self.offset += len(taken)
        return taken

    def skip(self, size: int) -> None:
        """Moves on without reading; past the end of the file too."""
        self.offset += size
        self._at += size
        if self._at > len(self._buffer):
            self._buffer, self._at = memoryview(b""), 0
            try:
                self._source.seek(self.offset)
            except OSError as error:
                raise ShardError(self._shard, f"cannot seek ({error})") from error

    def _fill(self, size: int) -> None:
        parts: list[bytes | memoryview] = [self._buffer[self._at :]]
        missing = size - len(parts[0])
        try:
            while missing > 0 and (part := self._source.read(max(missing, self._chunk))):
                parts.append(part)
                missing -= len(part)
        except (EOFError, zlib.error, OSError) as error:
            at = self.offset + sum(map(len, parts))
            raise ShardError(self._shard, f"cannot be read past byte {at} ({error})") from error
        self._buffer, self._at = memoryview(b"".join(parts)), 0
