import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.object_store import ROOT_VARIABLE, ObjectStore

REMOTES = ("teststore://bucket", "testtree://host")


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "stores"
    root.mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    monkeypatch.setattr(ObjectStore, "failing", set())


@pytest.fixture
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty directory or prefix of each kind of file system."""
    if request.param == "local":
        return str(tmp_path / "local")
    request.getfixturevalue("stores")
    return f"{request.param}/data"


everywhere = pytest.mark.parametrize("root", ["local", *REMOTES], indirect=True)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


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
def test_nothing_shows_under_the_final_name_before_publish(root: str) -> None:
    with storage.PendingFile(f"{root}/file") as pending:
        pending.sink.write(b"new")
        pending.complete()
        assert not storage.exists(f"{root}/file")
        assert storage.walk(root) == []
        pending.publish()
    assert storage.read_bytes(f"{root}/file") == b"new"


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


@everywhere
def test_a_missing_file_is_named(root: str) -> None:
    storage.write_bytes(f"{root}/other", b"")
    for operation in (storage.open_read, storage.read_bytes, storage.status):
        with pytest.raises(StorageError, match="gone"):
            operation(f"{root}/gone")


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


def test_an_oserror_of_a_write_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"file: No space left .*; free some room"),
        storage.PendingFile(str(tmp_path / "file")),
    ):
        raise OSError(errno.ENOSPC, "whatever")
    assert names(tmp_path) == []


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


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file: File exists"):
        storage.make_directory(str(tmp_path / "file"))


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


def test_a_dangling_link_that_matches_is_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.tar").symlink_to(tmp_path / "gone")
    with pytest.raises(StorageError, match=r"a\.tar: No such file"):
        storage.match(f"{tmp_path}/*.tar")


def test_delete_removes_trees_but_not_what_a_link_points_at(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    storage.delete(str(tmp_path / "tree"))
    storage.delete(str(tmp_path / "link"))
    assert names(tmp_path) == ["kept"]


@everywhere
def test_move_takes_the_place_of_what_is_there(root: str) -> None:
    storage.write_bytes(f"{root}/staged/new", b"new")
    storage.write_bytes(f"{root}/there/old", b"old")
    storage.move(f"{root}/staged/new", f"{root}/there/old")
    assert storage.read_bytes(f"{root}/there/old") == b"new"
    assert not storage.exists(f"{root}/staged/new")
    with pytest.raises(StorageError, match=r"staged|No such"):
        storage.move(f"{root}/staged/new", f"{root}/there/old")


def test_erase_overwrites_before_it_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "secret", tmp_path / "other"
    path.write_bytes(b"secret" * 400_000)
    os.link(path, other)  # the same bytes on disk
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(path.exists()), real(fd))[1])
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


def test_partial_names_are_recognised_narrowly() -> None:
    assert storage.is_partial("dir/.file.tar.0123456789ab.partial")
    assert storage.is_partial("dir/.tree.0123456789ab.partial/x")
    assert not storage.is_partial("dir/.file.partial")
    assert not storage.is_partial("dir/file.0123456789ab.partial")
    assert not storage.is_partial("dir/.file.0123456789ab.partial\n")


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


@pytest.mark.parametrize("operation", ["create", "rename", "open", "list", "delete"])
def test_what_a_client_raises_is_explained(stores: None, operation: str) -> None:
    path = "teststore://bucket/file"
    storage.write_bytes(path, b"old")
    ObjectStore.failing.add(operation)
    with pytest.raises(StorageError, match=rf"{operation} refused"):
        {
            "create": lambda: storage.write_bytes(path, b"new"),
            "rename": lambda: storage.write_bytes(path, b"new"),
            "open": lambda: storage.read_bytes(path),
            "list": lambda: storage.walk("teststore://bucket"),
            "delete": lambda: storage.delete(path),
        }[operation]()
    ObjectStore.failing.clear()
    assert storage.read_bytes(path) == b"old"


def test_an_unknown_scheme_is_explained() -> None:
    with pytest.raises(StorageError, match="apache-beam"):
        storage.match("nosuch://bucket/*")


def test_absolute_leaves_remote_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("x/../y") == str(tmp_path / "y")
    assert storage.absolute("gs://bucket/x/") == "gs://bucket/x"


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
def test_a_remote_tree_is_deleted_whole_and_nothing_beside_it(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    bucket = f"{scheme}://bucket"
    storage.delete(f"{bucket}/gone")
    for name in ("gone/a", "gone/deeper/b", "gone-not"):
        storage.write_bytes(f"{bucket}/{name}", b"x")
    storage.delete(f"{bucket}/gone")
    assert [entry.path for entry in storage.walk(bucket)] == [f"{bucket}/gone-not"]
