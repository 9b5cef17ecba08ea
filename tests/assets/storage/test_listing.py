import os
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.assets.storage.conftest import everywhere


def test_walk_follows_links_and_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_bytes(b"x")
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "linked").symlink_to(tmp_path / "real")
    landing = str(tmp_path / "landing")
    assert [entry.path for entry in storage.walk(landing)] == [f"{landing}/linked/x"]

    (tmp_path / "real" / "back").symlink_to(tmp_path / "landing")
    with pytest.raises(StorageError, match="leads back"):
        storage.walk(landing)
    (tmp_path / "real" / "back").unlink()

    os.mkfifo(tmp_path / "landing" / "pipe")
    with pytest.raises(StorageError, match="pipe: neither a file nor a directory"):
        storage.walk(landing)
    with pytest.raises(StorageError, match="missing"):
        storage.walk(str(tmp_path / "missing"))


@everywhere
def test_a_directory_that_may_not_be_there(root: str) -> None:
    storage.write_bytes(f"{root}/there/x", b"x")
    assert storage.is_directory(f"{root}/there")
    assert not storage.is_directory(f"{root}/there/x")
    assert [entry.path for entry in storage.walk_if_there(f"{root}/there")] == [f"{root}/there/x"]
    assert storage.walk_if_there(f"{root}/missing") == []


@pytest.mark.parametrize("root", ["local", "teststore://bucket"], indirect=True)
def test_a_directory_whose_name_looks_like_a_pattern(root: str) -> None:
    for name in ("d[1]/x", "d1/y"):
        storage.write_bytes(f"{root}/{name}", b"x")
    assert storage.is_directory(f"{root}/d[1]")
    assert not storage.is_directory(f"{root}/d?")
    assert [entry.path for entry in storage.walk_if_there(f"{root}/d[1]")] == [f"{root}/d[1]/x"]


def test_where_such_a_name_cannot_be_listed_it_is_not_taken_for_missing(stores: None) -> None:
    with pytest.raises(StorageError, match="cannot be listed"):
        storage.walk_if_there("testtree://host/d[1]")


def test_a_dangling_link_that_matches_is_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.tar").symlink_to(tmp_path / "gone")
    with pytest.raises(StorageError, match=r"a\.tar: No such file"):
        storage.match(f"{tmp_path}/*.tar")


def test_wildcards_in_a_remote_name_reach_no_neighbour(stores: None) -> None:
    for name in ("d[1]/x", "d1/x", "a1", "a[1]"):
        storage.write_bytes(f"teststore://bucket/{name}", name.encode())
    walked = storage.walk("teststore://bucket/d[1]")
    assert [entry.path for entry in walked] == ["teststore://bucket/d[1]/x"]
    assert storage.status("teststore://bucket/a[1]").size == 4
    with pytest.raises(StorageError, match="wildcards"):
        storage.delete("teststore://bucket/a[1]")
    assert storage.read_bytes("teststore://bucket/a1") == b"a1"
    with pytest.raises(StorageError, match="cannot be listed"):
        storage.walk("testtree://host/d[1]")
