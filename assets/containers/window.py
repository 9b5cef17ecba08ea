"""A forward-moving window on a file: how the readers of sequential formats look ahead."""

import zlib
from typing import BinaryIO

from ingestgate.assets.errors import ShardError


class Window:
    """A forward-moving window on a file: look ahead, read, skip.

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

    def read(self, size: int) -> bytes:
        """Returns the next ``size`` bytes and moves on; fewer at the end of the file.

        What was not read before goes where it stays, and holds on to nothing else.
        """
        before = self._buffer[self._at : self._at + size]
        self._at += len(before)
        pieces = self._pieces(size - len(before), 0, self.offset + len(before))
        content = pieces[0] if not before and len(pieces) == 1 else b"".join([before, *pieces])
        self.offset += len(content)
        return content

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
        rest = self._buffer[self._at :]
        pieces = self._pieces(size - len(rest), self._chunk, self.offset + len(rest))
        self._buffer, self._at = memoryview(b"".join([rest, *pieces])), 0

    def _pieces(self, size: int, chunk: int, at: int) -> list[bytes]:
        """Reads ``size`` bytes or more, ``chunk`` at a time at least; fewer at the file's end."""
        pieces: list[bytes] = []
        try:
            while size > 0 and (piece := self._source.read(max(size, chunk))):
                pieces.append(piece)
                size -= len(piece)
        except (EOFError, zlib.error, OSError) as error:
            at += sum(map(len, pieces))
            raise ShardError(self._shard, f"cannot be read past byte {at} ({error})") from error
        return pieces
