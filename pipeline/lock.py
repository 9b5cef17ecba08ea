"""One run at a time on one evidence folder, and on one output."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ingestgate.assets import storage
from ingestgate.assets.errors import GateError, NotLockableError


class RunInProgressError(GateError):
    """Another run is at work on the same evidence folder."""


@contextmanager
def run_lock(evidence: str) -> Iterator[None]:
    """Holds the evidence folder's lock.

    Raises:
        RunInProgressError: Another run holds it.
        StorageError: It cannot be held.
    """
    if not storage.is_remote(evidence):
        storage.make_directory(evidence, private=True)
    with storage.lock(storage.join(evidence, ".lock")) as held:
        if not held:
            raise _in_progress(f"{evidence}; wait for it, or give this one folders of its own")
        yield


@contextmanager
def output_lock(output: str) -> Iterator[None]:
    """Holds the output folder itself, so that runs with other evidence do not write there, too.

    Another run's rules could let in what this one takes out. Nothing is put into the folder: the
    lock is the directory's own. File systems that lock no directories do without, as object
    stores do; there, the scheduler has to see to it.

    Raises:
        RunInProgressError: Another run holds it.
        StorageError: It cannot be held.
    """
    if not storage.is_remote(output):
        storage.make_directory(output)
    with ExitStack() as stack:
        try:
            held = stack.enter_context(storage.lock(output, directory=True))
        except NotLockableError:
            held = True
        if not held:
            advice = "wait for it, or give this one folders of its own"
            raise _in_progress(f"{output}, with other evidence; {advice}")
        yield


def _in_progress(what: str) -> RunInProgressError:
    return RunInProgressError(f"another run is at work on {what}")
