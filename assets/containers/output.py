"""A file of the output while it is written."""

import hashlib

from ingestgate.assets import storage
from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.errors import StorageError
from ingestgate.assets.pending import Pending


class PendingOutput(Pending):
    """A file under its temporary name, its SHA-256 taken as it is written, until `publish`.

    A binary sink as far as libraries need one. Leaving the ``with`` block without having
    published discards it.

    Args:
        root: The output root.
        name: The file's path below it.
    """

    def __init__(self, root: str, name: str) -> None:
        self.name = name
        self._pending = storage.PendingFile(storage.join(root, name))
        self._digest = hashlib.sha256()
        self._size = 0

    @property
    def temporary(self) -> str:
        """Where the bytes lie until they are published."""
        return self._pending.temporary

    @property
    def closed(self) -> bool:
        """Whether it is complete."""
        return self._pending.sink.closed

    def writable(self) -> bool:
        return True

    def write(self, content: bytes | memoryview) -> int:
        """Appends bytes.

        Raises:
            StorageError: They could not be written.
        """
        try:
            self._pending.sink.write(content)
        except OSError as error:
            what = error.strerror or str(error)
            raise StorageError(f"{self._pending.path}: {what}") from error
        self._digest.update(content)
        self._size += len(content)
        return len(content)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Does nothing: `complete` makes everything durable at once."""

    def complete(self) -> None:
        """Makes what was written durable under the temporary name; no more can be written."""
        self._pending.complete()

    def publish(self, *, modified_ns: int | None = None) -> OutputFile:
        """Renames the file to its final name, durably, and returns what it is.

        Raises:
            StorageError: It could not be; under the final name is what was there before.
        """
        self._pending.publish(modified_ns=modified_ns)
        return OutputFile(self.name, self._digest.hexdigest(), self._size)

    def discard(self) -> None:
        """Removes the temporary file; does nothing once it is published."""
        self._pending.discard()
