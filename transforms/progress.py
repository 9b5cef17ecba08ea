"""Progress notes: each worker process says in a small file how far it is.

Beam's metrics reach the driver only when a local pipeline has ended, so workers on the
driver's machine leave notes in a folder of its; elsewhere the folder is missing and nothing is
written. Counts only: a note names no asset, shard or list.
"""

import json
import os
import time
import uuid
from collections import Counter
from pathlib import Path

_INTERVAL_S = 0.5


class ProgressNotes:
    """Writes one process's notes.

    Args:
        directory: The driver's folder, or "".
    """

    def __init__(self, directory: str) -> None:
        self._path = Path(directory) / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
        self._wanted = bool(directory) and Path(directory).is_dir()
        self._counts: Counter[str] = Counter()
        self._due = 0.0

    def add(self, key: str, amount: int) -> None:
        """Adds to a count; written out every half second."""
        self._counts[key] += amount
        if self._wanted and time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Writes the counts out."""
        if not self._wanted:
            return
        self._due = time.monotonic() + _INTERVAL_S
        temporary = self._path.with_suffix(".partial")
        try:
            temporary.write_text(json.dumps(self._counts))
            temporary.replace(self._path)
        except OSError:
            self._wanted = False  # progress is a courtesy; the run goes on without it


def read_notes(directory: str) -> Counter[str]:
    """Adds up the notes of all processes."""
    total: Counter[str] = Counter()
    for path in Path(directory).glob("*.json"):
        total.update(json.loads(path.read_text()))
    return total
