"""The layer sees every change that storage makes: what it missed would never be made to fail."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.assets import storage
from tests.faults.layer import FaultLayer

#: What each function does to the disk, in its order; a temporary name is "partial".
CHANGES: dict[str, tuple[Callable[[str], object], list[tuple[str, str]]]] = {
    "make_directory": (
        lambda root: storage.make_directory(f"{root}/a/b"),
        [("mkdir", "a"), ("fsync", "root"), ("mkdir", "b"), ("fsync", "a")],
    ),
    "write_bytes": (
        lambda root: storage.write_bytes(f"{root}/new", b"x"),
        [
            *[("create", "partial"), ("write", "partial"), ("fsync", "partial")],
            *[("replace", "new"), ("fsync", "root")],
        ],
    ),
    "a dated file": (
        lambda root: _write_dated(f"{root}/new"),
        [
            *[("create", "partial"), ("fsync", "partial"), ("utime", "partial")],
            *[("replace", "new"), ("fsync", "root")],
        ],
    ),
    "a file that is discarded": (
        lambda root: _discard(f"{root}/new"),
        [("create", "partial"), ("unlink", "partial")],
    ),
    "move": (
        lambda root: storage.move(f"{root}/file", f"{root}/moved"),
        [("replace", "moved"), ("fsync", "root")],
    ),
    "publish_directory": (
        lambda root: storage.publish_directory(f"{root}/other", f"{root}/tree"),
        [("rename", "partial"), ("rename", "other"), ("fsync", "root")],
    ),
    "publish_directory over another": (
        lambda root: storage.publish_directory(f"{root}/full", f"{root}/tree"),
        [
            *[("rename", "partial"), ("rename", "full"), ("fsync", "root")],
            *[("unlink", "inside"), ("rmdir", "partial")],
        ],
    ),
    "require_writable": (
        lambda root: storage.require_writable(root),
        [("create", "partial"), ("unlink", "partial")],
    ),
    "delete": (lambda root: storage.delete(f"{root}/file"), [("unlink", "file")]),
    "delete_tree": (
        lambda root: storage.delete_tree(f"{root}/full"),
        [("unlink", "inside"), ("rmdir", "full")],
    ),
    "sweep": (lambda root: storage.sweep(root), [("unlink", "partial")]),
    "sync_directory": (lambda root: storage.sync_directory(root), [("fsync", "root")]),
    "erase": (
        lambda root: storage.erase(f"{root}/file"),
        [
            *[("open", "file"), ("write", "file"), ("fsync", "file")],
            *[("unlink", "file"), ("fsync", "root")],
        ],
    ),
    "lock": (lambda root: _lock(f"{root}/lock"), [("create", "lock")]),
}


def _write_dated(path: str) -> None:
    with storage.PendingFile(path) as pending:
        pending.publish(modified_ns=1)


def _lock(path: str) -> None:
    with storage.lock(path):
        pass


def _discard(path: str) -> None:
    with storage.PendingFile(path):
        pass


@pytest.mark.parametrize("name", list(CHANGES))
def test_every_change_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = tmp_path / "root"
    for folder in ("tree", "full"):
        (root / folder).mkdir(parents=True)
    (root / "full" / "inside").write_bytes(b"x")
    (root / "file").write_bytes(b"x")
    if name == "sweep":
        Path(storage.temporary_name(str(root / "file"))).write_bytes(b"x")
    change, expected = CHANGES[name]
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    found = layer.counted(lambda: change(str(root)))
    assert [(what, _named(path)) for what, path in found] == expected


def _named(path: str) -> str:
    return "partial" if storage.is_partial(os.path.basename(path)) else os.path.basename(path)


def test_every_function_that_changes_something_is_here() -> None:
    reading = {"exists", "match", "match_directories", "open_read", "read_bytes", "status"}
    reading |= {"is_directory", "is_there", "walk", "walk_if_there", "walk_unfollowed"}
    reading |= {
        "file_if_there",
        "file_in_the_way",
        "require_directory",
        "is_locked",
        "BEAM_OPTIONS",
    }
    paths = {"PARTIAL_SUFFIX", "absolute", "basename", "has_wildcard", "is_partial", "is_remote"}
    paths |= {"join", "parent", "resolved", "temporary_name", "Entry"}
    both = {"PendingFile", "write_atomic"}  # by which files are written
    remote = {"settle", "beam_options", "use_beam_options"}
    assert {*storage.__all__} - reading - paths - both - remote == {
        n for n in CHANGES if " " not in n
    }
