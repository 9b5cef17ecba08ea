"""Temporary files, below TMPDIR: of one process alone, and gone with it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from ingestgate.assets.errors import StorageError


@contextmanager
def private_file() -> Iterator[tuple[IO[bytes], str]]:
    """Yields a file that is nobody else's, and a path by which this process opens it anew.

    On Linux the file has no name, so that nothing is left of it whatever ends the process. On
    other systems it has one, and is 0600, until the block ends.

    Raises:
        StorageError: There is no room for it.
    """
    try:
        file, path = _nameless() or _named()
    except OSError as error:
        raise no_room(error) from error
    try:
        yield file, path
    finally:
        with suppress(OSError):  # of what could not be written, which is told already
            file.close()


def _nameless() -> tuple[IO[bytes], str] | None:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    # Not /dev/fd: on macOS all who open that share one place in the file.
    path = f"/proc/self/fd/{file.fileno()}"
    with suppress(OSError), open(path, "rb"):
        return file, path
    file.close()
    return None


def _named() -> tuple[IO[bytes], str]:
    file = tempfile.NamedTemporaryFile(prefix="ingestgate-")  # noqa: SIM115
    return file, file.name


def no_room(error: OSError) -> StorageError:
    """Returns what to say of a temporary file that cannot be made or written."""
    return StorageError(
        f"{tempfile.tempdir or 'temporary files'}: {error.strerror}; free some room there, or "
        "name another folder for temporary files in TMPDIR"
    )
