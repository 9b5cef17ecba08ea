from pathlib import Path

import pytest

from ingestgate.assets import storage
from tests.assets.storage.conftest import everywhere, names
from tests.object_store import ROOT_VARIABLE


@everywhere
def test_sweep_removes_what_a_killed_writer_left(root: str) -> None:
    storage.write_bytes(f"{root}/sub/kept", b"kept")
    storage.write_bytes(f"{root}/sub/.mine.partial", b"not one of ours")
    killed = storage.PendingFile(f"{root}/sub/file")
    killed.sink.write(b"half")
    killed.complete()
    assert storage.sweep(root) == 1
    assert [storage.basename(entry.path) for entry in storage.walk(root)] == [
        ".mine.partial",
        "kept",
    ]
    assert storage.sweep(f"{root}/missing") == 0


def test_delete_removes_trees_but_not_what_a_link_points_at(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    storage.delete_tree(str(tmp_path / "tree"))
    storage.delete_tree(str(tmp_path / "link"))
    assert names(tmp_path) == ["kept"]


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
def test_a_remote_tree_is_deleted_whole_and_nothing_beside_it(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    bucket = f"{scheme}://bucket"
    storage.delete_tree(f"{bucket}/gone")
    for name in ("gone/a", "gone/deeper/b", "gone-not"):
        storage.write_bytes(f"{bucket}/{name}", b"x")
    storage.delete_tree(f"{bucket}/gone")
    assert [entry.path for entry in storage.walk(bucket)] == [f"{bucket}/gone-not"]


def test_a_removed_object_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an object store, a name may be that of an object and begin those of others."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    bucket = "teststore://bucket"
    for remove in (storage.delete, storage.erase):
        for name in ("k.jpg", "k.jpg/inner.jpg"):
            storage.write_bytes(f"{bucket}/{name}", b"x")
        remove(f"{bucket}/k.jpg")
        assert [entry.path for entry in storage.walk(bucket)] == [f"{bucket}/k.jpg/inner.jpg"]
