"""Whether a quarantine is where somebody says it is, and its audit log with it.

A mistyped folder, or a log that was removed, must never read as one in which nothing is wrong.
"""

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.quarantine import layout
from ingestgate.quarantine.audit import log_path

_FOLDERS = ("manifest", layout.OBJECTS, layout.KEYS)


def may_begin(root: str) -> bool:
    """Whether there is nothing yet where a quarantine is to be, not even one without its log.

    Or no more than whoever was stopped at its first line has left: locks, and a log without a line.

    Raises:
        StorageError: It cannot be told.
    """
    return not _is_quarantine(root) and not any(entry.size for entry in storage.walk_if_there(root))


def require_quarantine(root: str) -> None:
    """Refuses a folder that is no quarantine, before anything is made or locked there.

    Raises:
        UsageError: There is no such quarantine.
        StorageError: It cannot be told.
    """
    if not _is_quarantine(root):
        raise UsageError(f"{root}: no quarantine there; give the --quarantine of a run")


def require_log(root: str) -> None:
    """Refuses a folder that is no quarantine, and one without its log.

    Whether the log holds, `audit.read_log` tells.

    Raises:
        UsageError: There is no such quarantine.
        EvidenceError: There is one, and its log is gone, or emptied.
        StorageError: It cannot be told.
    """
    require_quarantine(root)
    refuse_lost_log(root)


def refuse_lost_log(root: str) -> None:
    """Refuses a quarantine without its log, if there is a quarantine at all.

    A run writes to the log before it seals: where the log is gone, somebody removed it, and a new
    one would hold as if nothing had been in it.

    Raises:
        EvidenceError: There is a quarantine, and its log is gone, or emptied.
        StorageError: It cannot be told.
    """
    if _is_quarantine(root) and not _has_log(root):
        raise EvidenceError(
            f"{log_path(root)}: the audit log is gone, and the quarantine is there; put it back "
            "from your backup, and find out who removed it"
        )


def _is_quarantine(root: str) -> bool:
    # As a rule its log is there, which is told soonest.
    return _has_log(root) or any(
        storage.is_directory(storage.join(root, folder)) for folder in _FOLDERS
    )


def _has_log(root: str) -> bool:
    path = log_path(root)
    return storage.exists(path) and storage.status(path).size > 0
