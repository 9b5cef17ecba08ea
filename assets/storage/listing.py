"""What files there are: matching patterns, walking directories, asking for one file.

Only what the file system says is not there is not there. ``os.path`` and ``glob`` take a broken
disk, a stale handle and a folder that may not be read for one that is empty, and so what was sealed
of a shard, or the shard itself, for nothing: here, what cannot be asked about is an error.
"""

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ingestgate.assets.errors import StorageError, UsageError
from ingestgate.assets.storage.explaining import explained
from ingestgate.assets.storage.paths import basename, has_wildcard, is_partial, is_remote, parent
from ingestgate.assets.storage.remote import filesystems, remote_exists, remote_match, remote_tree

#: What a file system answers where there is no such name; what is too long for a name is none.
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})


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


def _remote_entry(metadata: Any) -> Entry:
    return Entry(
        metadata.path, metadata.size_in_bytes, repr(metadata.last_updated_in_seconds or 0.0)
    )


def _local_entry(path: str) -> Entry:
    return _entry(path, os.stat(path))


def _entry(path: str, status: os.stat_result) -> Entry:
    return Entry(path, status.st_size, str(status.st_mtime_ns))


def _status(path: str, *, follow: bool = True) -> os.stat_result | None:
    """Returns a local path's status; None if there is no such name."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise


def _listed_status(path: str) -> os.stat_result:
    """Returns the status of what a listing has named; of a link that leads nowhere, its own."""
    try:
        return os.stat(path)
    except OSError as error:
        own = os.lstat(path)
        if error.errno in (*_NOT_THERE, errno.ELOOP) and stat.S_ISLNK(own.st_mode):
            return own
        raise


def _is_local_directory(path: str) -> bool:
    status = _status(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _leads_to_directory(item: os.DirEntry[str]) -> bool:
    # Only a link has to be asked about again.
    return stat.S_ISDIR(_listed_status(item.path).st_mode) if item.is_symlink() else item.is_dir()


def _scanned(directory: str) -> list[os.DirEntry[str]]:
    """Returns what lies in a local directory; nothing if there is none."""
    try:
        with os.scandir(directory or ".") as listing:
            return list(listing)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return []
        raise


def _matching(base: str, parts: Sequence[str], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields what the components of a pattern match below a directory, some of it twice.

    As `glob.glob` has it: wildcards match no hidden names, ``**`` any number of directories.
    """
    part, rest = parts[0], parts[1:]
    if not has_wildcard(part):
        path = os.path.join(base, part)
        if rest:
            yield from _matching(path, rest)
        elif _status(path, follow=not part) is not None:  # "": it ends in a slash
            yield path
        return
    if part == "**":
        real = os.path.realpath(base)
        if real in above:
            raise StorageError(f"{base}: a link that leads back to a directory above it")
        above = (*above, real)
        if rest:
            yield from _matching(base, rest)
        elif _is_local_directory(base):
            yield base
    wanted = re.compile(fnmatch.translate(part))
    for item in _scanned(base):
        if item.name.startswith(".") and not part.startswith("."):
            continue
        path = os.path.join(base, item.name)
        if part == "**":
            if not rest:
                yield path
            if _leads_to_directory(item):
                yield from _matching(path, parts, above)
        elif wanted.match(item.name):
            if not rest:
                yield path
            elif _leads_to_directory(item):
                yield from _matching(path, rest)


def _local_matches(pattern: str) -> set[str]:
    root = "/" if pattern.startswith("/") else ""
    parts = pattern.split("/")
    return set(_matching(root, [part for part in parts[:-1] if part] + parts[-1:]))


def _local_tree(
    directory: str, partials: bool, others: bool, above: tuple[str, ...] = ()
) -> Iterator[Entry]:
    """Yields every file below a directory; links to directories are followed."""
    above = (*above, os.path.realpath(directory))
    with os.scandir(directory) as listing:
        for item in listing:
            if is_partial(item.name) and not partials:
                continue
            status = _listed_status(item.path)
            if stat.S_ISDIR(status.st_mode):
                if os.path.realpath(item.path) not in above:
                    yield from _local_tree(item.path, partials, others, above)
                elif others:
                    yield _entry(item.path, os.lstat(item.path))
                else:
                    raise StorageError(
                        f"{item.path}: a link that leads back to a directory above it"
                    )
            elif others or stat.S_ISREG(status.st_mode):
                yield _entry(item.path, status)
            else:
                # A pipe would hang who reads it, a dangling link is a file that is missing.
                raise StorageError(f"{item.path}: neither a file nor a directory")


@explained
def match(pattern: str) -> list[Entry]:
    """Returns the files (never directories) a path or pattern matches, sorted by path.

    What matches a pattern and cannot be read, a pipe, a device or a dangling link, is not passed
    over: whoever opens it is told (see `open_read`).
    """
    if is_remote(pattern):
        entries = [_remote_entry(metadata) for metadata in remote_match(pattern)]
    elif has_wildcard(pattern):
        paths = _local_matches(pattern)
        listed = ((path, _listed_status(path)) for path in paths)
        entries = [_entry(*each) for each in listed if not stat.S_ISDIR(each[1].st_mode)]
    else:
        entry = file_if_there(pattern)
        entries = [] if entry is None else [entry]
    return sorted(entry for entry in entries if not is_partial(basename(entry.path)))


