"""Beam's file systems, whose kinds differ: some have directories, object stores have prefixes.

Beam is imported here alone, and only once a path is remote, so that local work starts fast.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, cast

from ingestgate.assets.errors import StorageError, UsageError
from ingestgate.assets.storage.clients import mend_s3
from ingestgate.assets.storage.explaining import ExplainedFile
from ingestgate.assets.storage.paths import (
    WILDCARD,
    aside_name,
    has_wildcard,
    is_aside,
    name_before,
    parent,
)

#: Options of Beam's for every command, as a shell would take them apart.
BEAM_OPTIONS = "INGESTGATE_BEAM_OPTIONS"


def beam_options(given: Sequence[str] = ()) -> list[str]:
    """Returns options for Beam: the environment's, then those given, which win.

    Raises:
        UsageError: The environment's have a quote that is not closed.
    """
    try:
        return [*shlex.split(os.environ.get(BEAM_OPTIONS, "")), *given]
    except ValueError as error:
        raise UsageError(f"{BEAM_OPTIONS}: {error}") from error


def use_beam_options(given: Sequence[str] = ()) -> None:
    """Has remote paths reached by options of Beam's (an endpoint, a host) and the environment's.

    Raises:
        UsageError: As `beam_options` does.
    """
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions(beam_options(given)))


def filesystems(path: str) -> Any:
    """Returns Beam's class of all file systems; without options S3 and HDFS refuse to work.

    Args:
        path: What is to be reached.

    Raises:
        UsageError: No file system takes its scheme.
    """
    from apache_beam.io.filesystem import FileSystem
    from apache_beam.io.filesystems import FileSystems

    scheme = FileSystems.get_scheme(path)
    if all(one.scheme() != scheme for one in FileSystem.get_all_subclasses()):
        raise UsageError(
            f"{path}: nothing here reads or writes {scheme}://; name another path, or install what "
            "Beam needs for it (gs://: apache-beam[gcp], s3://: apache-beam[aws])"
        )
    if FileSystems._pipeline_options is None:  # in a worker, or since a job began, they are there
        use_beam_options()
    mend_s3()
    return FileSystems


def remote_open(path: str) -> BinaryIO:
    """Opens a remote file's raw bytes for reading, never decompressed by its extension.

    What goes wrong while it is read is a StorageError, too.
    """
    from apache_beam.io.filesystem import CompressionTypes

    handle = filesystems(path).open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return cast(BinaryIO, ExplainedFile(handle, path))


def remote_create(path: str, final: str) -> BinaryIO:
    """Makes a remote file and opens it for writing, never compressed by its extension.

    Args:
        path: Its temporary name.
        final: The name it will have, for the StorageErrors of what goes wrong.
    """
    from apache_beam.io.filesystem import CompressionTypes

    handle = filesystems(path).create(
        path,
        mime_type="application/octet-stream",
        compression_type=CompressionTypes.UNCOMPRESSED,
    )
    return cast(BinaryIO, ExplainedFile(handle, final))


def remote_exists(path: str) -> bool:
    """Whether there is a remote file; one that an interrupted replacement left gets its name."""
    filesystem = filesystems(path).get_filesystem(path)
    if not filesystem.has_dirs():
        # Of a bucket without a name in it, clients raise.
        return "/" in path.partition("://")[2].rstrip("/") and bool(filesystem.exists(path))
    if filesystem.exists(path):
        return True
    remote_settle(path)
    return bool(filesystem.exists(path))


def remote_tree(filesystem: Any, directory: str, pattern: str = "**") -> list[Any]:
    """Returns Beam's metadata of every file below a remote directory or prefix, if there is one.

    What an interrupted replacement has left aside gets its name again.

    Args:
        filesystem: Where.
        directory: The directory or prefix.
        pattern: Directories below which nothing can match it need not be looked into.
    """
    found = list(_tree(filesystem, directory, pattern))
    asides = {metadata.path for metadata in found if is_aside(metadata.path)}
    if not asides:
        return found
    settled = {aside_name(metadata.path) for metadata in found}
    for aside in asides - settled:
        before = name_before(aside)
        if before is None:
            raise StorageError(
                f"{aside}: was being replaced when that was interrupted; give it back its own "
                "name, which is too long to be told by this one"
            )
        remote_settle(before)
    return found if asides <= settled else list(_tree(filesystem, directory, pattern))


def _tree(filesystem: Any, directory: str, pattern: str) -> Iterator[Any]:
    if not filesystem.has_dirs():
        # Beam's patterns cannot be quoted: `?` stands for the character, the prefix decides.
        prefix = directory.rstrip("/") + "/"
        found = filesystem.match([WILDCARD.sub("?", prefix) + "**"])[0].metadata_list
        # An object whose name ends in a slash is how some tools mark an empty directory.
        yield from (m for m in found if m.path.startswith(prefix) and not m.path.endswith("/"))
    elif filesystem.exists(directory):
        yield from _level(filesystem, directory, pattern)


def _level(filesystem: Any, directory: str, pattern: str) -> Iterator[Any]:
    for metadata in _listed(filesystem, directory):
        if _may_hold(filesystem, metadata.path, pattern) and _is_directory(filesystem, metadata):
            yield from _level(filesystem, metadata.path, pattern)
        else:
            yield metadata


def _listed(filesystem: Any, directory: str) -> list[Any]:
    # Not by a pattern, as `match` would have it: a name may look like one.
    return list(filesystem._list(directory.rstrip("/") or directory))


def _may_hold(filesystem: Any, directory: str, pattern: str) -> bool:
    """Whether a file below a directory may match a pattern."""
    parts, wanted = directory.split("/"), pattern.split("/")
    for own, part in zip(parts, wanted, strict=False):
        if "**" in part or "[" in part:  # stand for slashes, too
            return True
        if not re.fullmatch(filesystem.translate_pattern(part), own):
            return False
    return len(parts) < len(wanted)


def _is_directory(filesystem: Any, metadata: Any) -> bool:
    # Beam's metadata does not tell; but directories have no size, and only they can be listed.
    path = metadata.path
    if not filesystem.has_dirs() or metadata.size_in_bytes:
        return False
    try:
        _listed(filesystem, path)
    except OSError as error:
        # Every failure of a client is an OSError here: only this one is an answer.
        if "not a directory" in str(error).replace(path, "").lower():
            return False
        if filesystem.exists(path):
            raise
        return False  # a file that was being written, and has another name by now
    return True


def remote_match(pattern: str) -> list[Any]:
    """Returns Beam's metadata of the files a remote path or pattern matches."""
    filesystem = filesystems(pattern).get_filesystem(pattern)
    if not has_wildcard(pattern):
        found = [filesystem.metadata(pattern)] if remote_exists(pattern) else []
        found = [m for m in found if not _is_directory(filesystem, m)]
    elif filesystem.has_dirs():
        # There, Beam lists one level only.
        top = parent(WILDCARD.split(pattern, maxsplit=1)[0] + "_")
        found = list(filesystem.match_files(remote_tree(filesystem, top, pattern), pattern))
    else:
        found = filesystem.match([pattern])[0].metadata_list
        found = [m for m in found if not m.path.endswith("/")]  # an empty directory's mark
    return list(found)


