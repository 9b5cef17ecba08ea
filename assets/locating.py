"""Paths that lead to other machines, among those that lead to files beside."""

import re

# A name of one letter is a drive, and nothing but https needs no slashes.
_REMOTE = re.compile(
    r"\s*(?:(?!file:)[a-z][a-z0-9+.\-]+:[/\\]{2}|[/\\]{2}|(?:https?|data|blob|javascript):)", re.I
)
# What fsspec puts in front of the path of an archive, or of a copy (``zip://a.jpg::https://...``).
_WRAPPERS = re.compile(
    r"\s*(?:zip|tar|libarchive|gzip|bz2|xz|lzma|zstd|lz4|(?:simple|file|block)cache|cached)://",
    re.I,
)


def remote_parts(path: str) -> list[str]:
    """Returns the URLs that a path consists of; none for a path of files."""
    parts = path.split("::")
    return [part for part in parts if _REMOTE.match(part) and not _WRAPPERS.match(part)]
