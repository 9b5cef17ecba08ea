"""Folders that are their owner's alone: the quarantine's, and those for what is opened."""

import os
import stat

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError, VaultError


def require_private(path: str, what: str) -> None:
    """Refuses a local folder that is open to others; one that is empty, or not there, can be made.

    Raises:
        UsageError: It is, and holds something: it may be anybody's.
        VaultError: It cannot be told.
    """
    if storage.is_remote(path):
        return
    try:
        if _is_open(path) and os.listdir(path):
            raise UsageError(
                f"{path}: {what} is open to others; close it (chmod 700), or name one that does "
                "not exist yet"
            )
    except FileNotFoundError:
        return
    except OSError as error:
        raise VaultError(f"{path}: {error.strerror}") from error


def make_private(path: str, what: str) -> None:
    """Makes a folder for its owner only, or an empty one so; raises as `require_private` does."""
    require_private(path, what)
    storage.make_directory(path, private=True)
    if storage.is_remote(path):
        return
    try:
        if _is_open(path):
            os.chmod(path, 0o700)
    except OSError as error:
        raise VaultError(f"{path}: {error.strerror}") from error


def _is_open(path: str) -> bool:
    return bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)
