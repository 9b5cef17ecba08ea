"""What the inputs resolve to: shards, their formats, their common root.

An input is a file, a directory or a pattern of either, local or remote. A directory with
pictures is one image folder; one with shard files stands for all of them, at any depth, and
what else lies in it (a README) is left behind; one with both has to be said more precisely.
A file that was named or matched must be of a known format: nothing named is passed over.
"""

import glob
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ingestgate.assets import storage
from ingestgate.assets.containers import detection, earlier_runs, registry
from ingestgate.assets.containers.container import Discovery
from ingestgate.assets.errors import InputError, UsageError
from ingestgate.assets.shard import Shard
from ingestgate.assets.storage import Entry

_THREADS = 16  # opening a Parquet footer on an object store is all waiting


@dataclass(slots=True)
class _Found:
    """What one or more inputs came to, before names are known."""

    roots: list[str] = field(default_factory=list)
    files: dict[str, Entry] = field(default_factory=dict)
    folders: dict[str, list[Entry]] = field(default_factory=dict)
    left_behind: set[str] = field(default_factory=set)


#: Whether a directory of some files is known to be an image folder, whatever it looks like.
KnownFolder = Callable[[str, Sequence[Entry]], bool]


def discover(
    patterns: Sequence[str],
    format: str | None = None,
    known: KnownFolder = lambda directory, entries: False,
) -> Discovery:
    """Resolves inputs to shards.

    Args:
        patterns: Paths or patterns, at least one.
        format: Name of the format that every input is said to be; None to detect it.
        known: Tells image folders in which no picture is left, see `purged_folders`.

    Raises:
        UsageError: There is no format of that name.
        InputError: An input matches nothing, a file is of no known format, a directory holds
            both shards and pictures, or a shard would be in two.
    """
    if format is not None:
        registry.container(format)
    if not patterns:
        raise InputError("no input was given")
    found = _Found()
    for pattern in patterns:
        _resolve(pattern, format, known, found)
    root = _common(found.roots)
    _check_apart(found)
    shards = [*_file_shards(found, root, format)]
    for folder, entries in found.folders.items():
        shards.append(_shard(root, folder, "folder", entries))
    return Discovery(
        root,
        sorted(shards),
        sorted(_below(root, path) for path in found.left_behind - set(found.files)),
    )


def _resolve(pattern: str, format: str | None, known: KnownFolder, found: _Found) -> None:
    path = storage.absolute(pattern)
    wild = storage.has_wildcard(path)
    if wild and not storage.is_remote(path) and storage.exists(path):
        # A name with brackets that is there is meant as it is written.
        path, literal, wild = glob.escape(path), path, False
    else:
        literal = path
    files = storage.match(path)
    # "**" matches every directory on the way: those are not meant.
    directories = [] if "**" in path else storage.match_directories(path)
    if wild:
        # Below the pattern's fixed part: statements that are named themselves are meant.
        fixed = _static(path)
        kept = set(earlier_runs.without_statements(fixed, [entry.path for entry in files]))
        files = [entry for entry in files if entry.path in kept]
        directories = earlier_runs.without_statements(fixed, directories)
        earlier_runs.refuse_around(fixed, shown(pattern), [entry.path for entry in files])
    if not files and not directories and not wild and storage.is_remote(path) and known(path, ()):
        directories = [path.rstrip("/")]  # a store has no empty ones
    if not files and not directories:
        raise InputError(f"{shown(pattern)}: matches nothing; check the path or the pattern")
    if wild:
        found.roots.append(_static(path))
    elif files:
        found.roots.append(storage.parent(literal))
    found.files.update({entry.path: entry for entry in files})
    for directory in directories:
        entries = _folder_files(directory)
        is_known = format in (None, "folder") and known(directory, entries)
        if not entries and not is_known:
            raise InputError(f"{shown(directory)}: is an empty directory")
        top = _static(path) if wild else directory
        earlier_runs.refuse_below(top, shown(pattern), entries)
        if is_known or detection.is_image_folder(shown(directory), entries, format):
            if len(earlier_runs.without_statements(directory, [e.path for e in entries])) < len(
                entries
            ):
                raise UsageError(
                    f"{shown(directory)}: is the output of an earlier run; name the image folders "
                    "in it, so that the statements about it are not taken for assets"
                )
            found.folders[directory] = entries
            root = storage.parent(directory)
        else:
            if not storage.is_remote(directory):
                # Only now, and never for the sake of a folder's link, are links followed.
                entries = storage.walk(directory, partials=True, others=True)
                earlier_runs.refuse_below(top, shown(pattern), entries)
            kept = set(earlier_runs.without_statements(directory, [e.path for e in entries]))
            entries = [entry for entry in entries if entry.path in kept]
            chosen = detection.shard_files(directory, entries, format)
            if not chosen:
                raise InputError(f"{shown(directory)}: holds neither shards nor pictures")
            found.files.update({entry.path: entry for entry in chosen})
            found.left_behind |= {entry.path for entry in entries} - set(found.files)
            root = directory
        if not wild:
            found.roots.append(root)


