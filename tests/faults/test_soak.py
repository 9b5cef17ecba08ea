"""Run after run for an hour: neither memory nor open files grow, in any process.

`INGESTGATE_SOAK_SECONDS` says for how long instead, in the short version as well.
"""

import gc
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

import numpy as np
import psutil
import pytest

from ingestgate.pipeline.cli import cli
from tests.e2e.conftest import Job
from tests.faults.conftest import thorough
from tests.faults.zones import ZONES

_SECONDS = float(os.environ.get("INGESTGATE_SOAK_SECONDS", "3600" if thorough() else "0"))
_MOST_GROWTH = 48.0  # MB, from the first third's end to the last run, by a line through all


def role(process: psutil.Process) -> str:
    if process.pid == os.getpid():
        return "run"
    line = " ".join(process.cmdline())
    return "decoder" if "ingestgate.fingerprints" in line else "other"


def growth(values: list[float]) -> float:
    """Returns by how much a line through values rises from the first to the last."""
    if len(values) < 2:
        return 0.0
    slope, _ = np.polyfit(np.arange(len(values)), values, 1)
    return float(slope) * (len(values) - 1)


def test_growth() -> None:
    assert growth([5.0, 5.0, 5.0]) == pytest.approx(0)
    assert growth([1.0, 2.0, 3.0, 4.0]) == pytest.approx(3)


def invoke(sink: TextIO, *arguments: str) -> int:
    """Returns a command's exit code.

    All commands share one stream: click keeps every stream it has written to, and so does its
    test runner, with what was written.
    """
    with redirect_stdout(sink), redirect_stderr(sink):
        return cli.main(list(arguments), "ingestgate", standalone_mode=False) or 0


@pytest.mark.skipif(not _SECONDS, reason="takes an hour, or INGESTGATE_SOAK_SECONDS")
def test_an_hour_of_runs(job: Callable[..., Job], tmp_path: Path) -> None:
    zones = [job(write(tmp_path / name)).elsewhere(f"{name}-run") for name, write in ZONES.items()]
    memory: dict[str, list[float]] = defaultdict(list)
    files: dict[str, list[float]] = defaultdict(list)
    until = time.monotonic() + _SECONDS
    with open(os.devnull, "w") as sink:
        while time.monotonic() < until or len(memory["run"]) < 3:
            for gate in zones:
                assert invoke(sink, *gate.run_arguments) == 0
                assert invoke(sink, *gate.run_arguments, "--no-resume") == 0
                assert invoke(sink, *gate.census_arguments) == 0  # exact
                shutil.rmtree(gate.root)  # logs and reports are kept, and grow as they should
            gc.collect()
            here = psutil.Process()
            for process in (here, *here.children(recursive=True)):
                memory[role(process)].append(process.memory_info().rss / 1e6)
                files[role(process)].append(float(process.num_fds()))
    assert set(memory) == {"run", "decoder"}
    for name in memory:
        warm = len(memory[name]) // 3
        assert growth(memory[name][warm:]) < _MOST_GROWTH, (name, memory[name])
        assert growth(files[name][warm:]) < 2, (name, files[name])
