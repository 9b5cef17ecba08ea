"""A lock is held alone or shared, for as long as the block, and tells what cannot be locked."""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import NotLockableError, StorageError


def is_free(path: str, *, shared: bool = False) -> bool:
    with storage.lock(path, shared=shared, directory=os.path.isdir(path)) as held:
        return held


def test_one_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with storage.lock(path) as held:
        assert (held, is_free(path), is_free(path, shared=True)) == (True, False, False)
    assert is_free(path)
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_those_that_share_it_together(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with storage.lock(path, shared=True):
        assert (is_free(path, shared=True), is_free(path)) == (True, False)


def test_a_directory_is_locked_and_stays_empty(tmp_path: Path) -> None:
    with storage.lock(str(tmp_path), directory=True):
        assert not is_free(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(StorageError, match="none: No such file"),
        storage.lock(str(tmp_path / "none"), directory=True),
    ):
        pass


def test_it_is_waited_for(tmp_path: Path) -> None:
    path, told = str(tmp_path / "lock"), []

    def wait() -> None:
        with storage.lock(path, seconds=60) as held:
            told.append(held)

    waiting = threading.Thread(target=wait)
    with storage.lock(path):
        waiting.start()
    waiting.join(60)
    assert told == [True]


@pytest.mark.parametrize(("code", "without"), [(errno.ENOLCK, True), (errno.EIO, False)])
def test_what_cannot_be_locked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, without: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(StorageError, match="it cannot be locked") as refused,
        storage.lock(str(tmp_path / "lock")),
    ):
        pass
    assert isinstance(refused.value, NotLockableError) is without


def test_an_object_store_keeps_nobody_out() -> None:
    with storage.lock("gs://bucket/lock") as one, storage.lock("gs://bucket/lock") as other:
        assert one
        assert other


def test_who_may_only_read_sees_whether_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def seen() -> tuple[bool, bool]:
        return storage.is_locked(str(path), alone=True), storage.is_locked(str(path), alone=False)

    assert seen() == (False, False)
    assert not path.exists(), "nothing is made"
    with storage.lock(str(path)):
        path.chmod(0o400)
        assert seen() == (True, True)
    with storage.lock(str(path), shared=True):
        assert seen() == (False, True)
    assert seen() == (False, False)
    assert not storage.is_locked("gs://bucket/lock", alone=True)
