from pathlib import Path

import pytest

from ingestgate.assets.errors import VaultError
from ingestgate.quarantine.locking import quarantine_lock


def test_jobs_seal_together_and_who_changes_is_alone(tmp_path: Path) -> None:
    root = str(tmp_path)
    with (
        quarantine_lock(root, alone=False),
        quarantine_lock(root, alone=False),
        pytest.raises(VaultError, match="a job or another command is at work"),
    ):
        quarantine_lock(root, alone=True).__enter__()
    with quarantine_lock(root, alone=True):
        for alone in (True, False):
            with pytest.raises(VaultError, match="is at work on it; wait"):
                quarantine_lock(root, alone=alone).__enter__()
    with quarantine_lock(root, alone=True):
        pass


def test_an_object_store_has_none() -> None:
    with quarantine_lock("gs://bucket/vault", alone=True):
        pass


def test_no_quarantine_is_told(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="No such file"):
        quarantine_lock(str(tmp_path / "none"), alone=True).__enter__()
