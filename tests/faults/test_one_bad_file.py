"""One bad file in a landing zone costs itself: what lies beside it is judged and admitted."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.transforms import judging, verifying
from tests.archives import make_tar
from tests.e2e.conftest import LISTED_HOST, Job
from tests.faults import bombs
from tests.pictures import jpeg

MakeJob = Callable[..., Job]
GOOD = make_tar([("k.jpg", jpeg(2))])


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """A landing zone of one good shard."""
    root = tmp_path / "landing"
    root.mkdir()
    (root / "z.tar").write_bytes(GOOD)
    return root


def check(gate: Job, name: str, problem: str) -> None:
    """The shard of that name fails for this, and nothing else does."""
    report = gate.report(code=1)
    (failed,) = report["shards"]["failed"]
    assert failed["shard"] == name
    assert problem in failed["problem"]
    assert report["error"].startswith("1 of 2 shards could not be done")
    assert LISTED_HOST not in str(report)
    assert (gate.output / "z.tar").read_bytes() == GOOD
    (said,) = gate.census()["problems"]
    assert said == f"{name}: no receipt for the shard as it is now"


BAD: dict[str, tuple[bombs.Maker, str, str]] = {
    "a trio of far times": (bombs.trio_of_far_times, "00000.tar", "cannot be read as Parquet"),
    "rows of far times": (bombs.rows_of_far_times, "a.parquet", "an unexpected "),
    "nested pictures": (bombs.nested_pictures, "a.parquet", "nest deeper than 100 levels"),
    "groups in groups": (bombs.groups_in_groups, "a.parquet", "cannot be read as Parquet"),
    "nested rows": (bombs.nested_rows, "a.jsonl", "a record that nests deeper than 100 levels"),
    "nested metadata": (bombs.nested_metadata, "f", "nests deeper than 100 levels"),
    "a pipe": (bombs.pipe, "a.tar", "neither a file nor a directory"),
    "a pipe of rows": (bombs.pipe_of_rows, "a.parquet", "neither a file nor a directory"),
    "an endless device": (bombs.endless, "a.tar", "neither a file nor a directory"),
    "a dangling link": (bombs.dangling, "a.tar", "No such file"),
    "a text that many members share": (bombs.shared_text, "a.tar", "say of themselves takes more"),
    "no Parquet": (bombs.no_parquet, "a.parquet", "cannot be read as Parquet"),
    "no trio": (bombs.no_trio, "a.tar", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_files(job: MakeJob, zone: Path, bad: str) -> None:
    make, name, problem = BAD[bad]
    make(zone)
    check(job(f"{zone}/*"), name, problem)


def test_a_directory_with_all_that_is_no_file(job: MakeJob, zone: Path) -> None:
    for make in (bombs.pipe, bombs.pipe_of_rows):
        make(zone)
    (zone / "b.tar").symlink_to("/dev/zero")
    (zone / "back").symlink_to(zone)
    report = job(str(zone)).report(code=1)
    assert [each["shard"] for each in report["shards"]["failed"]] == ["a.parquet", "a.tar", "b.tar"]
    assert report["counts"]["admitted"] == 1
    assert report["input"]["left_behind"] == ["back"]


def test_a_folder_with_all_that_is_no_file(job: MakeJob, zone: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.tar").write_bytes(GOOD)
    folder = zone / "f"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(1))
    (folder / "b.jpg").symlink_to("gone")
    (folder / "c.jpg").symlink_to("/dev/zero")
    (folder / "elsewhere").symlink_to(tmp_path / "elsewhere")
    (folder / "back").symlink_to(zone)
    os.mkfifo(folder / "d.jpg")
    (folder / ".e.jpg.0123456789ab.partial").write_bytes(jpeg(2))
    (folder / ".g.0123456789ab.partial").mkdir()
    (folder / ".g.0123456789ab.partial" / "g.jpg").write_bytes(jpeg(3))
    gate = job(f"{zone}/*")
    report = gate.report()
    assert report["counts"] == {"admitted": 2, "quarantined": 0, "unscannable": 7}
    assert report["reasons"]["skipped_by_readers"] == 7
    assert {row["member"]: row["verdict"] for row in gate.ledger() if row["shard"] == "f"} == {
        "a.jpg": "admitted",
        **dict.fromkeys(["b.jpg", "c.jpg", "d.jpg", "elsewhere", "back"], "unscannable"),
        ".e.jpg.0123456789ab.partial": "unscannable",
        ".g.0123456789ab.partial/g.jpg": "unscannable",
    }
    assert [path.name for path in (gate.output / "f").iterdir()] == ["a.jpg"]
    found = gate.census()
    assert found["exact"], found["problems"]
    assert gate.report()["shards"]["finished_before"] == 2


def test_two_shards_that_claim_one_part(job: MakeJob, zone: Path) -> None:
    bombs.two_of_one_name(zone)
    gate = job(f"{zone}/*")
    report = gate.report(code=1)
    assert [each["shard"] for each in report["shards"]["failed"]] == ["00000.tar", "00000.tgz"]
    for failed in report["shards"]["failed"]:
        assert "another tar has its name but for the suffix" in failed["problem"]
    assert [path.name for path in gate.output.iterdir()] == ["z.tar"]
    (zone / "00000.tgz").rename(zone / "00001.tgz")
    assert gate.report()["counts"]["admitted"] == 3
    assert gate.census()["exact"]


def test_a_pipe_beside_a_shard_is_no_part_of_it(job: MakeJob, zone: Path) -> None:
    os.mkfifo(zone / "z.parquet")
    (zone / "z_stats.json").symlink_to("z_stats.json")
    assert job(f"{zone}/*.tar").report()["counts"]["admitted"] == 1


def test_whatever_raises_while_one_shard_is_judged(
    job: MakeJob, zone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (zone / "a.tar").write_bytes(make_tar([("bad.jpg", jpeg(1))]))
    strike(monkeypatch, judging, "asset_id", RuntimeError(f"https://{LISTED_HOST}/"))
    check(job(f"{zone}/*"), "a.tar", "an unexpected RuntimeError")


def strike(patch: pytest.MonkeyPatch, module: Any, name: str, error: Exception) -> None:
    """Makes a function fail of what is of the shard ``a.tar``."""
    real = getattr(module, name)

    def call(*arguments: Any, **more: Any) -> Any:
        if any(
            part == "a.tar" or getattr(part, "name", "") in ("a.tar", "bad.jpg")
            for part in arguments
        ):
            raise error
        return real(*arguments, **more)

    patch.setattr(module, name, call)


def test_whatever_raises_while_one_shard_is_committed(
    job: MakeJob, zone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (zone / "a.tar").write_bytes(make_tar([("bad.jpg", jpeg(1))]))
    strike(monkeypatch, verifying, "_is_same", RuntimeError(f"https://{LISTED_HOST}/"))
    gate = job(f"{zone}/*")
    check(gate, "a.tar", "an unexpected RuntimeError")
    monkeypatch.undo()
    assert gate.report()["counts"]["admitted"] == 2
    assert gate.census()["exact"]


def test_a_disk_that_is_full_is_no_shards_fault(
    job: MakeJob, zone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (zone / "a.tar").write_bytes(make_tar([("bad.jpg", jpeg(1))]))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    strike(monkeypatch, verifying, "_is_same", full)
    report = job(f"{zone}/*").report(code=1)
    assert "No space left on device" in report["error"]
    assert not report["shards"]["failed"]
