"""Killed (-9) at any change to the file system and run again, a run ends as if undisturbed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.transforms.settings import release_judge
from tests.e2e.conftest import WRITERS, Job
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen
from tests.faults.layer import FaultLayer

MakeJob = Callable[..., Job]
_POINTS = 3  # of about a hundred, per format
_WORKER_POINTS = 2
_WORKER_CHANGES = 24  # about as many as one of two workers makes on a landing zone this small


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_and_be_killed(gate: Job, layer: FaultLayer, point: int) -> int:
    """Runs in a copy of this process, which is killed at a change; returns its wait status."""
    release_judge()  # the copy must not talk to this one's decoder
    child = os.fork()
    if child == 0:
        try:
            layer.arm(point, kill_self, for_ever=False)
            gate.run()
        finally:
            os._exit(77)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("format", list(WRITERS))
def test_killed_at_any_change(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    calm = job(WRITERS[format](tmp_path / "landing"))
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    layer.arm(None, kill_self, for_ever=False)
    calm.report()
    operations = list(layer.operations)
    expected = calm.state()
    for point in chosen(range(len(operations)), _POINTS, format):
        where = (point, operations[point])
        gate = calm.elsewhere(f"killed-{point}")
        status = run_and_be_killed(gate, layer, point)
        assert os.WIFSIGNALED(status), (where, status)
        assert os.WTERMSIG(status) == signal.SIGKILL, where
        layer.pass_through()
        check_nothing_wrong(gate, expected["output"], where)
        gate.report()
        assert gate.state() == expected, where
        assert gate.census()["exact"], where


def test_a_worker_killed_at_any_change(job: MakeJob, tmp_path: Path) -> None:
    calm = job(WRITERS["webdataset"](tmp_path / "landing"))
    calm.report()
    expected = calm.state()
    killed = 0
    for point in chosen(range(_WORKER_CHANGES), _WORKER_POINTS, "worker"):
        gate = calm.elsewhere(f"killed-{point}")
        command = [str(Path(sys.executable).parent / "ingestgate"), "run", "--workers", "2"]
        done = subprocess.run(
            [
                *(*command, "--input", *gate.inputs, *gate.folders, "--lists", gate.lists),
                *("--recipient", gate.recipient),
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parent / "site"),
                "INGESTGATE_KILL_TESTS": str(Path(__file__).parents[2]),
                "INGESTGATE_KILL_BELOW": str(gate.root),
                "INGESTGATE_KILL_WORKER_AT": str(point),
            },
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, 1), done.stderr
        if done.returncode:
            assert "a worker process died" in done.stderr
            killed += 1
        check_nothing_wrong(gate, expected["output"], point)
        gate.report()
        assert gate.state() == expected, point
        assert gate.census()["exact"], point
    assert killed
