"""Copies of a shard, byte for byte: one to publish once it was verified, one to read from."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from ingestgate.assets import storage
from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.containers.output import PendingOutput
from ingestgate.assets.errors import ShardError
from ingestgate.assets.pending import Pending
from ingestgate.assets.shard import Shard
from ingestgate.assets.temporary import no_room, private_file

_CHUNK = 4 << 20


class ShardCopy(Pending):
    """All files of a shard, copied under temporary names beside their final ones.

    A context manager; leaving the block without having published discards the copy.

    Args:
        shard: What to copy: its `path` and its `parts`.
        output_root: Where to; the names below it are the input's.

    Raises:
        ShardError: The shard cannot be read.
        StorageError: The copy cannot be written.
    """

    def __init__(self, shard: Shard, output_root: str) -> None:
        self._files = ExitStack()
        self._outputs: list[tuple[PendingOutput, int | None]] = []
        with ExitStack() as stack:
            for path in (shard.path, *shard.parts):
                name = sibling_name(shard, path)
                output = stack.enter_context(PendingOutput(output_root, name))
                self._outputs.append((output, copy_bytes(shard.name, path, output)))
            self._files = stack.pop_all()
        #: The shard as it lies in the temporary files: what to verify before publishing.
        self.shard = shard._replace(
            path=self._outputs[0][0].temporary,
            parts=tuple(output.temporary for output, _ in self._outputs[1:]),
        )

    def publish(self) -> list[OutputFile]:
        """Renames the files to their final names, in the order path, parts; with their times.

        Raises:
            StorageError: One could not be; those before it are whole.
        """
        return [output.publish(modified_ns=modified) for output, modified in self._outputs]

    def discard(self) -> None:
        """Removes what is not published."""
        self._files.close()


@contextmanager
def private_copy(shard: Shard) -> Iterator[Shard]:
    """Yields a shard whose files are temporary copies, this process's alone; gone with the block.

    Args:
        shard: What to copy: its `path` and its `parts`.

    Raises:
        ShardError: The shard cannot be read.
        StorageError: There is no room for a copy; says where.
    """
    with ExitStack() as stack:
        copies = []
        for path in (shard.path, *shard.parts):
            file, copy = stack.enter_context(private_file())
            with storage.open_read(path) as source:
                try:
                    for piece in _pieces(shard.name, path, source):
                        file.write(piece)
                    file.flush()
                except OSError as error:
                    raise no_room(error) from error
            copies.append(copy)
        yield shard._replace(path=copies[0], parts=tuple(copies[1:]))


def sibling_name(shard: Shard, path: str) -> str:
    """Returns the name below the output root of one of a shard's files."""
    if path == shard.path:
        return shard.name
    return storage.join(storage.parent(shard.name), storage.basename(path))


def copy_bytes(shard: str, path: str, output: PendingOutput) -> int | None:
    """Copies a file's bytes; returns its modification time in ns where it is local.

    Raises:
        ShardError: The file cannot be read.
        StorageError: The copy cannot be written.
    """
    with storage.open_read(path) as source:
        modified = None if storage.is_remote(path) else os.fstat(source.fileno()).st_mtime_ns
        for piece in _pieces(shard, path, source):
            output.write(piece)
    output.complete()
    return modified


def _pieces(shard: str, path: str, source: BinaryIO) -> Iterator[bytes]:
    try:
        while piece := source.read(_CHUNK):
            yield piece
    except OSError as error:
        problem = f"{storage.basename(path)} cannot be read ({error.strerror or error})"
        raise ShardError(shard, problem) from error
