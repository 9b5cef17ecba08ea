"""Where bytes lie: local paths, and through Beam's FileSystems every scheme its extras bring.

The one seam to a file system. Everything that is written goes to a temporary name beside its
final one, is made durable, and is renamed (object stores: copied by the store, then the
temporary deleted): nobody ever sees a half-written file under a final name. Temporary names
start with a dot and end in ``.partial``; `sweep` removes those that a killed run left behind.

Beam is imported only when a path has a scheme, so that local work starts fast.
"""

import errno
import fnmatch
import functools
import glob as _glob
import os
import posixpath
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, ParamSpec, TypeVar, cast

from ingestgate.assets.errors import StorageError

PARTIAL_SUFFIX = ".partial"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WILDCARD = re.compile(r"[*?\[]")

P = ParamSpec("P")
R = TypeVar("R")


class Entry(NamedTuple):
    """A file that a listing found.

    Attributes:
        path: Where it lies.
        size: Bytes.
        mark: Changes when the file is replaced or rewritten (modification time).
    """

    path: str
    size: int
    mark: str


def _explained(function: Callable[P, R]) -> Callable[P, R]:
    """Turns what file systems raise into a StorageError that says what and where."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (OSError, ValueError) as error:
            raise _explain(error, str(args[0]) if args else "") from error

    return wrapper


def _explain(error: Exception, path: str) -> StorageError:
    what = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    advice = ""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "; free some room and run again, finished work is kept"
    elif isinstance(error, PermissionError):
        advice = "; check the permissions"
    return StorageError(f"{path}: {what}{advice}")


def is_remote(path: str) -> bool:
    """Whether a path has a scheme (``gs://``, ``s3://``...) and goes through Beam."""
    return _SCHEME.match(path) is not None


def has_wildcard(path: str) -> bool:
    """Whether a path is a pattern."""
    return _WILDCARD.search(path) is not None


def _filesystems() -> Any:
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def join(root: str, *parts: str) -> str:
    """Joins path components with ``/``."""
    return posixpath.join(root, *parts)


def parent(path: str) -> str:
    """Returns a path without its last component."""
    return posixpath.dirname(path.rstrip("/"))


def basename(path: str) -> str:
    """Returns a path's last component."""
    return posixpath.basename(path.rstrip("/"))


def absolute(path: str) -> str:
    """Returns a path that does not depend on the working directory."""
    return path.rstrip("/") if is_remote(path) else os.path.abspath(path)


def _remote_entry(metadata: Any) -> Entry:
    return Entry(
        metadata.path, metadata.size_in_bytes, repr(metadata.last_updated_in_seconds or 0.0)
    )


def _local_entry(path: str) -> Entry:
    status = os.stat(path)
    return Entry(path, status.st_size, str(status.st_mtime_ns))


@_explained
def match(pattern: str) -> list[Entry]:
    """Returns the files (never directories) a path or pattern matches, sorted by path."""
    if is_remote(pattern):
        found = _filesystems().match([pattern])[0].metadata_list
        entries = [_remote_entry(metadata) for metadata in found]
    else:
        paths = _glob.glob(pattern, recursive=True) if has_wildcard(pattern) else [pattern]
        entries = [_local_entry(path) for path in paths if os.path.isfile(path)]
    return sorted(entries)


@_explained
def match_directories(pattern: str) -> list[str]:
    """Returns the directories a path or pattern matches, sorted.

    Object stores have no directories: there, a path without wildcards below which objects
    lie counts as one.
    """
    if is_remote(pattern):
        if has_wildcard(pattern) or match(pattern):
            return []
        return [pattern.rstrip("/")] if walk(pattern) else []
    paths = _glob.glob(pattern, recursive=True) if has_wildcard(pattern) else [pattern]
    return sorted(path.rstrip("/") for path in paths if os.path.isdir(path))


@_explained
def walk(directory: str) -> list[Entry]:
    """Returns every file below a directory, sorted by path; hidden ones too, partials not."""
    if is_remote(directory):
        found = _filesystems().match([directory.rstrip("/") + "/**"])[0].metadata_list
        entries = [_remote_entry(metadata) for metadata in found]
    else:
        entries = []
        for folder, _, names in os.walk(directory, onerror=_raise):
            entries += [_local_entry(os.path.join(folder, name)) for name in names]
    return sorted(entry for entry in entries if not is_partial(entry.path))


def _raise(error: OSError) -> None:
    raise error


@_explained
def exists(path: str) -> bool:
    """Whether there is a file or directory of that name."""
    if is_remote(path):
        return bool(_filesystems().exists(path))
    return os.path.exists(path)


@_explained
def status(path: str) -> Entry:
    """Returns the entry of one file.

    Raises:
        StorageError: There is none.
    """
    if is_remote(path):
        found = _filesystems().match([path])[0].metadata_list
        if len(found) != 1:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return _remote_entry(found[0])
    return _local_entry(path)


@_explained
def open_read(path: str) -> BinaryIO:
    """Opens a file's raw bytes for reading, seekable, never decompressed by its extension."""
    if is_remote(path):
        from apache_beam.io.filesystem import CompressionTypes

        handle = _filesystems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        return cast(BinaryIO, handle)
    return open(path, "rb")


def read_bytes(path: str) -> bytes:
    """Returns a file's bytes."""
    with open_read(path) as source:
        return source.read()


@_explained
def make_directory(path: str, *, private: bool = False) -> None:
    """Makes a directory and its parents; a private one, and those made on the way, are 0700."""
    if is_remote(path) or not path:
        return
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700 if private else 0o777)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class PendingFile:
    """A file under its temporary name, until `publish` gives it the final one.

    Leaving the ``with`` block without having published discards it. Write to `sink`.

    Args:
        path: The final name.
        private: Make the file 0600 and directories made for it 0700 (local paths).
    """

    def __init__(self, path: str, *, private: bool = False) -> None:
        self.path = path
        name = f".{basename(path)}.{uuid.uuid4().hex[:12]}{PARTIAL_SUFFIX}"
        self.temporary = join(parent(path), name)
        self._published = False
        make_directory(parent(path), private=private)
        try:
            self.sink: BinaryIO = self._create(private)
        except OSError as error:
            raise _explain(error, path) from error

    def _create(self, private: bool) -> BinaryIO:
        if is_remote(self.path):
            from apache_beam.io.filesystem import CompressionTypes

            return cast(
                BinaryIO,
                _filesystems().create(
                    self.temporary,
                    mime_type="application/octet-stream",
                    compression_type=CompressionTypes.UNCOMPRESSED,
                ),
            )
        mode = 0o600 if private else 0o666
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.fdopen(os.open(self.temporary, flags, mode), "w+b")

    def complete(self) -> None:
        """Makes what was written durable under the temporary name and closes the sink.

        Raises:
            StorageError: It could not be; the file must not be published.
        """
        if self.sink.closed:
            return
        try:
            if not is_remote(self.path):
                self.sink.flush()
                os.fsync(self.sink.fileno())
            self.sink.close()
        except OSError as error:
            raise _explain(error, self.path) from error

    def publish(self, *, modified_ns: int | None = None) -> None:
        """Completes the file, renames it to its final name, and makes that durable.

        Args:
            modified_ns: Modification time to give a local file, in ns since the epoch.

        Raises:
            StorageError: It could not be; under the final name is what was there before.
        """
        self.complete()
        try:
            if is_remote(self.path):
                _filesystems().rename([self.temporary], [self.path])
            else:
                if modified_ns is not None:
                    os.utime(self.temporary, ns=(modified_ns, modified_ns))
                os.replace(self.temporary, self.path)
                _sync_directory(parent(self.path))
        except OSError as error:
            raise _explain(error, self.path) from error
        self._published = True

    def discard(self) -> None:
        """Removes the temporary file; does nothing once it is published."""
        if self._published:
            return
        with suppress(OSError):
            self.sink.close()
        with suppress(OSError, StorageError):
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


