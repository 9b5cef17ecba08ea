"""A clock that is set an hour or a year back or ahead, between runs and within one."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.pipeline import run as run_module
from ingestgate.pipeline import summary
from ingestgate.transforms.committing import Committer
from tests.e2e.conftest import LISTED_HOST, LISTED_MD5, Job, write_webdataset
from tests.faults.clock import Clock
from tests.faults.conftest import chosen

MakeJob = Callable[..., Job]
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
STEPS = [-YEAR, -HOUR, HOUR, YEAR]


def shown(step: timedelta) -> str:
    return f"{step // HOUR:+d}h"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch.setattr)


def lists_of(root: Path, expires: datetime | None = None) -> str:
    """Lists that were issued long ago, whatever the clock says."""
    root.mkdir()
    (root / "md5").write_text(f"{LISTED_MD5}\n")
    (root / "domain").write_text(f"{LISTED_HOST}\n")
    compile_list(
        id="old",
        version=1,
        sources=[(name, str(root / name)) for name in ("md5", "domain")],
        to=str(root / "lists"),
        issued=datetime(2020, 1, 1, tzinfo=UTC),
        expires=expires,
    )
    return str(root / "lists")


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path) -> Job:
    """A landing zone of which only the first shard has arrived."""
    made = job(write_webdataset(tmp_path / "landing"))
    (tmp_path / "landing" / "00001.tar").rename(tmp_path / "later")
    return replace(made, lists=lists_of(tmp_path / "old"))


def run_killed_at_its_report(gate: Job, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Does the second shard, which has arrived by now, and is killed before it can report it."""

    class KilledError(BaseException):
        pass

    def killed(*arguments: Any) -> None:
        raise KilledError

    (tmp_path / "later").rename(tmp_path / "landing" / "00001.tar")
    with patch.context() as only:
        only.setattr(summary, "write_report", killed)
        with pytest.raises(KilledError):
            gate.run()


def reported(gate: Job) -> int:
    """How many assets all reports together have counted."""
    reports = [json.loads(path.read_text()) for path in (gate.evidence / "reports").iterdir()]
    return sum(sum(one["since_last_report"]["counts"].values()) for one in reports)


@pytest.mark.parametrize("step", [timedelta(), *chosen(STEPS, 2, "reports")], ids=shown)
def test_reports_count_each_shard_once(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, step: timedelta
) -> None:
    gate.report()
    clock.ahead = step
    run_killed_at_its_report(gate, tmp_path, monkeypatch)
    assert reported(gate) == 6
    report = gate.report()
    assert report["since_last_report"]["receipts"]["count"] == 1
    assert reported(gate) == 12
    clock.ahead = timedelta()
    assert gate.report()["since_last_report"]["receipts"]["count"] == 0
    assert gate.report("--no-resume")["since_last_report"]["receipts"]["count"] == 2
    assert reported(gate) == 24
    assert gate.census()["exact"]


def test_what_a_report_was_about_to_count_is_counted_by_the_next(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.report()
    (kept,) = (gate.evidence / "reports").iterdir()
    kept.unlink()  # as if killed between the list of what it counts and the report itself
    assert len(list((gate.evidence / "reported").iterdir())) == 1
    assert gate.report()["since_last_report"]["receipts"]["count"] == 1
    assert reported(gate) == 6


@pytest.mark.parametrize("step", chosen(STEPS, 2, "within"), ids=shown)
def test_a_step_within_a_run(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, step: timedelta
) -> None:
    """Between two commits; what is certified, logged and resumed is as ever."""
    (tmp_path / "later").rename(tmp_path / "landing" / "00001.tar")
    calm = gate.elsewhere("calm")
    calm.report()
    key = str(tmp_path / "key.pem")
    public = generate_signing_key(key)
    real = Committer.commit

    def stepping(self: Any, *arguments: Any) -> Any:
        receipt = real(self, *arguments)
        clock.ahead = step
        return receipt

    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", stepping)
        report = gate.report("--certificate-key", key)
    assert clock.ahead == step
    assert report["throughput"]["seconds"] >= 0
    assert {**gate.state(), "output": 0} == {**calm.state(), "output": 0}
    assert gate.census()["exact"]
    assert gate.report()["shards"]["done"] == 0
    vault = ("--quarantine", str(gate.quarantine))
    verify = ("verify", str(gate.output), "--key", public, "--evidence", str(gate.evidence))
    for command in (
        (*verify, *vault),
        ("audit", "verify", *vault),
        ("quarantine", "check", *vault),
    ):
        checked = gate.invoke(*command)
        assert checked.exit_code == 0, checked.output
    clock.ahead = timedelta()
    again = gate.invoke(*verify)
    assert again.exit_code == (5 if step > clock.ahead else 0)
    assert ("issued in the future" in again.output) == (step > clock.ahead)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (-HOUR, None),
        (HOUR, None),
        (-YEAR, "is issued in the future"),
        (YEAR, "expired on"),
    ],
    ids=["-1h", "+1h", "-1y", "+1y"],
)
def test_lists_are_fresh_by_the_clock_there_is(
    gate: Job, tmp_path: Path, clock: Clock, step: timedelta, why: str | None
) -> None:
    """A clock that is far off refuses lists, and never uses one that the right time would not."""
    today = datetime.now(UTC)
    (tmp_path / "md5").write_text(f"{LISTED_MD5}\n")
    compile_list(
        id="new",
        version=1,
        sources=[("md5", str(tmp_path / "md5"))],
        to=gate.lists,
        issued=today - timedelta(days=1),
        expires=today + timedelta(days=1),
    )
    clock.ahead = step
    tried = gate.run()
    if why is None:
        assert tried.exit_code == 0, tried.output
        return
    assert tried.exit_code == 3
    assert why in tried.stderr
    assert not gate.output.exists()
    clock.ahead = timedelta()
    gate.report()
    assert gate.census()["exact"]


def test_lists_that_expire_while_a_run_is_at_work(
    gate: Job, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It ends well or fails; nothing in between, and nothing unchecked is admitted."""
    expires = datetime.now(UTC) + timedelta(days=1)
    gate.lists = lists_of(gate.root.parent / "short", expires)
    calm = gate.elsewhere("calm")
    calm.report()
    real = run_module._judge_and_commit

    def late(*arguments: Any) -> None:
        clock.ahead = YEAR
        real(*arguments)

    monkeypatch.setattr(run_module, "_judge_and_commit", late)
    tried = gate.run()
    if tried.exit_code:
        assert "expired on" in tried.output
        assert not list(gate.output.rglob("*.tar"))
    else:
        assert gate.state() == calm.state()
    monkeypatch.setattr(run_module, "_judge_and_commit", real)
    clock.ahead = timedelta()
    gate.report()
    assert gate.state() == calm.state()
