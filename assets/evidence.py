"""Whether there is a run's evidence where somebody says it is."""

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError

#: What a run makes first, and what is of use where the rest was left behind.
_FOLDERS = ("contexts", "ledger", "receipts", "reports", "rescans")


def require_evidence(evidence: str) -> None:
    """Refuses a folder that holds no evidence, before anything is made or locked there.

    Raises:
        UsageError: It does not.
        StorageError: It cannot be told.
    """
    if not storage.exists(storage.join(evidence, "report.json")) and not any(
        storage.is_directory(storage.join(evidence, folder)) for folder in _FOLDERS
    ):
        raise UsageError(f"{evidence}: no evidence of a run there; give the --evidence of a run")
