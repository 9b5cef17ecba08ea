import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_beam.io.filesystem import BeamIOError

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError, UsageError
from ingestgate.assets.storage.explaining import explain
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


def test_of_what_beam_wraps_the_clients_own_words_are_said() -> None:
    inner = BeamIOError("no", {"s3://b/a": ValueError("no credentials")})
    error = BeamIOError("exists() operation failed", {"s3://b": inner})
    assert str(explain(error, "s3://b/a")) == "s3://b/a: no credentials"
    silent = BeamIOError("exists() operation failed", {"s3://b": TimeoutError()})
    assert "TimeoutError" in str(explain(silent, "s3://b/a"))


def test_a_scheme_that_nothing_takes_is_usage() -> None:
    for operation in (storage.exists, storage.match, storage.read_bytes, storage.delete):
        with pytest.raises(UsageError, match=r"^nosuch://b/a: nothing here reads or writes nosuch"):
            operation("nosuch://b/a")
    with pytest.raises(UsageError, match="install what Beam needs for it"):
        storage.write_bytes("nosuch://b/a", b"")


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
