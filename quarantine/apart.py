"""What leaves the quarantine goes nowhere that the gate reads, or hands on."""

import os

from ingestgate.assets import storage
from ingestgate.assets.bound_output import bound_output
from ingestgate.assets.errors import GateError, UsageError
from ingestgate.quarantine.audit import read_log

_MARK = "_ingestgate"  # of an output that has a certificate or a recall notice


def require_apart(root: str, path: str) -> None:
    """Refuses a path in a quarantine, or in evidence or output of a run that sealed into it.

    Args:
        root: The quarantine.
        path: Where something of it is to be written.

    Raises:
        UsageError: It is; says in what.
        EvidenceError: The quarantine's audit log, which names the runs, does not hold.
        StorageError: It cannot be read.
    """
    place = _real(path)
    for folder in _folders_of_runs(root):
        if f"{place}/".startswith(f"{_real(folder)}/"):
            raise _refused(path, folder)
    above = place
    while above != storage.parent(above):
        if not storage.is_remote(above) and os.path.isdir(storage.join(above, _MARK)):
            raise _refused(path, above)
        above = storage.parent(above)


def _folders_of_runs(root: str) -> list[str]:
    folders = [root]
    begun = (line.fields.get("evidence") for line in read_log(root) if line.event == "run.begun")
    for evidence in dict.fromkeys(one for one in begun if isinstance(one, str)):
        folders.append(evidence)
        try:
            output = bound_output(evidence)
        except GateError:
            continue  # it is elsewhere by now, or not this person's to read
        folders += [output] if output else []
    return folders


def _real(path: str) -> str:
    return storage.absolute(path) if storage.is_remote(path) else os.path.realpath(path)


def _refused(path: str, folder: str) -> UsageError:
    return UsageError(
        f"{path}: lies in {folder}, which the gate reads or hands on; name a place of its own"
    )
