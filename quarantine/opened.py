"""Where opened samples go: for each asset a folder of its own, new, and its owner's alone."""

import os
from collections.abc import Iterator, Sequence

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError, UsageError, VaultError
from ingestgate.quarantine.private import make_private, require_private

_WHAT = "the folder for what is opened"


def new_folder(to: str, asset: str) -> str:
    """Returns the path of an asset's folder below another; makes nothing yet.

    Raises:
        UsageError: It is there, or the other is open to others, or not local.
        VaultError: That cannot be told.
    """
    if storage.is_remote(to):
        raise UsageError(f"{to}: what is opened is written to a local folder only")
    require_private(to, _WHAT)
    folder = storage.join(to, asset)
    if storage.exists(folder):
        raise _exists(folder)
    return folder


def write(folder: str, files: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    """Writes files into a folder of `new_folder`'s, which this makes; yields their paths.

    Where that fails, or is ended before the last, the folder is removed again.

    Raises:
        UsageError: It was made by somebody else since.
        VaultError: Two files have one name: no run of this program sealed them.
        StorageError: Something cannot be written.
    """
    make_private(storage.parent(folder), _WHAT)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        raise _exists(folder) from None
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from error
    try:
        for name, content in files:
            path = storage.join(folder, name)
            _write_new(path, content)
            yield path
    except BaseException:
        storage.delete_tree(folder)  # else it keeps the next try from opening
        raise


def _write_new(path: str, content: bytes) -> None:
    if storage.exists(path):
        raise VaultError(f"{path}: is twice in the sample; look at it with age and tar")
    storage.write_bytes(path, content, private=True)


def _exists(folder: str) -> UsageError:
    return UsageError(
        f"{folder}: exists; what was opened is never overwritten, remove it or give another --to"
    )
