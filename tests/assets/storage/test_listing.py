import errno
import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from tests.assets.storage.conftest import everywhere
from tests.object_store import ClientError, ObjectStore


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
    assert storage.is_there(f"{root}/there")
    assert storage.is_there(f"{root}/there/x")
    assert not storage.is_there(f"{root}/missing")
    assert [entry.path for entry in storage.walk_if_there(f"{root}/there")] == [f"{root}/there/x"]
    assert storage.walk_if_there(f"{root}/missing") == []


@everywhere
def test_a_directory_whose_name_looks_like_a_pattern(root: str) -> None:
    for name in ("d[1]/x", "d1/y"):
        storage.write_bytes(f"{root}/{name}", b"x")
    assert storage.is_directory(f"{root}/d[1]")
    assert not storage.is_directory(f"{root}/d?")
    assert [entry.path for entry in storage.walk_if_there(f"{root}/d[1]")] == [f"{root}/d[1]/x"]


def make_others(root: Path) -> dict[str, str]:
    """Makes what is neither a file nor a directory; returns what who opens it is told, by name."""
    os.mkfifo(root / "pipe")
    (root / "device").symlink_to("/dev/zero")
    (root / "dangling").symlink_to(root / "gone")
    (root / "itself").symlink_to("itself")
    return {
        "dangling": "No such file",
        "device": "neither a file nor a directory",
        "itself": "Too many levels of symbolic links",
        "pipe": "neither a file nor a directory",
    }


def test_what_is_no_file_is_not_passed_over_and_never_read(tmp_path: Path) -> None:
    others = make_others(tmp_path)
    paths = [f"{tmp_path}/{name}" for name in sorted(others)]
    assert [entry.path for entry in storage.match(f"{tmp_path}/*")] == paths
    assert [entry.path for entry in storage.walk(str(tmp_path), others=True)] == paths
    for name, problem in others.items():
        path = f"{tmp_path}/{name}"
        assert storage.file_if_there(path) is None
        assert storage.match(path) == []
        with pytest.raises(StorageError, match=f"^{path}: {problem}") as caught:
            storage.open_read(path)
        assert caught.value.path == path
        (tmp_path / "alone").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "alone" / name)
        with pytest.raises(StorageError, match=f"{name}: neither a file nor a directory"):
            storage.walk(f"{tmp_path}/alone")
        (tmp_path / "alone" / name).unlink()


@everywhere
def test_what_is_not_to_be_taken_for_a_file(root: str) -> None:
    partial = ".x.0123456789ab.partial"
    for name in ("a/x", ".hidden", f"a/{partial}", f"{partial}/y"):
        storage.write_bytes(f"{root}/{name}", b"xyz")
    expected = [f"{root}/{name}" for name in (f"{partial}/y", f"a/{partial}")]
    if not storage.is_remote(root):
        for name in make_others(Path(root)):
            expected.append(f"{root}/{name}")
        (Path(root) / "back").symlink_to(root)
        expected.append(f"{root}/back")
    plain, others = storage.walk_unfollowed(root)
    assert [entry.path for entry in plain] == [f"{root}/.hidden", f"{root}/a/x"]
    assert {entry.size for entry in plain} == {3}
    assert [entry.path for entry in others] == sorted(expected)


def test_a_link_that_leads_back_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "back").symlink_to(tmp_path)
    with pytest.raises(StorageError, match="leads back to a directory above"):
        storage.walk(str(tmp_path))
    (entry,) = storage.walk(str(tmp_path), others=True)
    assert entry.path == f"{tmp_path}/back"


def test_what_a_shell_pipes_in_is_read() -> None:
    inner, outer = os.pipe()
    os.write(outer, b"age1")
    os.close(outer)
    with storage.open_read(f"/dev/fd/{inner}") as source:
        assert source.read() == b"age1"
    os.close(inner)


def test_wildcards_in_a_remote_name_reach_no_neighbour(stores: None) -> None:
    for name in ("d[1]/x", "d1/x", "a1", "a[1]"):
        storage.write_bytes(f"teststore://bucket/{name}", name.encode())
    walked = storage.walk("teststore://bucket/d[1]")
    assert [entry.path for entry in walked] == ["teststore://bucket/d[1]/x"]
    assert storage.status("teststore://bucket/a[1]").size == 4
    with pytest.raises(StorageError, match="wildcards"):
        storage.delete("teststore://bucket/a[1]")
    assert storage.read_bytes("teststore://bucket/a1") == b"a1"


@pytest.mark.parametrize("ask", [storage.walk, storage.walk_if_there, storage.is_directory])
def test_a_remote_directory_that_cannot_be_listed_is_not_taken_for_a_file(
    stores: None, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], object]
) -> None:
    """A store answers that something is no directory by failing, too."""
    root = "testtree://host/not a directory"
    storage.write_bytes(f"{root}/sub/deeper/x", b"x")
    storage.write_bytes(f"{root}/sub/empty", b"")

    def check(_: ObjectStore, operation: str, path: str) -> None:
        if operation == "list" and path.rstrip("/*").endswith("deeper"):
            raise ClientError("service unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_check", check)
        with pytest.raises(StorageError, match="service unavailable"):
            ask(root)
    assert len(storage.walk(root)) == 2


