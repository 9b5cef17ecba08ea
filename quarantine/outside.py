"""Where what people take out of a quarantine must not go: back in, or where runs read and write."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Final

from ingestgate.assets import storage
from ingestgate.assets.containers.earlier_runs import left_by_a_run
from ingestgate.assets.errors import UsageError
from ingestgate.quarantine.audit import read_log

#: Has the absolute paths of a run's folders: `inputs`, `output`, `evidence`.
RUN_BEGUN: Final = "run.begun"


def require_outside(root: str, to: str) -> None:
    """Refuses a path in a quarantine, be it this one or another.

    Args:
        root: The quarantine that something is taken out of.
        to: Where it is to go.

    Raises:
        UsageError: It lies in one; says in which.
        StorageError: It cannot be told.
    """
    _refuse(to, [(root, "quarantine")], {"quarantine"})


def require_apart(root: str, to: str) -> None:
    """Refuses a path in any folder of a run, where what is opened would be taken for an asset.

    Those are the folders that look like one, and those that the audit log says runs of this
    quarantine had. Arguments and errors are those of `require_outside`.

    Raises:
        EvidenceError: The log does not hold.
    """
    folders = [(root, "quarantine"), *_folders_of_runs(root)]
    _refuse(to, folders, {"quarantine", "evidence", "output"})


def _folders_of_runs(root: str) -> Iterator[tuple[str, str]]:
    for line in read_log(root):
        if line.event != RUN_BEGUN:  # others have paths as they were typed, somewhere
            continue
        for name in ("evidence", "output"):
            if name in line.fields:  # earlier versions named the evidence alone
                yield str(line.fields[name]), name
        for pattern in line.fields.get("inputs", ()):
            yield _fixed(str(pattern)), "input"


def _fixed(pattern: str) -> str:
    """Returns the folder that a pattern is below; a path that is none is its own."""
    remote = storage.is_remote(pattern)  # then no store is asked: where to open is local
    while storage.has_wildcard(pattern) and (remote or not storage.exists(pattern)):
        pattern = storage.parent(pattern)
    return pattern


def _refuse(to: str, known: Iterable[tuple[str, str]], kinds: Collection[str]) -> None:
    above = list(_above(storage.resolved(to)))
    named = (each for each in known if storage.resolved(each[0]) in above)
    looked = ((folder, what) for folder in above if (what := left_by_a_run(folder)) in kinds)
    for folder, what in chain(named, looked):
        raise UsageError(
            f"{to}: lies in {folder}, the {what} of a run; what is taken out of a quarantine goes "
            "to a folder of its own, give another --to"
        )


def _above(path: str) -> Iterator[str]:
    """Yields a path and every folder that it lies in."""
    remote = storage.is_remote(path)
    while path and storage.is_remote(path) == remote:
        yield path
        path = storage.parent(path)
