"""Purges and runs of one evidence folder: neither takes what the other left for something else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.pipeline import run as run_module
from ingestgate.pipeline.lock import run_lock
from tests.e2e.conftest import Job, content, write_folder, write_webdataset
from tests.e2e.purge.conftest import keys, purged, write_caught
from tests.e2e.purge.test_interrupting import kill_purge_at
from tests.e2e.rescan.conftest import compiled, md5_of

MakeJob = Callable[..., Job]


def listing(*seeds: int) -> dict[str, list[tuple[str, str]]]:
    return {"md5": [(f"e{seed}", md5_of(content(seed))) for seed in seeds]}


def overtaken(monkeypatch: pytest.MonkeyPatch, by: Callable[[], object]) -> None:
    """Between the next run's plan and its lock, something else happens."""

    def overtaking(evidence: str) -> object:
        monkeypatch.setattr(run_module, "run_lock", run_lock)
        by()
        return run_lock(evidence)

    monkeypatch.setattr(run_module, "run_lock", overtaking)


@pytest.mark.parametrize(
    ("format", "write"), [("webdataset", write_webdataset), ("folder", write_folder)]
)
def test_what_a_purge_left_since_the_plan_is_judged_as_what_it_is(
    job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    write: Callable[[Path], str],
) -> None:
    gate = job(write(tmp_path / "landing"))
    gate.lists = compiled(tmp_path, 1, listing(1))
    gate.report()
    compiled(tmp_path, 2, listing(1, 2))
    overtaken(monkeypatch, lambda: purged(gate))
    gate.report()
    assert gate.census()["exact"]
    done = {each["shard"]: each["outcome"] for each in purged(gate)["shards"]}
    assert done["00000.tar" if format == "webdataset" else "landing"] == "purged"
    assert not {"k01", "k02"} & keys(tmp_path / "landing", format)
    assert gate.census()["exact"]


def test_a_run_that_starts_over_after_a_purge_finds_what_stands(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    overtaken(monkeypatch, lambda: purged(gate))
    assert gate.report()["shards"]["finished_before"] == 2


def test_a_purge_killed_since_the_plan_has_to_be_completed(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    overtaken(monkeypatch, lambda: kill_purge_at(storage, "move", gate))
    refused = gate.run()
    assert refused.exit_code == 2
    assert "a purge was interrupted" in refused.stderr


def test_a_purge_at_work_is_none_that_was_interrupted(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    kill_purge_at(storage, "move", gate)
    with run_lock(str(gate.evidence)):
        beside = gate.run()
    assert beside.exit_code == 1
    assert "another run is at work" in beside.stderr
    assert gate.run().exit_code == 2


def test_a_purge_of_an_earlier_judging_is_none_of_a_later_one(job: MakeJob, tmp_path: Path) -> None:
    """The receipt says that more matched than the purge took out: it must not say "before"."""
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.lists = compiled(tmp_path, 1, listing(1))
    shard = tmp_path / "landing" / "00000.tar"
    gate.report()
    original = shutil.copy2(shard, tmp_path / "original")
    purged(gate)
    left = shutil.copy2(shard, tmp_path / "left")
    shutil.copy2(original, shard)
    compiled(tmp_path, 2, listing(1, 2))
    gate.report()
    shutil.copy2(left, shard)
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "is not, or no longer, the shard that was judged; run again" in problems["00000.tar"]
    assert gate.census()["problems"] == ["00000.tar: no receipt for the shard as it is now"]
    assert gate.report()["shards"]["done"] == 1
    assert purged(gate)["assets"] == 1
    assert keys(tmp_path / "landing", "webdataset").isdisjoint({"k01", "k02"})
    assert gate.census()["exact"]


def test_what_a_purge_left_replaces_nothing(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.lists = compiled(tmp_path, 1, listing(1))
    gate.report()
    purged(gate)
    before = (gate.output / "00000.tar").read_bytes()
    compiled(tmp_path, 2, listing(1, 2))
    assert gate.report()["shards"]["replaced"] == []
    assert (gate.output / "00000.tar").read_bytes() != before, "what the newer list holds is out"


def test_a_folder_that_a_purge_of_an_earlier_judging_left_empty_is_judged_anew(
    job: MakeJob, tmp_path: Path
) -> None:
    """It is still a shard: one that is no more what was judged, not an input that is refused."""
    folder = tmp_path / "landing" / "photos"
    gate = job(write_caught(folder))
    gate.lists = compiled(tmp_path, 1, listing(3))
    gate.report()
    original = shutil.copytree(folder, tmp_path / "original")
    purged(gate)
    shutil.copytree(original, folder, dirs_exist_ok=True)
    compiled(tmp_path, 2, listing(3, 4))
    gate.report()
    (folder / "k03.jpg").unlink()
    (refused,) = purged(gate, code=5)["shards"]
    assert "is not, or no longer, the shard that was judged; run again" in refused["problem"]
    assert gate.census()["problems"] == ["photos: no receipt for the shard as it is now"]
    assert gate.report()["shards"]["done"] == 1
    assert gate.census()["exact"]
