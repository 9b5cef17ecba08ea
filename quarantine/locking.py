"""Who may change a quarantine at the same time: jobs that seal together, people alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ingestgate.assets import storage
from ingestgate.assets.errors import VaultError

#: How long a job waits for who holds the lock alone: as a rule another that is only sweeping.
WAIT_SECONDS = 10.0


@contextmanager
def quarantine_lock(root: str, *, alone: bool) -> Iterator[None]:
    """Holds a quarantine's lock; the kernel releases it whatever ends the process.

    A job that seals holds it with others of its kind. Destroying, rewrapping and removing are
    done alone: a rewrapping beside a destruction could bring back a key, and what a job has just
    sealed is named by no manifest yet. Object stores have no such lock: there, whoever runs
    these commands has to see to it.

    Raises:
        VaultError: Somebody else holds it; of a job, for longer than `WAIT_SECONDS`.
        StorageError: The lock cannot be opened or held: the folder is not there, say.
    """
    with _lock(root, alone=alone) as held:
        if not held:
            who = "a job or another command" if alone else "a command that changes the quarantine"
            raise VaultError(f"{root}: {who} is at work on it; wait for it")
        yield


def is_at_work(root: str, *, alone: bool) -> bool:
    """Whether somebody holds a quarantine's lock, or holds it alone; False if nothing tells."""
    return storage.is_locked(_path(root), alone=alone)


def sweep_quarantine(root: str) -> None:
    """Removes what killed jobs left under temporary names; nothing while another is at work.

    What lies under such a name may be what the other one is just sealing.

    Raises:
        StorageError: The lock cannot be opened or held, whoever else may be at work.
    """
    with _lock(root, alone=True) as held:
        if held:
            storage.sweep(root)


def _lock(root: str, *, alone: bool) -> AbstractContextManager[bool]:
    return storage.lock(_path(root), shared=not alone, seconds=0.0 if alone else WAIT_SECONDS)


def _path(root: str) -> str:
    return storage.join(root, ".lock")
