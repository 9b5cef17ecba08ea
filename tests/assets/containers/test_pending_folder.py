"""A folder of the output appears whole, locally and on an object store."""

import os
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.containers.container import ReadOptions
from ingestgate.assets.containers.image_folder import ImageFolder
from ingestgate.assets.containers.pending_folder import PendingFolder
from ingestgate.assets.errors import StorageError
from ingestgate.assets.shard import Shard
from tests.object_store import ROOT_VARIABLE, ObjectStore


@pytest.fixture(params=["local", "teststore://bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "local":
        return str(tmp_path / "local")
    (tmp_path / "stores").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "stores"))
    monkeypatch.setattr(ObjectStore, "failing", set())
    return f"{request.param}/data"


def tree(root: str) -> dict[str, bytes]:
    if not storage.exists(root) and not storage.is_remote(root):
        return {}
    return {
        entry.path.removeprefix(f"{root}/"): storage.read_bytes(entry.path)
        for entry in storage.walk(root)
    }


def write(root: str, files: dict[str, bytes], source: Path) -> None:
    with PendingFolder(root, "a/cats") as folder:
        for name, content in files.items():
            folder.write(name, content, str(source))
        before = tree(f"{root}/a/cats")
        assert not before.keys() & (files.keys() - before.keys())
        folder.publish()


def test_it_replaces_an_earlier_one_whole(root: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"")
    write(root, {"x.jpg": b"1", "deep/er/y.jpg": b"2"}, source)
    assert tree(root) == {"a/cats/x.jpg": b"1", "a/cats/deep/er/y.jpg": b"2"}
    write(root, {"x.jpg": b"3", "z.jpg": b"4"}, source)
    assert tree(root) == {"a/cats/x.jpg": b"3", "a/cats/z.jpg": b"4"}


def test_without_publishing_nothing_is_left(root: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"")
    write(root, {"x.jpg": b"1"}, source)
    with PendingFolder(root, "a/cats") as folder:
        folder.write("y.jpg", b"2", str(source))
        assert tree(root) == {"a/cats/x.jpg": b"1"}
    assert tree(root) == {"a/cats/x.jpg": b"1"}
    assert storage.sweep(root) == 0


def test_a_failing_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, source = str(tmp_path / "local"), tmp_path / "source"
    source.write_bytes(b"")
    write(root, {"x.jpg": b"1"}, source)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with PendingFolder(root, "a/cats") as folder:
        folder.write("x.jpg", b"2", str(source))
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match=r"a/cats: No space left"):
            folder.publish()
    assert tree(root) == {"a/cats/x.jpg": b"1"}
    assert sorted(os.listdir(tmp_path / "local" / "a")) == ["cats"]


def test_every_file_and_directory_is_synced_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, source = tmp_path / "local", tmp_path / "source"
    source.write_bytes(b"")
    synced: set[str] = set()
    named: list[set[str]] = []
    fsync, rename = os.fsync, os.rename

    def record(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def give_name(before: str, after: str) -> None:
        rename(before, after)
        named.append({os.path.relpath(path, before) for path in synced if before in path})

    with PendingFolder(str(root), "a/cats") as folder:
        folder.write("x.jpg", b"1", str(source))
        folder.write("deep/er/y.jpg", b"2", str(source))
        monkeypatch.setattr(os, "fsync", record)
        monkeypatch.setattr(os, "rename", give_name)
        folder.publish()
    assert named == [{".", "x.jpg", "deep", "deep/er", "deep/er/y.jpg"}]
    assert str(root / "a") in synced, "its name, too"


def test_a_folder_is_read_from_and_written_to_any_file_system(root: str, tmp_path: Path) -> None:
    files = {"a.jpg": b"1", "b.jpg": b"2", "metadata.csv": b"file_name\na.jpg\nb.jpg\n"}
    for name, content in files.items():
        storage.write_bytes(storage.join(root, "in/cats", name), content)
    shard = Shard("cats", storage.join(root, "in/cats"), "folder", 0, root)
    container, options = ImageFolder(), ReadOptions()
    (work,) = container.cut(shard, options)
    with container.rewrite(shard, storage.join(root, "out")) as writer:
        writer.begin(work)
        for sample in container.read(shard, work, options):
            (writer.drop if sample.key == "a.jpg" else writer.keep)(sample)
        writer.end(work)
        writer.publish()
    left = {"cats/b.jpg": b"2", "cats/metadata.csv": b"file_name\nb.jpg\n"}
    assert tree(storage.join(root, "out")) == left
