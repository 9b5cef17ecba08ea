import errno
import os
import threading
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError, VaultError
from ingestgate.quarantine import locking
from ingestgate.quarantine.locking import quarantine_lock, sweep_quarantine


def test_jobs_seal_together_and_who_changes_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "WAIT_SECONDS", 0.0)
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
    with pytest.raises(StorageError, match="No such file"):
        quarantine_lock(str(tmp_path / "none"), alone=True).__enter__()


@pytest.mark.parametrize("call", ["os.open", "fcntl.flock"])
def test_a_lock_that_cannot_be_held_is_nobody_elses_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(call, refuse)
    with pytest.raises(StorageError, match="No locks available"):
        sweep_quarantine(str(tmp_path))
    with pytest.raises(StorageError, match="No locks available"):
        quarantine_lock(str(tmp_path), alone=False).__enter__()


def test_a_job_waits_for_one_that_sweeps(tmp_path: Path) -> None:
    held = threading.Event()

    def seal() -> None:
        with quarantine_lock(str(tmp_path), alone=False):
            held.set()

    waiting = threading.Thread(target=seal)
    with quarantine_lock(str(tmp_path), alone=True):
        waiting.start()
        assert not held.is_set()
    waiting.join(locking.WAIT_SECONDS)
    assert held.is_set()


def test_only_what_nobody_is_writing_is_swept(tmp_path: Path) -> None:
    partial = Path(storage.temporary_name(str(tmp_path / "object.age")))
    partial.write_bytes(b"x")
    with quarantine_lock(str(tmp_path), alone=False):
        sweep_quarantine(str(tmp_path))
        assert partial.exists()
    sweep_quarantine(str(tmp_path))
    assert not partial.exists()
