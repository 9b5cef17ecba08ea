"""Where bytes lie: local paths, and through Beam's FileSystems every scheme its extras bring.

The one seam to a file system. Everything that is written goes to a temporary name beside its
final one, is made durable, and is renamed (object stores: copied by the store, then the
temporary deleted): nobody ever sees a half-written file under a final name. Temporary names
start with a dot and end in ``.partial``; `sweep` removes those that a killed run left behind.

Patterns follow `glob`: ``*`` and ``?`` stay within one path component, ``**`` does not.

Beam is imported only when a path has a scheme, so that local work starts fast.
"""

import errno
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
from typing import Any, BinaryIO, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from ingestgate.assets.errors import StorageError

PARTIAL_SUFFIX = ".partial"
_PARTIAL = re.compile(r"\..*\.[0-9a-f]{12}" + re.escape(PARTIAL_SUFFIX), re.DOTALL)
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


@contextmanager
def _explaining(path: str) -> Iterator[None]:
    """Turns what file systems raise into a StorageError that says what and where."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, ValueError) as error:
        raise _explain(error, path) from error
    except Exception as error:
        # The clients of object stores raise classes of their own.
        if is_remote(path):
            raise _explain(error, path) from error
        raise


def _explained(function: Callable[Concatenate[str, P], R]) -> Callable[Concatenate[str, P], R]:
    @functools.wraps(function)
    def wrapper(path: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with _explaining(path):
            return function(path, *args, **kwargs)

    return wrapper


def _explain(error: Exception, path: str) -> StorageError:
    named = error.filename if isinstance(error, OSError) else None
    if isinstance(named, str) and not is_partial(named):  # nobody knows a temporary name
        path = named
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


def _remote_tree(filesystem: Any, directory: str) -> Iterator[Any]:
    """Yields Beam's metadata of every file below a remote directory or prefix, if there is one."""
    prefix = directory.rstrip("/") + "/"
    if not filesystem.has_dirs():
        # Beam's patterns cannot be quoted: `?` stands for the character, the prefix decides.
        found = filesystem.match([_WILDCARD.sub("?", prefix) + "**"])[0].metadata_list
        # An object whose name ends in a slash is how some tools mark an empty directory.
        yield from (m for m in found if m.path.startswith(prefix) and not m.path.endswith("/"))
        return
    if has_wildcard(prefix):
        raise StorageError(f"{directory}: a directory with wildcards in its name cannot be listed")
    if not filesystem.exists(directory):
        return
    for metadata in filesystem.match([prefix + "*"])[0].metadata_list:
        if _is_remote_directory(filesystem, metadata):
            yield from _remote_tree(filesystem, metadata.path)
        else:
            yield metadata


def _is_remote_directory(filesystem: Any, metadata: Any) -> bool:
    # Beam's metadata does not tell; but directories have no size, and only they can be listed.
    if not filesystem.has_dirs() or metadata.size_in_bytes or has_wildcard(metadata.path):
        return False
    try:
        filesystem.match([metadata.path + "/*"])
    except OSError:
        return False
    return True


def _remote_match(pattern: str) -> list[Entry]:
    filesystem = _filesystems().get_filesystem(pattern)
    if not has_wildcard(pattern):
        found = [filesystem.metadata(pattern)] if filesystem.exists(pattern) else []
        found = [m for m in found if not _is_remote_directory(filesystem, m)]
    elif filesystem.has_dirs():
        # There, Beam lists one level only.
        top = parent(_WILDCARD.split(pattern, maxsplit=1)[0] + "_")
        found = list(filesystem.match_files(_remote_tree(filesystem, top), pattern))
    else:
        found = filesystem.match([pattern])[0].metadata_list
    return [_remote_entry(metadata) for metadata in found]


