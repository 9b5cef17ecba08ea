import os
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.assets.storage.conftest import REMOTES


def test_erase_overwrites_before_it_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "secret", tmp_path / "other"
    path.write_bytes(b"secret" * 400_000)
    os.link(path, other)  # the same bytes on disk
    synced: list[int] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(path.exists())
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    storage.erase(str(path))
    assert not path.exists()
    assert other.read_bytes() == bytes(2_400_000)
    assert synced == [True, False], "the zeros are durable before the name goes"
    storage.erase(str(path))
    (tmp_path / "link").symlink_to(other)
    with pytest.raises(StorageError):
        storage.erase(str(tmp_path / "link"))


@pytest.mark.parametrize("remote", REMOTES)
def test_erase_on_object_stores(stores: None, remote: str) -> None:
    storage.write_bytes(f"{remote}/a/secret", b"secret")
    storage.erase(f"{remote}/a/secret")
    storage.erase(f"{remote}/a/secret")
    assert not storage.exists(f"{remote}/a/secret")
