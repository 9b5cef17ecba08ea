"""Two runs at once on the same folders: one works, the other says why it does not."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingestgate.pipeline import run as run_module
from ingestgate.pipeline.lock import run_lock
from tests.e2e.conftest import Job, write_webdataset
from tests.faults.checks import files
from tests.faults.conftest import chosen
from tests.faults.killing import command
from tests.faults.layer import FaultLayer

MakeJob = Callable[..., Job]


def changes(gate: Job, layer: FaultLayer) -> range:
    """Returns the numbers of the changes that a calm run makes once it holds its locks."""
    operations = layer.counted(gate.report)
    layer.pass_through()
    held = [f"{folder}/.lock" for folder in (gate.evidence, gate.quarantine)]
    locks = [number for number, (_, path) in enumerate(operations) if path in held]
    return range(max(locks) + 1, len(operations))


@dataclass
class Held:
    """A run in a copy of this process that has stopped at one of its changes."""

    process: int
    wait: int
    ended: int | None = None

    def finish(self) -> int:
        """Lets it go on; returns what it ends with."""
        os.write(self.wait, b".")
        return self._end()

    def kill(self) -> int:
        """Kills it where it is; returns what it ends with."""
        os.kill(self.process, signal.SIGKILL)
        return self._end()

    def _end(self) -> int:
        self.ended = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return self.ended


@contextmanager
def held(gate: Job, layer: FaultLayer, at: int) -> Iterator[Held]:
    """Holds a run at a change to a file, when no request to this process's decoder is under way."""
    there, ours = os.pipe()
    theirs, wait = os.pipe()

    def hold() -> None:
        os.write(ours, b".")
        os.read(theirs, 1)

    process = os.fork()
    if process == 0:
        code = 77
        try:
            os.close(wait)  # or it would wait for itself
            layer.arm(at, hold, for_ever=False)
            result = gate.run()
            if result.exception is None or isinstance(result.exception, SystemExit):
                code = result.exit_code
        finally:
            os._exit(code)
    os.close(ours)
    os.close(theirs)
    first = Held(process, wait)
    try:
        assert os.read(there, 1), "it ended before it got there"
        yield first
    finally:
        if first.ended is None:
            first.kill()
        os.close(there)
        os.close(wait)


def test_the_second_refuses_and_changes_nothing(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    calm, layer = gate.elsewhere("calm"), FaultLayer(monkeypatch.setattr, tmp_path)
    within = changes(calm, layer)
    for at in chosen(within, 1, "two runs"):
        both = gate.elsewhere(f"held-{at}")
        with held(both, layer, at) as first:
            before = files(both.root)
            second = both.run()
            assert second.exit_code == 1, (at, second.stderr)
            assert f"another run is at work on {both.evidence}" in second.stderr, at
            assert files(both.root) == before, at
            assert first.finish() == 0, at
        assert both.state() == calm.state(), at
        assert both.census()["exact"], at


def test_an_output_is_one_runs_whatever_its_evidence(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another evidence folder is no way round: its rules could admit what is being taken out."""
    gate = job(write_webdataset(tmp_path / "landing"))
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    within = changes(gate.elsewhere("calm"), layer)
    other = gate.elsewhere("other")
    other.root.mkdir()
    other.output.symlink_to(gate.output)
    with held(gate, layer, within[len(within) // 2]) as first:
        refused = other.run()
        assert refused.exit_code == 1, refused.output
        assert "another run is at work on" in refused.output
        assert "with other evidence" in refused.output
        assert not (other.evidence / "ledger").exists()
        assert first.finish() == 0
    assert gate.census()["exact"]


def test_a_killed_run_locks_nobody_out(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    calm, layer = gate.elsewhere("calm"), FaultLayer(monkeypatch.setattr, tmp_path)
    within = changes(calm, layer)
    for at in chosen(within, 1, "killed"):
        killed = gate.elsewhere(f"killed-{at}")
        with held(killed, layer, at) as first:
            assert first.kill() == -signal.SIGKILL, at
            killed.report()
        assert killed.state() == calm.state(), at
        assert killed.census()["exact"], at


def test_two_that_race(job: MakeJob, tmp_path: Path) -> None:
    """Whichever is first; if the other comes late, it finds the work done."""
    gate = job(write_webdataset(tmp_path / "landing"))
    ours = command(gate, "--workers", "1")
    both = [
        subprocess.Popen(ours, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) in ([0, 0], [0, 1]), said
    for code, message in zip(codes, said, strict=True):
        assert code == 0 or "another run is at work on" in message
    calm = gate.elsewhere("calm")
    calm.report()
    assert gate.state() == calm.state()
    assert gate.census()["exact"]


def test_a_plan_that_another_run_has_overtaken(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its plan and its lock, another run does everything: nothing is sealed twice."""
    gate = job(write_webdataset(tmp_path / "landing"))
    calm = gate.elsewhere("calm")
    calm.report()

    def overtaken(evidence: str) -> object:
        monkeypatch.setattr(run_module, "run_lock", run_lock)
        gate.report()
        return run_lock(evidence)

    monkeypatch.setattr(run_module, "run_lock", overtaken)
    assert gate.report()["shards"]["finished_before"] == 2
    assert gate.state() == calm.state()
    assert gate.census()["exact"]
    vault = ("--quarantine", str(gate.quarantine), "--identity", gate.identity)
    checked = gate.invoke("quarantine", "check", *vault)
    assert checked.exit_code == 0, checked.output


def test_runs_that_share_a_quarantine_leave_each_other_alone(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other one is sealing lies under a temporary name, and is no leftover."""
    gate = job(write_webdataset(tmp_path / "landing"))
    calm = gate.elsewhere("calm")
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    operations = layer.counted(calm.report)
    layer.pass_through()
    objects = f"{calm.quarantine}/objects"
    at = next(
        n for n, (what, path) in enumerate(operations) if what == "replace" and objects in path
    )
    other = gate.elsewhere("other")
    shared = ["--quarantine", str(gate.quarantine)]
    with held(gate, layer, at) as first:
        layer.pass_through()
        assert other.run(*shared).exit_code == 0
        assert first.finish() == 0
    assert gate.census()["exact"]