@explained
def match_directories(pattern: str) -> list[str]:
    """Returns the directories a path or pattern matches, sorted.

    Object stores have no directories: there, a path without wildcards below which objects
    lie counts as one.
    """
    if is_remote(pattern):
        if has_wildcard(pattern) or match(pattern):
            return []
        return [pattern.rstrip("/")] if walk(pattern) else []
    if has_wildcard(pattern):
        paths = _local_matches(pattern)
        found = {path for path in paths if stat.S_ISDIR(_listed_status(path).st_mode)}
    else:
        found = {pattern} if _is_local_directory(pattern) else set()
    return sorted({path.rstrip("/") or "/" for path in found})


@explained
def is_directory(path: str) -> bool:
    """Whether there is a directory of that name, links followed; the name is no pattern.

    On an object store: whether objects lie below it.

    Raises:
        StorageError: It cannot be told.
    """
    if is_remote(path):
        return bool(walk(path) if has_wildcard(path) else match_directories(path))
    return _is_local_directory(path)


@explained
def walk(directory: str, *, partials: bool = False, others: bool = False) -> list[Entry]:
    """Returns every file below a directory, sorted by path; hidden ones too.

    Args:
        directory: Where.
        partials: What lies under temporary names as well.
        others: Pipes, devices, dangling links and links that lead back above, as well.

    Raises:
        StorageError: The directory cannot be listed whole; locally also if it does not exist
            or, unless they are asked for, holds any of the others.
    """
    if is_remote(directory):
        filesystem = filesystems(directory).get_filesystem(directory)
        entries = [_remote_entry(metadata) for metadata in remote_tree(filesystem, directory)]
        below = len(directory.rstrip("/"))
        return sorted(e for e in entries if partials or not is_partial(e.path[below:]))
    return sorted(_local_tree(directory, partials, others))


def walk_if_there(directory: str, *, partials: bool = False) -> list[Entry]:
    """Returns what `walk` does, and nothing where there is no such directory; raises as `walk`."""
    # Remote, it is one listing that tells both.
    there = is_remote(directory) or is_directory(directory)
    return walk(directory, partials=partials) if there else []


@explained
def walk_unfollowed(directory: str) -> tuple[list[Entry], list[Entry]]:
    """Returns every file below a directory, sorted by path, and what is not to be taken for one.

    Unlike with `walk`, links are not followed: they, pipes and the like are the second list, and
    what lies under temporary names, which `sweep` would remove from wherever it is written to.
    """
    entries: list[Entry] = []
    others: list[Entry] = []
    below = len(directory.rstrip("/"))
    if is_remote(directory):
        for entry in walk(directory, partials=True):
            (others if is_partial(entry.path[below:]) else entries).append(entry)
        return entries, others
    for folder, directories, names in os.walk(directory, onerror=_raise):
        for name in (*directories, *names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                plain = stat.S_ISREG(status.st_mode) and not is_partial(path[below:])
                (entries if plain else others).append(_entry(path, status))
    return sorted(entries), sorted(others)


@explained
def exists(path: str) -> bool:
    """Whether there is a file of that name, or, where the file system has them, a directory.

    Raises:
        StorageError: It cannot be told.
    """
    if is_remote(path):
        return remote_exists(path)
    return _status(path) is not None


def is_there(path: str) -> bool:
    """Whether there is a file or a directory of that name.

    An object store knows a directory only by what lies below it.

    Raises:
        StorageError: It cannot be told.
    """
    return exists(path) or is_directory(path)


@explained
def file_if_there(path: str) -> Entry | None:
    """Returns the entry of one file; None if there is none, or something else of that name.

    Raises:
        StorageError: It cannot be told.
    """
    if is_remote(path):
        return status(path) if remote_exists(path) else None
    try:
        found = _listed_status(path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return _entry(path, found) if stat.S_ISREG(found.st_mode) else None


def file_in_the_way(directory: str) -> str | None:
    """Returns the file that lies in the place of a local directory, or of one above it.

    On an object store, a name may be an object's and a directory's.

    Raises:
        StorageError: It cannot be told.
    """
    path = directory
    while path and not is_remote(path):
        if file_if_there(path) is not None:
            return path
        path = parent(path) if path != "/" else ""
    return None


def require_directory(path: str) -> None:
    """Refuses a local path that is no directory; an object store knows no empty one.

    Raises:
        UsageError: There is none of that name.
        StorageError: It cannot be told.
    """
    if not is_remote(path) and not is_directory(path):
        raise UsageError(f"{path}: no such folder; check the path")


@explained
def status(path: str) -> Entry:
    """Returns the entry of one file.

    Raises:
        StorageError: There is none.
    """
    if is_remote(path):
        return _remote_entry(filesystems(path).get_filesystem(path).metadata(path))
    return _local_entry(path)


def local_partials(directory: str) -> Iterator[str]:
    """Yields every temporary name below a local directory; not what lies below one."""
    for folder, directories, names in os.walk(directory, onerror=_raise):
        stale = [name for name in directories + names if is_partial(name)]
        directories[:] = [name for name in directories if name not in stale]
        yield from (os.path.join(folder, name) for name in stale)


def _raise(error: OSError) -> None:
    raise error
