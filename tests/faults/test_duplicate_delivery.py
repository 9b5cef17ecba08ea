"""What is delivered twice counts once: assets, shards, and the bundles a runner retries."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestgate.transforms.commit import CommitShard
from ingestgate.transforms.judge import CutShard, JudgeRange
from tests.e2e.conftest import WRITERS, Job, write_webdataset
from tests.faults.conftest import chosen
from tests.faults.layer import FaultLayer

MakeJob = Callable[..., Job]


def test_the_same_assets_in_two_shards(job: MakeJob, tmp_path: Path) -> None:
    """Each is an asset of its own, with the verdict of its twin, and sealed with its shard."""
    gate = job(write_webdataset(tmp_path / "landing"))
    shutil.copy(tmp_path / "landing" / "00000.tar", tmp_path / "landing" / "00002.tar")
    report = gate.report()
    assert report["counts"] == {"admitted": 13, "quarantined": 5, "unscannable": 0}
    rows: dict[str, list[Any]] = {"00000.tar": [], "00002.tar": []}
    for row in gate.ledger():
        if row["shard"] in rows:
            own = {name: row[name] for name in row if name not in ("asset_id", "shard")}
            rows[row["shard"]].append(own)
    assert rows["00000.tar"] == rows["00002.tar"]
    ids = Counter(row["asset_id"] for row in gate.ledger())
    assert set(ids.values()) == {1}
    sealed = Counter(row["shard"] for row in gate.manifest())
    assert sealed["00000.tar"] == sealed["00002.tar"] == 2
    first, twin = (gate.output / name for name in rows)
    assert first.read_bytes() == twin.read_bytes()
    assert gate.census()["exact"]


@pytest.mark.parametrize("format", list(WRITERS))
def test_a_shard_that_two_patterns_reach(job: MakeJob, tmp_path: Path, format: str) -> None:
    pattern = WRITERS[format](tmp_path / "landing")
    once = job(pattern)
    once.report()
    landing = tmp_path / "landing"
    again = [pattern, str(landing)]
    if format != "folder":
        again += [str(next(landing.iterdir())), f"{landing}/**/*{Path(pattern).suffix}", pattern]
    twice = Job(tmp_path / "twice", again, once.lists, once.identity, once.recipient)
    report = twice.report()
    assert sum(report["counts"].values()) == 12
    assert without_dataset(twice.state()) == without_dataset(once.state())
    assert twice.census()["exact"]


def without_dataset(state: dict[str, Any]) -> dict[str, Any]:
    """The manifest quotes the inputs as they were named, which is all that may differ."""
    rows = [{key: row[key] for key in row if key != "dataset"} for row in state["manifest"]]
    return {**state, "manifest": rows}


def _twice(real: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def process(self: Any, element: Any) -> Iterator[Any]:
        """As a bundle that was done, whose end nobody heard of: done again, delivered twice."""
        yield from list(real(self, element))
        yield from list(real(self, element))

    return process


@pytest.mark.parametrize("format", list(WRITERS))
def test_bundles_delivered_twice(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    gate = job(WRITERS[format](tmp_path / "landing"))
    (tmp_path / "policy.yaml").write_text("range_bytes: 9000\n")  # several ranges a shard
    policy = ("--policy", str(tmp_path / "policy.yaml"))
    once = gate.elsewhere("once")
    expected = once.report(*policy)
    for step in (CutShard, JudgeRange, CommitShard):
        monkeypatch.setattr(step, "process", _twice(step.process))
    report = gate.report(*policy)
    assert report["counts"] == expected["counts"]
    for each in (report, expected):  # whose digest is of times, too
        each["since_last_report"]["receipts"].pop("sha256")
    assert report["since_last_report"] == expected["since_last_report"]
    assert report["shards"] == expected["shards"]
    assert gate.state() == once.state()
    assert gate.census()["exact"]


@pytest.mark.parametrize("step", [JudgeRange, CommitShard], ids=lambda step: step.__name__)
def test_bundles_that_fail_half_way_and_are_retried(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Any
) -> None:
    """A runner that retries does so in the same process, beside whatever was left behind."""
    gate = job(write_webdataset(tmp_path / "landing"))
    once = gate.elsewhere("once")
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    real = step.process
    changes: list[int] = []

    def counted(self: Any, element: Any) -> Iterator[Any]:
        layer.arm(None, "EIO", for_ever=False)
        outcomes = list(real(self, element))
        changes.append(len(layer.operations))
        yield from outcomes

    monkeypatch.setattr(step, "process", counted)
    expected = once.report()
    assert min(changes) > 3
    failed: list[str] = []

    for point in chosen(range(min(changes)), 3, step.__name__):

        def failing(self: Any, element: Any, point: int = point) -> Iterator[Any]:
            layer.arm(point, "EIO", for_ever=False)
            try:
                outcomes = list(real(self, element))
            except Exception as error:  # noqa: BLE001 - whatever a runner would see
                failed.append(type(error).__name__)
                outcomes = list(real(self, element))
            yield from outcomes

        monkeypatch.setattr(step, "process", failing)
        retried = gate.elsewhere(f"retried-{point}")
        report = retried.report()
        assert report["counts"] == expected["counts"], point
        assert retried.state() == once.state(), point
        assert retried.census()["exact"], point
        vault = ("--quarantine", str(retried.quarantine), "--identity", retried.identity, "--json")
        checked = json.loads(retried.invoke("quarantine", "check", *vault).stdout)
        # A copy that a failed try sealed may lie there; what the manifests name is sound.
        problems = {name for name, count in checked["problems"].items() if count}
        assert problems <= {"unnamed"}, (point, checked["problems"])
    assert failed
