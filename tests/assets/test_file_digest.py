"""A file is digested in blocks, and whoever asks is told of each."""

import hashlib
from pathlib import Path

import pytest

from ingestgate.assets.errors import StorageError
from ingestgate.assets.file_digest import file_sha256


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_all_of_it_is_digested_and_counted(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(content := bytes(range(256)) * (size // 256 + 1))
    told: list[int] = []
    path = str(tmp_path / "file")
    assert file_sha256(path, told.append) == hashlib.sha256(content).hexdigest()
    assert sum(told) == len(content)
    assert file_sha256(path) == hashlib.sha256(content).hexdigest()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="none"):
        file_sha256(str(tmp_path / "none"))