def remote_rename(source: str, path: str) -> None:
    """Gives a remote file another name, in place of what is there.

    Stores replace an object; file systems with directories refuse to rename onto a file. There,
    what is replaced makes way first, and comes back if the other cannot take its place: at once,
    or after a crash, by `remote_settle`.
    """
    filesystem = filesystems(path).get_filesystem(path)
    if not filesystem.has_dirs():
        filesystem.rename([source], [path])
        return
    remote_settle(path)
    replaces = filesystem.exists(path)
    if replaces and _is_directory(filesystem, filesystem.metadata(path)):
        raise StorageError(f"{path}: is a directory, which no file replaces")
    try:
        if replaces:
            filesystem.rename([path], [aside_name(path)])
        filesystem.rename([source], [path])
    except BaseException:
        with suppress(Exception):  # the caller is told of the first
            remote_settle(path)
        raise
    remote_settle(path)


def remote_settle(path: str) -> None:
    """Ends an interrupted replacement of a file, see `remote_rename`: one of the two stays."""
    filesystem, aside = filesystems(path).get_filesystem(path), aside_name(path)
    if not filesystem.has_dirs() or not filesystem.exists(aside):
        return
    if filesystem.exists(path):
        filesystem.delete([aside])
    else:
        filesystem.rename([aside], [path])