def _local_tree(directory: str, partials: bool, above: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yields every file below a directory; links to directories are followed."""
    real = os.path.realpath(directory)
    if real in above:
        raise StorageError(f"{directory}: a link that leads back to a directory above it")
    with os.scandir(directory) as listing:
        for item in listing:
            if is_partial(item.name) and not partials:
                continue
            if item.is_dir():
                yield from _local_tree(item.path, partials, (*above, real))
            elif item.is_file():
                yield _local_entry(item.path)
            else:
                # A pipe would hang who reads it, a dangling link is a file that is missing.
                raise StorageError(f"{item.path}: neither a file nor a directory")


@_explained
def match(pattern: str) -> list[Entry]:
    """Returns the files (never directories) a path or pattern matches, sorted by path.

    Raises:
        StorageError: Something that matches is a dangling link, or the listing failed.
    """
    if is_remote(pattern):
        entries = _remote_match(pattern)
    elif has_wildcard(pattern):
        paths = _glob.glob(pattern, recursive=True)
        entries = [_local_entry(path) for path in paths if not os.path.isdir(path)]
    else:
        entries = [_local_entry(pattern)] if os.path.isfile(pattern) else []
    return sorted(entry for entry in entries if not is_partial(basename(entry.path)))


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
    return sorted({path.rstrip("/") or "/" for path in paths if os.path.isdir(path)})


@_explained
def walk(directory: str, *, partials: bool = False) -> list[Entry]:
    """Returns every file below a directory, sorted by path; hidden ones too.

    Args:
        directory: Where.
        partials: Temporary files of this module's as well.

    Raises:
        StorageError: The directory cannot be listed whole; locally also if it does not exist
            or holds a pipe, a dangling link or a circle of links.
    """
    if is_remote(directory):
        filesystem = _filesystems().get_filesystem(directory)
        entries = [_remote_entry(metadata) for metadata in _remote_tree(filesystem, directory)]
        below = len(directory.rstrip("/"))
        return sorted(e for e in entries if partials or not is_partial(e.path[below:]))
    return sorted(_local_tree(directory, partials))


@_explained
def walk_unfollowed(directory: str) -> tuple[list[Entry], list[str]]:
    """Returns every file below a directory, sorted by path, and what is no plain file.

    Unlike `walk`, links are not followed: they, pipes and the like are the second list.
    """
    if is_remote(directory):
        return walk(directory), []
    entries: list[Entry] = []
    others: list[str] = []
    for folder, directories, names in os.walk(directory, onerror=_raise):
        directories[:] = [name for name in directories if not is_partial(name)]
        for name in (*directories, *names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and not is_partial(name):
                entries.append(Entry(path, status.st_size, str(status.st_mtime_ns)))
            elif not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                others.append(path)
    return sorted(entries), sorted(others)


@_explained
def exists(path: str) -> bool:
    """Whether there is a file of that name, or, where the file system has them, a directory."""
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
        return _remote_entry(_filesystems().get_filesystem(path).metadata(path))
    return _local_entry(path)


@_explained
def open_read(path: str) -> BinaryIO:
    """Opens a file's raw bytes for reading, seekable, never decompressed by its extension."""
    if is_remote(path):
        from apache_beam.io.filesystem import CompressionTypes

        handle = _filesystems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        return cast(BinaryIO, handle)
    return open(path, "rb")


@_explained
def read_bytes(path: str) -> bytes:
    """Returns a file's bytes."""
    with open_read(path) as source:
        return source.read()


@_explained
def make_directory(path: str, *, private: bool = False) -> None:
    """Makes a directory and its parents durably; where private, those it makes are 0700."""
    if is_remote(path):
        return
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        try:
            os.mkdir(directory, 0o700 if private else 0o777)
        except FileExistsError:
            if not os.path.isdir(directory):  # else somebody else was faster
                raise
        _sync_directory(os.path.dirname(directory))


def _sync_directory(path: str) -> None:
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(path: str) -> str:
    """Returns a new temporary name beside a final one."""
    # Short enough for every file system whatever the name, and free of wildcards, which some
    # stores' clients would expand when the file is deleted.
    stem = _WILDCARD.sub("_", basename(path))[:40]
    return join(parent(path), f".{stem}.{uuid.uuid4().hex[:12]}{PARTIAL_SUFFIX}")


@_explained
def publish_directory(path: str, temporary: str) -> None:
    """Renames a local directory, already durable, to its final name, durably.

    What stands there already is renamed aside before and removed after: a crash between the
    two leaves nothing under the final name, and never a mixture.
    """
    aside = temporary_name(path)
    with suppress(FileNotFoundError):
        os.rename(path, aside)
    os.rename(temporary, path)
    _sync_directory(parent(path))
    delete(aside)


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
        with _explaining(path):
            self.sink = self._create(private)

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
        if self._completed:
            return
        with _explaining(self.path):
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
        with _explaining(self.path):
            if is_remote(self.path):
                self._rename_remote()
            else:
                if modified_ns is not None:
                    os.utime(self.temporary, ns=(modified_ns, modified_ns))
                os.replace(self.temporary, self.path)
                _sync_directory(parent(self.path))
        self._published = True

    def _rename_remote(self) -> None:
        filesystem = _filesystems().get_filesystem(self.path)
        # Stores replace an object; file systems with directories refuse to rename onto a file.
        if filesystem.has_dirs() and filesystem.exists(self.path):
            filesystem.delete([self.path])
        filesystem.rename([self.temporary], [self.path])

    def discard(self) -> None:
        """Removes the temporary file; does nothing once it is published."""
        if self._published:
            return
        with suppress(StorageError), _explaining(self.temporary):
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
            raise _explain(error, self.path) from error


@contextmanager
def write_atomic(path: str, *, private: bool = False) -> Iterator[BinaryIO]:
    """Yields a sink whose bytes appear under ``path`` when the block ends without an error.

    Raises:
        StorageError: Writing, syncing or renaming failed; ``path`` is as it was before.
    """
    with PendingFile(path, private=private) as pending:
        yield pending.sink
        pending.publish()


def write_bytes(path: str, content: bytes, *, private: bool = False) -> None:
    """Writes a whole file atomically."""
    with write_atomic(path, private=private) as sink:
        sink.write(content)


@_explained
def delete(path: str) -> None:
    """Removes a file or a directory tree; it is no error if there is none.

    Raises:
        StorageError: It could not be removed, or (remote) its name holds wildcards, which
            some clients would expand and so remove others.
    """
    if is_remote(path):
        filesystem = _filesystems().get_filesystem(path)
        below = [] if filesystem.has_dirs() else _remote_tree(filesystem, path)
        found = [metadata.path for metadata in below] + ([path] if exists(path) else [])
        if any(has_wildcard(name) for name in found):
            raise StorageError(f"{path}: a name with wildcards cannot be deleted safely")
        if found:
            filesystem.delete(found)  # of a directory, what lies in it too
        return
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return


@_explained
def move(source: str, path: str) -> None:
    """Gives a whole, durable file another name, durably, in place of what is there.

    Raises:
        StorageError: It could not be; it is then under the one name or the other.
    """
    make_directory(parent(path))
    if is_remote(path):
        filesystem = _filesystems().get_filesystem(path)
        if filesystem.has_dirs() and filesystem.exists(path):
            filesystem.delete([path])
        filesystem.rename([source], [path])
        return
    os.replace(source, path)
    _sync_directory(parent(path))


@_explained
def erase(path: str) -> None:
    """Overwrites a file with zeros, durably, then removes it; it is no error if there is none.

    A crash after the removal may bring the name back, but not what it held. What copies a
    file system, a disk or a store keeps of earlier contents is theirs.

    Raises:
        StorageError: It could not be overwritten or removed.
    """
    if is_remote(path):
        if exists(path):
            write_bytes(path, bytes(status(path).size), private=True)
            delete(path)
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with open(descriptor, "wb", buffering=0) as sink:
        left = os.fstat(descriptor).st_size
        while left > 0:
            left -= sink.write(bytes(min(left, 1 << 20)))
        os.fsync(descriptor)
    os.unlink(path)
    _sync_directory(parent(path))


@_explained
def open_lock(path: str) -> int:
    """Opens a local file that is there to be locked, 0600, and makes it if it is not there.

    Returns:
        A descriptor for `fcntl.flock`; closing it lets go of the lock.

    Raises:
        StorageError: It cannot be opened.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def is_partial(path: str) -> bool:
    """Whether a path is, or lies below, a temporary name of this module's."""
    return any(_PARTIAL.fullmatch(part) for part in path.split("/"))


@_explained
def sweep(directory: str) -> int:
    """Removes the temporary files a killed run left below a directory; returns how many.

    Only for a caller that holds the run's lock: a live writer's files go as well.
    """
    if is_remote(directory):
        filesystem = _filesystems().get_filesystem(directory)
        below = len(directory.rstrip("/"))
        tree = _remote_tree(filesystem, directory)
        found = [metadata.path for metadata in tree if is_partial(metadata.path[below:])]
    else:
        found = list(_local_partials(directory)) if os.path.isdir(directory) else []
    for path in found:
        delete(path)
    return len(found)


def _local_partials(directory: str) -> Iterator[str]:
    for folder, directories, names in os.walk(directory, onerror=_raise):
        stale = [name for name in directories + names if is_partial(name)]
        directories[:] = [name for name in directories if name not in stale]
        yield from (os.path.join(folder, name) for name in stale)


def _raise(error: OSError) -> None:
    raise error
