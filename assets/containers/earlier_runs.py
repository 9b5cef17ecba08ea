"""What runs leave behind is no input: outputs, quarantines and evidence inside a landing zone.

What was admitted once would be taken a second time, and a ledger or a manifest for a list of URLs.
Whoever lays such a folder into a landing zone is told so. The admitted shards themselves may be the
input of another gate; what is stated about them, below ``_ingestgate/``, is not.
"""

from collections.abc import Callable, Iterable
from typing import Final

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.assets.storage import Entry

#: Folder below an output that holds statements about it, and no asset.
STATEMENTS: Final = "_ingestgate"

_LOG = ("audit", "log.jsonl")


def without_statements(below: str, paths: Iterable[str]) -> list[str]:
    """Returns those paths that do not lie in a folder of statements below a directory."""
    start = len(below.rstrip("/"))
    return [path for path in paths if f"/{STATEMENTS}/" not in f"{path[start:]}/"]


def refuse_below(directory: str, shown: str, entries: Iterable[Entry]) -> None:
    """Refuses a directory that holds what an earlier run left, as all that lies in it is known.

    Raises:
        UsageError: There is such a folder; says which and what it is.
    """
    paths = {entry.path for entry in entries}
    folders = _ancestors(directory, paths)
    known = folders | paths
    _refuse(directory, shown, folders, known.__contains__)


def refuse_around(directory: str, shown: str, paths: Iterable[str]) -> None:
    """Refuses files that a pattern found inside what an earlier run left.

    Args:
        directory: The pattern's part without wildcards.
        shown: The pattern, as messages may show it.
        paths: What it matched.

    Raises:
        UsageError: There is such a folder; says which and what it is.
    """
    _refuse(directory, shown, _ancestors(directory, paths), storage.is_there)


def left_by_a_run(folder: str, there: Callable[[str], bool] = storage.is_there) -> str:
    """Returns what a folder is of an earlier run: evidence, quarantine, output; "" for none.

    Args:
        folder: Its path.
        there: Tells whether there is a file or a directory of a name.

    Raises:
        StorageError: It cannot be told.
    """
    if there(storage.join(folder, "contexts")) and there(storage.join(folder, "ledger")):
        return "evidence"
    if there(storage.join(folder, *_LOG)):
        return "quarantine"
    return "output" if there(storage.join(folder, STATEMENTS)) else ""


def _refuse(
    directory: str, shown: str, folders: Iterable[str], there: Callable[[str], bool]
) -> None:
    for folder in sorted(folders):
        what = left_by_a_run(folder, there)
        if what == "output" and folder == directory:
            continue  # one that is named itself is the input of another gate
        if what:
            raise UsageError(
                f"{folder}: is the {what} of an earlier run and lies in the input {shown}; what a "
                "run left is no input: move it elsewhere, or name the shards more precisely"
            )


def _ancestors(directory: str, paths: Iterable[str]) -> set[str]:
    """Returns the directories that lead to some paths, from a directory on, this one included."""
    top = directory.rstrip("/")
    found = {top}
    for path in paths:
        folder = storage.parent(path)
        while len(folder) > len(top) and folder not in found:
            found.add(folder)
            folder = storage.parent(folder)
    return found