def test_directories_below_that_look_like_patterns_are_not_left_out(stores: None) -> None:
    for name in ("b[1]/1.tar", "b?/2.tar", "b*c/d/3.tar"):
        storage.write_bytes(f"testtree://host/landing/{name}", b"x")
    walked = [entry.path for entry in storage.walk("testtree://host/landing")]
    assert len(walked) == 3
    assert [entry.path for entry in storage.match("testtree://host/landing/**")] == walked
    assert [entry.path for entry in storage.walk("testtree://host/landing/b?")] == [
        "testtree://host/landing/b?/2.tar"
    ]


def test_only_directories_that_may_hold_a_match_are_looked_into(
    stores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = "testtree://host"
    for name in ("a-1/x.tar", "a-2/x.tar", "a-2/sub/x.tar", "b/x.tar", "private/x.tar", "x.tar"):
        storage.write_bytes(f"{root}/{name}", b"x")

    def check(_: ObjectStore, operation: str, path: str) -> None:
        if operation == "list" and "private" in path:
            raise ClientError("permission denied")

    monkeypatch.setattr(ObjectStore, "_check", check)

    def matched(pattern: str) -> list[str]:
        return [entry.path.removeprefix(f"{root}/") for entry in storage.match(f"{root}/{pattern}")]

    assert matched("a-*/x.tar") == ["a-1/x.tar", "a-2/x.tar"]
    assert matched("a-?/*/x.tar") == ["a-2/sub/x.tar"]
    assert matched("*.tar") == ["x.tar"]
    for pattern in ("*/x.tar", "**", "a-**.tar", "[ab]*/x.tar"):
        with pytest.raises(StorageError, match="permission denied"):
            matched(pattern)


def test_a_file_that_has_another_name_by_now_is_not_a_failure(
    stores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being written has no length yet, as directories have none."""
    for name in ("partial", "x"):
        storage.write_bytes(f"testtree://host/data/{name}", b"")
    real = ObjectStore._check

    def check(store: ObjectStore, operation: str, path: str) -> None:
        real(store, operation, path)
        if operation == "list" and path.endswith("partial"):
            store._file(path).unlink()

    monkeypatch.setattr(ObjectStore, "_check", check)
    assert "testtree://host/data/x" in {e.path for e in storage.walk("testtree://host/data")}


PATTERNS = (
    *("*", "*.tar", "**", "**/*.tar", "**/*", "a/**", "a/**/x.tar", "*/x.tar", "*/*/*.tar", "?"),
    *("[ab]/*", "[!a]/*", "a/*/", "*/", ".h*", ".hidden/*", "**/.h*", "linked/*", "**/b/**/*"),
    *("missing/*", "missing/**", "file.txt/*", "a//*.tar", "./*", "q[[]1]/*"),
    *("**/**/x.tar", "a**/*", "*/missing"),
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_match_what_glob_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    for name in ("x.tar", "a/x.tar", "a/b/x.tar", "a/b/c/y.tar", "b/z.tar", ".hidden/x.tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("file.txt", ".hid", "a/.hidden.tar", "q[1]"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    for asked in (pattern, f"{tmp_path}/{pattern}"):
        expected = {os.path.normpath(path) for path in glob.glob(asked, recursive=True)}
        files = [os.path.normpath(entry.path) for entry in storage.match(asked)]
        folders = [os.path.normpath(path) for path in storage.match_directories(asked)]
        assert len(files) == len(set(files))
        assert set(files) == {path for path in expected if os.path.isfile(path)}
        assert set(folders) == {path for path in expected if os.path.isdir(path)}


def test_a_circle_of_links_ends_a_pattern_too(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    with pytest.raises(StorageError, match="leads back"):
        storage.match(f"{tmp_path}/**/*.tar")


QUESTIONS: dict[str, tuple[Callable[[str], object], object]] = {
    "exists": (lambda root: storage.exists(f"{root}/a/x.tar"), False),
    "is_directory": (lambda root: storage.is_directory(f"{root}/a"), False),
    "is_there": (lambda root: storage.is_there(f"{root}/a/x.tar"), False),
    "walk_if_there": (lambda root: storage.walk_if_there(f"{root}/a"), []),
    "match a name": (lambda root: storage.match(f"{root}/a/x.tar"), []),
    "match": (lambda root: storage.match(f"{root}/*/x.tar"), []),
    "match below": (lambda root: storage.match(f"{root}/**/*.tar"), []),
    "match_directories": (lambda root: storage.match_directories(f"{root}/a"), []),
    "match_directories, a pattern": (lambda root: storage.match_directories(f"{root}/a/*/"), []),
    "sweep": (lambda root: storage.sweep(f"{root}/a"), 0),
}


def answering(code: int) -> Callable[..., Any]:
    def call(path: Any, **_: Any) -> Any:
        raise OSError(code, os.strerror(code), path)

    return call


@pytest.mark.parametrize("name", list(QUESTIONS))
@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ELOOP])
def test_what_cannot_be_asked_about_is_not_taken_for_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x.tar").write_bytes(b"x")
    for function in ("stat", "scandir"):
        monkeypatch.setattr(os, function, answering(code))
    with pytest.raises(StorageError, match=os.strerror(code)):
        QUESTIONS[name][0](str(tmp_path))


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_what_is_said_to_be_missing_is(tmp_path: Path, name: str) -> None:
    ask, nothing = QUESTIONS[name]
    assert ask(str(tmp_path)) == nothing
    (tmp_path / "a").write_bytes(b"x")  # of a file there is nothing below
    assert ask(str(tmp_path)) == nothing
    assert not storage.exists(f"{tmp_path}/{'long' * 100}")
