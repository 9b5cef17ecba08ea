"""SHA-256 of many files at once, as fast as cores and disks allow."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.file_digest import OnBytes, file_sha256
from ingestgate.assets.listing import listing_sha256


def hash_files(
    paths: Sequence[str], on_bytes: OnBytes, threads: int = 0
) -> Iterator[tuple[str, str]]:
    """Yields each path with its SHA-256, in order.

    Args:
        paths: The files.
        on_bytes: Called from any thread as bytes are done.
        threads: How many at a time; 0: one per core, or more where a store has to be waited for.

    Raises:
        StorageError: One cannot be read.
    """
    waits = any(storage.is_remote(path) for path in paths)
    count = threads or (16 if waits else len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(count) as pool:
        yield from zip(paths, pool.map(lambda p: file_sha256(p, on_bytes), paths), strict=True)


def folder_digest(root: str, files: dict[str, str]) -> str:
    """Returns the dirHash of a folder from the digests of the files below it, by path.

    Raises:
        EvidenceError: A name has a line feed, so that two folders could have the same; Go's
            directory hash is of no such folder either.
    """
    for path in files:
        if "\n" in path[len(root) :]:
            raise EvidenceError(
                f"{path!a}: the name has a line feed, by which a folder can be made to look like "
                "another; remove it, and get the folder again"
            )
    below = len(root.rstrip("/")) + 1
    return listing_sha256((path[below:], sha256) for path, sha256 in files.items())


#: Told now and then: bytes done, bytes in all, bytes a second.
Show = Callable[[int, int, float], None]


class Meter:
    """Counts bytes from several threads, and says how fast they came.

    Args:
        total: How many there will be.
        show: Called about every half second with bytes done, total and bytes a second.
    """

    def __init__(self, total: int, show: Show | None = None) -> None:
        self.total = total
        self.done = 0
        self._show = show
        self._lock = threading.Lock()
        self._started = self._shown = time.monotonic()

    def __call__(self, count: int) -> None:
        """Counts."""
        with self._lock:
            self.done += count
            now = time.monotonic()
            if self._show is None:
                return
            # Its end is told as well, once it has been told of at all.
            at_end = self.done >= self.total and self._shown > self._started
            if now - self._shown < 0.5 and not at_end:
                return
            self._shown = now
            self._show(self.done, self.total, self.rate)

    @property
    def seconds(self) -> float:
        """Time since it was made."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.done / max(self.seconds, 1e-9)