def _file_shards(found: _Found, root: str, format: str | None) -> Iterable[Shard]:
    siblings = detection.Siblings(found.files)
    paths = sorted(found.files)
    with ThreadPoolExecutor(_THREADS) as pool:
        trios = list(pool.map(lambda path: detection.trio_parts(path, siblings, format), paths))
        claims = Counter(part.path for trio in trios for part in trio)
        found.left_behind -= claims.keys()
        own = [(path, trio) for path, trio in zip(paths, trios, strict=True) if path not in claims]
        formats = pool.map(lambda item: _format(item[0], bool(item[1]), format), own)
        for (path, trio), name in zip(own, formats, strict=True):
            # What two claim is neither's, and neither can be read without it.
            parts = trio if all(claims[part.path] == 1 for part in trio) else []
            yield _shard(root, path, name, [found.files[path], *parts])


def _format(path: str, trio: bool, format: str | None) -> str:
    if format == "folder":
        raise InputError(f"{shown(path)}: is a file; the format 'folder' takes directories")
    if format is not None:
        if format == "img2dataset" and not trio:
            raise InputError(f"{shown(path)}: has no Parquet file of the same name beside it")
        return format
    if trio:
        return "img2dataset"
    name = detection.format_of(path)
    if name is None:
        known = ", ".join(registry.names())
        raise InputError(
            f"{shown(path)}: is of no known format ({known}); leave it out of the pattern, "
            "name a picture's folder instead of the picture, or say --format"
        )
    return name


def files_of(shard: Shard) -> list[Entry]:
    """Returns the files that a shard is made of now, in the order its identity counts them.

    Raises:
        StorageError: A file of it cannot be looked at.
    """
    if shard.format == "folder":
        return _folder_files(shard.path)
    return [storage.status(path) for path in (shard.path, *shard.parts)]


def _folder_files(folder: str) -> list[Entry]:
    """Returns all that lies in an image folder; what a link leads to does not."""
    entries, others = storage.walk_unfollowed(folder)
    return sorted([*entries, *others])


def _shard(root: str, path: str, format: str, entries: Sequence[Entry]) -> Shard:
    name = _below(root, path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name!a}: the name is not UTF-8; rename it") from error
    for below in (name, *(_below(root, entry.path) for entry in entries)):
        # The digest of a folder, and the listings of the evidence, are of a line for each file.
        if "\n" in below or "\r" in below:
            raise InputError(f"{below!a}: the name has a line break; rename it")
    return Shard(
        name=name,
        path=path,
        format=format,
        size=sum(entry.size for entry in entries),
        identity=identity_of(root, entries),
        parts=() if format == "folder" else tuple(entry.path for entry in entries[1:]),
    )


def identity_of(root: str, entries: Sequence[Entry]) -> str:
    """Returns the identity of a shard that is made of these files.

    Args:
        root: The input's common root.
        entries: The files as a listing found them: the shard's own first, or a folder's, sorted.
    """
    digest = hashlib.sha256()
    for entry in entries:
        mark = "\0".join((_below(root, entry.path), str(entry.size), entry.mark, ""))
        digest.update(mark.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _check_apart(found: _Found) -> None:
    for folder in found.folders:
        for path in (*found.folders, *found.files):
            if path != folder and path.startswith(folder.rstrip("/") + "/"):
                raise InputError(
                    f"{shown(path)}: lies inside the image folder {shown(folder)}, "
                    "which is an input too; name one of them"
                )


def _static(pattern: str) -> str:
    """Returns the part of a pattern before its first component with a wildcard."""
    parts = pattern.split("/")
    count = next(i for i, part in enumerate(parts) if storage.has_wildcard(part))
    return "/".join(parts[:count]) or "/"


def _common(roots: Sequence[str]) -> str:
    split = [root.rstrip("/").split("/") for root in roots]
    common = []
    for level in zip(*split, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    if common and common[0].endswith(":") and len(common) < 3:
        raise InputError("the inputs lie in different buckets: run the gate once for each")
    return "/".join(common) or "/"


def _below(root: str, path: str) -> str:
    return path.removeprefix(root.rstrip("/") + "/")


def shown(path: str) -> str:
    """Returns a path as messages may show it: without credentials."""
    return re.sub(r"://[^/@]*@", "://", path)
