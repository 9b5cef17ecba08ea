"""Files that appear whole under their final name, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import BinaryIO

from ingestgate.assets.errors import StorageError
from ingestgate.assets.storage.explaining import explain, explaining
from ingestgate.assets.storage.paths import is_remote, join, parent, temporary_name
from ingestgate.assets.storage.remote import remote_create, remote_rename
from ingestgate.assets.storage.removing import delete
from ingestgate.assets.storage.renaming import make_directory, sync_directory


class PendingFile:
    """A file under its temporary name, until `publish` gives it the final one.

    Leaving the ``with`` block without having published discards it; an OSError that leaves
    the block (no room, say) does so as a StorageError. Write to `sink`.

    Args:
        path: The final name.
        private: Make the file 0600 and directories made for it 0700 (local paths).
    """

    def __init__(self, path: str, *, private: bool = False) -> None:
        self.path = path
        self.temporary = temporary_name(path)
        self._completed = self._published = False
        make_directory(parent(path), private=private)
        with explaining(path):
            self.sink = self._create(private)

    def _create(self, private: bool) -> BinaryIO:
        if is_remote(self.path):
            return remote_create(self.temporary, self.path)
        mode = 0o600 if private else 0o666
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.fdopen(os.open(self.temporary, flags, mode), "w+b")

    def complete(self) -> None:
        """Makes what was written durable under the temporary name and closes the sink.

        Raises:
            StorageError: It could not be; the file must not be published.
        """
        if self._completed:
            return
        with explaining(self.path):
            if is_remote(self.path):
                self.sink.close()
            else:
                self._sync()
        self._completed = True

    def _sync(self) -> None:
        if self.sink.closed:  # by a library that was given it, without syncing
            self.sink = open(self.temporary, "rb")  # noqa: SIM115
        else:
            self.sink.flush()
        os.fsync(self.sink.fileno())
        self.sink.close()

    def publish(self, *, modified_ns: int | None = None) -> None:
        """Completes the file, renames it to its final name, and makes that durable.

        Args:
            modified_ns: Modification time to give a local file, in ns since the epoch.

        Raises:
            StorageError: It could not be; under the final name is what was there before, or,
                where only the rename could not be made durable, the new file, whole.
        """
        self.complete()
        with explaining(self.path):
            if is_remote(self.path):
                remote_rename(self.temporary, self.path)
            else:
                if modified_ns is not None:
                    os.utime(self.temporary, ns=(modified_ns, modified_ns))
                os.replace(self.temporary, self.path)
                sync_directory(parent(self.path))
        self._published = True

    def discard(self) -> None:
        """Removes the temporary file; does nothing once it is published."""
        if self._published:
            return
        with suppress(StorageError), explaining(self.temporary):
            self.sink.close()
        with suppress(StorageError):
            delete(self.temporary)

    def __enter__(self) -> "PendingFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()
        if isinstance(error, OSError):
            raise explain(error, self.path) from error


@contextmanager
def write_atomic(path: str, *, private: bool = False) -> Iterator[BinaryIO]:
    """Yields a sink whose bytes appear under ``path`` when the block ends without an error.

    Raises:
        StorageError: Writing, syncing or renaming failed; ``path`` is as it was before.
    """
    with PendingFile(path, private=private) as pending:
        yield pending.sink
        pending.publish()


def require_writable(directory: str) -> None:
    """Refuses a directory in which no file can be made; nothing is left in one where it can.

    Raises:
        StorageError: None can be made, or removed again.
    """
    temporary = temporary_name(join(directory, "probe"))
    try:
        with explaining(directory):
            if is_remote(directory):
                remote_create(temporary, directory).close()
                delete(temporary)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(temporary, flags, 0o600))
                os.unlink(temporary)
    except StorageError as error:
        raise StorageError(f"no file can be made in {error}", directory) from error


def write_bytes(path: str, content: bytes, *, private: bool = False) -> None:
    """Writes a whole file atomically."""
    with write_atomic(path, private=private) as sink:
        sink.write(content)
