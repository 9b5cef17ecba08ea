import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.assets.storage.conftest import everywhere, names
from tests.object_store import ObjectStore


@everywhere
def test_a_missing_file_is_named(root: str) -> None:
    storage.write_bytes(f"{root}/other", b"")
    for operation in (storage.open_read, storage.read_bytes, storage.status):
        with pytest.raises(StorageError, match="gone"):
            operation(f"{root}/gone")


def test_an_oserror_of_a_write_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"file: No space left .*; free some room"),
        storage.PendingFile(str(tmp_path / "file")),
    ):
        raise OSError(errno.ENOSPC, "whatever")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "operation", ["create", "write", "upload", "rename", "open", "read", "list", "delete"]
)
def test_what_a_client_raises_is_explained(stores: None, operation: str) -> None:
    path = "teststore://bucket/file"
    storage.write_bytes(path, b"old")
    ObjectStore.failing.add(operation)
    does: dict[str, Callable[[], object]] = {
        **dict.fromkeys(
            ("create", "write", "upload", "rename"), lambda: storage.write_bytes(path, b"new")
        ),
        **dict.fromkeys(("open", "read"), lambda: storage.read_bytes(path)),
        "list": lambda: storage.walk("teststore://bucket"),
        "delete": lambda: storage.delete(path),
    }
    with pytest.raises(StorageError, match=rf"^teststore://bucket(/file)?: .*{operation} ref"):
        does[operation]()
    ObjectStore.failing.clear()
    assert storage.read_bytes(path) == b"old"


def test_an_unknown_scheme_is_explained() -> None:
    with pytest.raises(StorageError, match="apache-beam"):
        storage.match("nosuch://bucket/*")


def test_what_is_read_from_a_store_is_a_file_like_any_other(stores: None) -> None:
    path = "teststore://bucket/file"
    storage.write_bytes(path, b"one\ntwo\n")
    with storage.open_read(path) as source:
        assert list(source) == [b"one\n", b"two\n"]
        assert (source.seek(4), source.read(3), source.tell()) == (4, b"two", 7)
        assert source.seekable()
        ObjectStore.failing.add("read")
        assert source.read() == b"\n", "it is fetched at once"
    assert source.closed
