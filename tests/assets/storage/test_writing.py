import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.assets.storage.conftest import everywhere, names
from tests.object_store import ObjectStore


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def failing(number: int) -> object:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@everywhere
def test_writes_lists_reads_and_deletes_alike(root: str) -> None:
    for name in ("b.tar", "a.tar", "sub/c.tar", "sub/deep/.hidden", "sub/empty"):
        storage.write_bytes(f"{root}/{name}", b"" if name == "sub/empty" else name.encode())
    storage.write_bytes(f"{root}/a.tar", b"again")

    assert storage.read_bytes(f"{root}/a.tar") == b"again"
    assert storage.status(f"{root}/a.tar").size == 5
    assert storage.exists(f"{root}/a.tar")
    assert not storage.exists(f"{root}/z.tar")
    assert [entry.path for entry in storage.match(f"{root}/*.tar")] == [
        f"{root}/a.tar",
        f"{root}/b.tar",
    ]
    assert [entry.path for entry in storage.match(f"{root}/**/c.t?r")] == [f"{root}/sub/c.tar"]
    assert [entry.path for entry in storage.match(f"{root}/b.tar")] == [f"{root}/b.tar"]
    assert storage.match(f"{root}/none.tar") == []
    assert storage.match(f"{root}/sub") == []
    assert storage.match_directories(f"{root}/sub/") == [f"{root}/sub"]
    assert storage.match_directories(f"{root}/a.tar") == []
    assert [(entry.path, entry.size) for entry in storage.walk(root)] == [
        (f"{root}/{name}", size)
        for name, size in [
            ("a.tar", 5),
            ("b.tar", 5),
            ("sub/c.tar", 9),
            ("sub/deep/.hidden", 16),
            ("sub/empty", 0),
        ]
    ]

    storage.delete(f"{root}/a.tar")
    storage.delete(f"{root}/a.tar")
    assert not storage.exists(f"{root}/a.tar")


@everywhere
def test_an_error_in_the_block_leaves_what_was_there(root: str) -> None:
    path = f"{root}/file"
    storage.write_bytes(path, b"old")
    with pytest.raises(KeyError), storage.write_atomic(path) as sink:  # noqa: PT012
        sink.write(b"new")
        raise KeyError
    assert storage.read_bytes(path) == b"old"
    assert storage.sweep(root) == 0, "the temporary file is gone as well"


@everywhere
def test_asking_whether_a_folder_can_be_written_leaves_nothing(root: str) -> None:
    storage.write_bytes(f"{root}/file", b"x")
    storage.require_writable(root)
    assert storage.sweep(root) == 0
    assert [entry.path for entry in storage.walk(root)] == [f"{root}/file"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "open", failing(number))
    said = f"no file can be made in {tmp_path}: {os.strerror(number)}; "
    with pytest.raises(StorageError, match=re.escape(said)):
        storage.require_writable(str(tmp_path))


def test_a_store_that_cannot_be_written(stores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectStore, "failing", {"create"})
    with pytest.raises(StorageError, match="no file can be made in teststore://bucket/data: "):
        storage.require_writable("teststore://bucket/data")


@everywhere
def test_nothing_shows_under_the_final_name_before_publish(root: str) -> None:
    with storage.PendingFile(f"{root}/file") as pending:
        pending.sink.write(b"new")
        pending.complete()
        assert not storage.exists(f"{root}/file")
        assert storage.walk(root) == []
        pending.publish()
    assert storage.read_bytes(f"{root}/file") == b"new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(StorageError, match=os.strerror(number)) as caught:
            storage.write_bytes(str(path), b"new")
    assert str(path) in str(caught.value)
    assert ("run again" in str(caught.value)) == (number == errno.ENOSPC)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_private_files_and_directories_under_a_loose_umask(
    tmp_path: Path, loose_umask: None
) -> None:
    storage.write_bytes(str(tmp_path / "a" / "b" / "secret"), b"", private=True)
    storage.write_bytes(str(tmp_path / "open" / "file"), b"")

    def mode(*parts: str) -> int:
        return stat.S_IMODE(tmp_path.joinpath(*parts).stat().st_mode)

    assert (mode("a"), mode("a", "b"), mode("a", "b", "secret")) == (0o700, 0o700, 0o600)
    assert (mode("open"), mode("open", "file")) == (0o777, 0o666)


def test_every_file_and_directory_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with storage.PendingFile(str(tmp_path / "new" / "file")) as pending:
        pending.sink.close()  # as some libraries do with what they are given
        pending.publish()
    assert synced == [str(tmp_path), pending.temporary, str(tmp_path / "new")]


def test_a_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    storage.write_bytes(str(path), b"x")
    assert path.read_bytes() == b"x"


def test_a_bare_name_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("file", b"x")
    assert names(tmp_path) == ["file"]
