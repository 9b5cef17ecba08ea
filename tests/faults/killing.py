"""Processes of a run killed (-9) at one of their operations."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import Job
    from tests.faults.layer import FaultLayer

_HERE = Path(__file__).parent
DRIVER, WORKER = "/ingestgate", "local_worker"  # what their command lines hold


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_and_be_killed(gate: "Job", layer: "FaultLayer", point: int, *extra: str) -> None:
    """Runs in a copy of this process, which is killed at an operation.

    The copy talks to this process's decoder: no request is under way at a change to a file.
    """
    from ingestgate.transforms.settings import release_judge

    child = os.fork()
    if child == 0:
        try:
            layer.arm(point, kill_self, for_ever=False)
            gate.run(*extra)
        finally:
            os._exit(77)
    status = os.waitpid(child, 0)[1]
    layer.pass_through()
    assert os.WIFSIGNALED(status), (point, status)
    assert os.WTERMSIG(status) == signal.SIGKILL, (point, status)
    if layer.watches_decoding:
        release_judge()  # an answer that nobody waits for may be on its way


@dataclass(frozen=True)
class Strike:
    """What happens to a process of a run of its own.

    Attributes:
        process: `DRIVER` or `WORKER`.
        below: Only operations below this folder count.
        at: Number of the operation; None lets it pass.
        tally: A folder in which each such process leaves a file with a byte an operation.
    """

    process: str
    below: str
    at: int | None
    tally: str | None = None

    def environment(self) -> dict[str, str]:
        said = json.dumps({**asdict(self), "tests": str(_HERE.parents[1])})
        return {**os.environ, "PYTHONPATH": str(_HERE / "site"), "INGESTGATE_FAULT": said}


def command(gate: "Job", *extra: str) -> list[str]:
    """Returns the command of a run, for a process of its own."""
    program = str(Path(sys.executable).parent / "ingestgate")
    given = ["--input", *gate.inputs, *gate.folders, "--lists", gate.lists]
    return [program, "run", *given, "--recipient", gate.recipient, *extra]


def ran(gate: "Job", *extra: str, strike: Strike | None = None) -> subprocess.CompletedProcess[str]:
    """Runs in processes of their own, one of which may be struck."""
    environment = None if strike is None else strike.environment()
    return subprocess.run(
        command(gate, *extra), env=environment, check=False, capture_output=True, text=True
    )


def tallied(folder: Path) -> Sequence[int]:
    """Returns how many operations each process made that left a tally."""
    return [path.stat().st_size for path in folder.iterdir()]
