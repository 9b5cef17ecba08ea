"""The listing of a folder: its files and their digests as lines, whose digest stands for it."""

import hashlib
from collections.abc import Iterable


def listing(files: Iterable[tuple[str, str]]) -> bytes:
    r"""Returns a line for each file, sorted by the path's bytes.

    The SHA-256 of its content in hex, two spaces, its path relative to the folder with ``/``, a
    line feed (``sha256sum``'s format, but that no character is escaped).

    Args:
        files: Relative path and SHA-256 in hex of every file.
    """
    encoded = sorted((path.encode("utf-8", "surrogateescape"), sha256) for path, sha256 in files)
    return b"".join(b"%s  %s\n" % (sha256.encode(), path) for path, sha256 in encoded)


def listing_sha256(files: Iterable[tuple[str, str]]) -> str:
    """Returns the digest that stands for a folder: the SHA-256 of its `listing`, in hex."""
    return hashlib.sha256(listing(files)).hexdigest()
