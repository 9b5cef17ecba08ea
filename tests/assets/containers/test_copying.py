"""Whole-shard copies: verified as temporaries, then renamed."""

import errno
import hashlib
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets import storage
from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.containers.copying import ShardCopy, private_copy
from ingestgate.assets.errors import StorageError
from ingestgate.assets.shard import Shard

CONTENTS = {"d/0.tar": b"tar" * 1000, "d/0.parquet": b"rows", "d/0_stats.json": b"{}"}


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    paths = []
    for number, (name, content) in enumerate(CONTENTS.items()):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(0, 1_500_000_000_123_456_789 + number))
        paths.append(str(path))
    return Shard("d/0.tar", paths[0], "img2dataset", 3006, "0" * 64, tuple(paths[1:]))


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_publishes_all_files_with_their_times(shard: Shard, tmp_path: Path) -> None:
    with ShardCopy(shard, str(tmp_path / "out")) as copy:
        published = copy.publish()
    assert published == [
        OutputFile(name, hashlib.sha256(content).hexdigest(), len(content))
        for name, content in CONTENTS.items()
    ]
    assert files(tmp_path / "out") == sorted(CONTENTS)
    for name, content in CONTENTS.items():
        before, after = tmp_path / "in" / name, tmp_path / "out" / name
        assert after.read_bytes() == content
        assert after.stat().st_mtime_ns == before.stat().st_mtime_ns


def test_the_copy_can_be_read_before_it_is_published(shard: Shard, tmp_path: Path) -> None:
    with ShardCopy(shard, str(tmp_path / "out")) as copy:
        paths = [copy.shard.path, *copy.shard.parts]
        assert [Path(path).read_bytes() for path in paths] == list(CONTENTS.values())
        assert all(storage.is_partial(path) for path in paths)
        assert copy.shard._replace(path=shard.path, parts=shard.parts) == shard
    assert files(tmp_path / "out") == []


def test_nothing_is_left_when_verification_fails(shard: Shard, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ShardCopy(shard, str(tmp_path / "out")):
        raise RuntimeError
    assert files(tmp_path / "out") == []


def test_nothing_is_left_when_a_part_is_missing(shard: Shard, tmp_path: Path) -> None:
    Path(shard.parts[1]).unlink()
    with pytest.raises(StorageError, match="No such file"):
        ShardCopy(shard, str(tmp_path / "out"))
    assert files(tmp_path / "out") == []


def test_a_full_disk_is_a_storage_error(
    shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: storage.PendingFile, *arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full:
        closed = False
        write = full

        def close(self) -> None: ...

    monkeypatch.setattr(storage.PendingFile, "_create", lambda self, private: Full())
    with pytest.raises(StorageError, match="No space left on device"):
        ShardCopy(shard, str(tmp_path / "out"))


def test_a_private_copy_is_nobody_elses_and_goes_with_the_block(shard: Shard) -> None:
    with private_copy(shard) as copy:
        assert (copy.name, copy.identity) == (shard.name, shard.identity)
        paths = (copy.path, *copy.parts)
        for path, content in zip(paths, CONTENTS.values(), strict=True):
            assert storage.read_bytes(path) == content
            assert storage.status(path).size == len(content)
            assert Path(path).stat().st_mode & 0o777 == 0o600
    assert not any(map(storage.exists, paths))


def test_no_room_for_a_private_copy_is_a_storage_error(
    shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "r+b"))
    said = f"{tmp_path}: No space left on device; free some room there, .* in TMPDIR"
    with pytest.raises(StorageError, match=said), private_copy(shard):
        pass


def test_a_part_that_is_missing_is_no_matter_of_room(shard: Shard) -> None:
    Path(shard.parts[1]).unlink()
    with (
        pytest.raises(StorageError, match=r"0_stats\.json: No such file") as raised,
        private_copy(shard),
    ):
        pass
    assert raised.value.path == shard.parts[1], "the shard's fault"
