"""A folder of the output while it is written."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ingestgate.assets import storage
from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.errors import StorageError
from ingestgate.assets.listing import listing_sha256
from ingestgate.assets.pending import Pending
from ingestgate.assets.storage import PendingFile

_SYNCS_AT_A_TIME = 8  # file systems commit syncs that come together together


class PendingFolder(Pending):
    """A folder under a temporary name, until `publish`.

    Locally the whole folder gets its final name by one rename, in the place of an earlier one.
    Object stores rename object by object: there, `publish` first removes those of an earlier
    output that are no more, then gives each its final name. Leaving the ``with`` block without
    having published discards it.

    Args:
        root: The output root.
        name: The folder's path below it.
    """

    def __init__(self, root: str, name: str) -> None:
        self._name = name
        self._path = storage.join(root, name)
        self._remote = storage.is_remote(self._path)
        self._temporary = storage.temporary_name(self._path)
        self._pending: list[PendingFile] = []
        self._digests: dict[str, str] = {}
        self._size = 0
        self._directories = {self._temporary}
        if not self._remote:
            storage.make_directory(self._temporary)

    def write(self, path: str, content: bytes, source: str) -> None:
        """Writes a file.

        Args:
            path: Relative to the folder.
            content: Its bytes.
            source: The file whose mode and times it gets, where both are local.

        Raises:
            StorageError: It could not be written.
        """
        try:
            if self._remote:
                self._write_remote(path, content)
            else:
                self._write_local(path, content, source)
        except OSError as error:
            raise StorageError(f"{self._path}/{path}: {error.strerror or error}") from error
        self._digests[path] = hashlib.sha256(content).hexdigest()
        self._size += len(content)

    def _write_remote(self, path: str, content: bytes) -> None:
        pending = PendingFile(storage.join(self._path, path))
        self._pending.append(pending)
        pending.sink.write(content)
        pending.complete()

    def _write_local(self, path: str, content: bytes, source: str) -> None:
        target = storage.join(self._temporary, path)
        directory = storage.parent(target)
        os.makedirs(directory, exist_ok=True)
        while directory not in self._directories:
            self._directories.add(directory)
            directory = storage.parent(directory)
        with open(target, "xb") as sink:
            sink.write(content)
        if not storage.is_remote(source):
            status = os.stat(source)
            os.chmod(target, status.st_mode & 0o777)
            os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def publish(self) -> OutputFile:
        """Makes all files durable, then gives the folder its final name.

        Returns:
            The folder's name, its `listing_sha256`, and the bytes of all its files together.

        Raises:
            StorageError: Something could not be written. Locally, under the final name is
                then what was there before, or nothing.
        """
        if self._remote:
            kept = {pending.path for pending in self._pending}
            for entry in storage.walk(self._path):
                if entry.path not in kept:
                    storage.delete(entry.path)
            for pending in self._pending:
                pending.publish()
        else:
            files = [storage.join(self._temporary, path) for path in self._digests]
            with ThreadPoolExecutor(_SYNCS_AT_A_TIME) as pool:
                for paths in (files, self._directories):
                    list(pool.map(self._sync, paths))
            storage.publish_directory(self._path, self._temporary)
        return OutputFile(self._name, listing_sha256(self._digests.items()), self._size)

    def _sync(self, path: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror or error}") from error

    def discard(self) -> None:
        """Removes what is not published."""
        for pending in self._pending:
            pending.discard()
        if not self._remote:
            with suppress(StorageError):
                storage.delete_tree(self._temporary)