@contextmanager
def write_atomic(path: str, *, private: bool = False) -> Iterator[BinaryIO]:
    """Yields a sink whose bytes appear under ``path`` when the block ends without an error.

    Raises:
        StorageError: Writing, syncing or renaming failed; ``path`` is as it was before.
    """
    with PendingFile(path, private=private) as pending:
        try:
            yield pending.sink
        except OSError as error:
            raise _explain(error, path) from error
        pending.publish()


def write_bytes(path: str, content: bytes, *, private: bool = False) -> None:
    """Writes a whole file atomically."""
    with write_atomic(path, private=private) as sink:
        sink.write(content)


@_explained
def delete(path: str) -> None:
    """Removes a file or a directory tree; it is no error if there is none."""
    if is_remote(path):
        if exists(path):
            _filesystems().delete([path])
        return
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return


def is_partial(path: str) -> bool:
    """Whether a path is, or lies below, a temporary name of this module's."""
    return any(fnmatch.fnmatchcase(part, f".*{PARTIAL_SUFFIX}") for part in path.split("/") if part)


@_explained
def sweep(directory: str) -> int:
    """Removes the temporary files a killed run left below a directory; returns how many.

    Only for a caller that holds the run's lock: a live writer's files go as well.
    """
    if is_remote(directory):
        pattern = directory.rstrip("/") + f"/**{PARTIAL_SUFFIX}"
        found = [metadata.path for metadata in _filesystems().match([pattern])[0].metadata_list]
        found = [path for path in found if is_partial(path)]
        if found:
            _filesystems().delete(found)
        return len(found)
    found = []
    for folder, directories, names in os.walk(directory):
        stale = [name for name in directories + names if is_partial(name)]
        directories[:] = [name for name in directories if name not in stale]
        found += [os.path.join(folder, name) for name in stale]
    for path in found:
        delete(path)
    return len(found)
