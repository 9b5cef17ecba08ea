"""Paths as text: schemes, wildcards, components, and the temporary names beside final ones."""

import hashlib
import os
import posixpath
import re
import uuid
from urllib.parse import unquote

PARTIAL_SUFFIX = ".partial"
_PARTIAL = re.compile(r"\..*\.[0-9a-f]{12}" + re.escape(PARTIAL_SUFFIX), re.DOTALL)
#: Instead of a random one, of what makes way for another file of its name: "replac" in ASCII.
_REPLACED = f".7265706c6163{PARTIAL_SUFFIX}"
#: What some clients would expand is not in it.
_ESCAPES = {ord(character): f"%{ord(character):02X}" for character in "%*?["}
_LONGEST = 255  # bytes of a component, on most file systems
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
WILDCARD = re.compile(r"[*?\[]")


def is_remote(path: str) -> bool:
    """Whether a path has a scheme (``gs://``, ``s3://``...) and goes through Beam."""
    return _SCHEME.match(path) is not None


def has_wildcard(path: str) -> bool:
    """Whether a path is a pattern."""
    return WILDCARD.search(path) is not None


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


def resolved(path: str) -> str:
    """Returns a path that two names of one local file or directory share: links are followed."""
    return absolute(path) if is_remote(path) else os.path.realpath(path)


def temporary_name(path: str) -> str:
    """Returns a new temporary name beside a final one."""
    # Short enough for every file system whatever the name, and free of wildcards, which some
    # stores' clients would expand when the file is deleted.
    stem = WILDCARD.sub("_", basename(path))[:40]
    return join(parent(path), f".{stem}.{uuid.uuid4().hex[:12]}{PARTIAL_SUFFIX}")


def aside_name(path: str) -> str:
    """Returns the temporary name of what makes way for another file of its name."""
    name = basename(path).translate(_ESCAPES)
    if len(name.encode("utf-8", "surrogateescape")) + len(_REPLACED) >= _LONGEST:
        name = f"%%{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()}"
    return join(parent(path), f".{name}{_REPLACED}")


def is_aside(path: str) -> bool:
    """Whether `aside_name` made a path's last component."""
    name = basename(path)
    return name.startswith(".") and name.endswith(_REPLACED)


def name_before(aside: str) -> str | None:
    """Returns of which name `aside_name` made a path; None if that was too long to be in it."""
    name = basename(aside)[1 : -len(_REPLACED)]
    return None if name.startswith("%%") else join(parent(aside), unquote(name))


def is_partial(path: str) -> bool:
    """Whether a path is, or lies below, a name that `temporary_name` made."""
    return any(_PARTIAL.fullmatch(part) for part in path.split("/"))
