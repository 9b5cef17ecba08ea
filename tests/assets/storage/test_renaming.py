from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.assets.storage.conftest import everywhere
from tests.object_store import ClientError, ObjectStore


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


LOG = "testtree://host/data/log"


def break_at(patch: pytest.MonkeyPatch, operation: str, number: int, *, for_ever: bool) -> None:
    """Lets a store fail at an operation's nth time, once or from then on."""
    seen = 0

    def check(_: ObjectStore, name: str, path: str) -> None:
        nonlocal seen
        seen += name == operation
        if seen > number and (for_ever or (name == operation and seen == number + 1)):
            raise ClientError(f"{name}: service unavailable")

    patch.setattr(ObjectStore, "_check", check)


@pytest.mark.parametrize(
    ("operation", "number", "left"),
    [
        ("rename", 0, b"old"),
        ("renamed", 0, b"old"),  # has made way, and its answer was lost
        ("rename", 1, b"old"),
        ("renamed", 1, b"new"),
    ],
)
def test_what_cannot_be_replaced_is_still_there(
    stores: None, operation: str, number: int, left: bytes
) -> None:
    storage.write_bytes(LOG, b"old")
    with pytest.MonkeyPatch.context() as patch:
        break_at(patch, operation, number, for_ever=False)
        with pytest.raises(StorageError, match="service unavailable"):
            storage.write_bytes(LOG, b"new")
    assert storage.read_bytes(LOG) == left
    storage.sweep("testtree://host/data")
    assert storage.read_bytes(LOG) == left


NAMES = ["log", "a[b]*c?%.txt", "%2A", ".hidden", "n" * 240]


def there() -> list[str]:
    return [entry.path for entry in storage.walk("testtree://host/data", partials=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["settle", "sweep", "write", "delete", "erase", "move"])
def test_what_has_made_way_and_stays_does_not_come_back(stores: None, name: str, how: str) -> None:
    """What replaced it is there, and is not told apart from what a crash left if that goes."""
    path = f"testtree://host/data/{name}"
    storage.write_bytes(path, b"old")
    with pytest.MonkeyPatch.context() as patch:
        break_at(patch, "delete", 0, for_ever=True)
        with pytest.raises(StorageError, match="service unavailable"):
            storage.write_bytes(path, b"new")
    assert len(there()) == 2
    if how == "settle":
        storage.settle(path)
    elif how == "write":
        storage.write_bytes(path, b"new")
    elif how == "move":
        storage.move(path, f"{path}-moved")
    elif how != "sweep":
        if storage.has_wildcard(path):
            with pytest.raises(StorageError, match="wildcards"):
                storage.delete(path)
        else:
            {"delete": storage.delete, "erase": storage.erase}[how](path)
    storage.sweep("testtree://host/data")
    if how == "move":
        assert [storage.read_bytes(each) for each in there()] == [b"new"]
    elif how in {"delete", "erase"} and not storage.has_wildcard(path):
        assert there() == []
    else:
        assert storage.read_bytes(path) == b"new"
        # A name that is too long to be carried along is settled when it is used next.
        assert len(there()) == 1 + (how == "sweep" and len(name) > 200)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["settle", "sweep", "exists", "walk", "write", "delete"])
def test_what_was_being_replaced_comes_back_after_a_crash(
    stores: None, name: str, how: str
) -> None:
    path = f"testtree://host/data/{name}"
    storage.write_bytes(path, b"old")
    with pytest.MonkeyPatch.context() as patch:
        break_at(patch, "rename", 1, for_ever=True)  # from here on nothing is done
        with pytest.raises(StorageError, match="service unavailable"):
            storage.write_bytes(path, b"new")
    assert not FileSystems.exists(path)
    if how in {"sweep", "walk"} and len(name) > 200:
        with pytest.raises(StorageError, match="too long to be told"):
            (storage.sweep if how == "sweep" else storage.walk)("testtree://host/data")
        storage.settle(path)
    elif how == "write":
        storage.write_bytes(path, b"old")
    elif how == "delete" and not storage.has_wildcard(name):
        storage.delete(path)
    elif how == "walk":
        assert [entry.path for entry in storage.walk("testtree://host/data")] == [path]
    elif how == "sweep":
        storage.sweep("testtree://host/data")
    elif how == "settle":
        storage.settle(path)
    else:
        assert storage.exists(path)
    storage.sweep("testtree://host/data")
    if how == "delete" and not storage.has_wildcard(name):
        assert there() == []
        return
    assert storage.read_bytes(path) == b"old"
    assert there() == [path]


def test_no_file_replaces_a_directory(stores: None) -> None:
    storage.write_bytes("testtree://host/data/shard/x", b"x")
    with pytest.raises(StorageError, match="shard: is a directory"):
        storage.write_bytes("testtree://host/data/shard", b"file")
    assert there() == ["testtree://host/data/shard/x"]


def test_there_is_nothing_to_settle(stores: None, tmp_path: Path) -> None:
    for path in (str(tmp_path / "log"), "teststore://bucket/log", "testtree://host/log"):
        storage.settle(path)
        assert not storage.exists(path)
