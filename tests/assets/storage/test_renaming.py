from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.assets.storage.conftest import everywhere


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file: File exists"):
        storage.make_directory(str(tmp_path / "file"))


@everywhere
def test_move_takes_the_place_of_what_is_there(root: str) -> None:
    storage.write_bytes(f"{root}/staged/new", b"new")
    storage.write_bytes(f"{root}/there/old", b"old")
    storage.move(f"{root}/staged/new", f"{root}/there/old")
    assert storage.read_bytes(f"{root}/there/old") == b"new"
    assert not storage.exists(f"{root}/staged/new")
    with pytest.raises(StorageError, match=r"staged|No such"):
        storage.move(f"{root}/staged/new", f"{root}/there/old")
