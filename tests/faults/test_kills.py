"""Killed (-9) anywhere and run again, a run ends as if undisturbed.

The long version kills at two hundred seeded points: `_COPIES` of them in a run of one process, at
any change to a file and while pictures are decoded, and `_PROCESSES` drivers and as many workers
in runs of several processes.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Job, write_webdataset
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen, seeded, thorough
from tests.faults.killing import DRIVER, WORKER, Strike, ran, run_and_be_killed, tallied
from tests.faults.layer import DECODE, FaultLayer
from tests.faults.zones import ZONES

MakeJob = Callable[..., Job]
_COPIES = 120 if thorough() else 6  # together, over all formats
_PROCESSES = 40  # of drivers and of workers, each


@pytest.fixture
def many_ranges(tmp_path: Path) -> tuple[str, str]:
    """A policy by which even a small shard is cut into several ranges."""
    (tmp_path / "policy.yaml").write_text("range_bytes: 9000\n")
    return ("--policy", str(tmp_path / "policy.yaml"))


def run_again(gate: Job, expected: dict[str, Any], where: object, *policy: str) -> None:
    """Whatever was left is right; run again, all is as if nothing had happened."""
    check_nothing_wrong(gate, expected["output"], where)
    gate.report(*policy)
    assert gate.state() == expected, where
    assert gate.census()["exact"], where


def phase(operation: tuple[str, str], gate: Job) -> str:
    """What a run is about at an operation."""
    name, path = operation
    if name == DECODE or path.startswith(f"{gate.evidence}/ledger"):
        return "judge"
    sealed = path.startswith(f"{gate.quarantine}/") and "/audit/" not in path
    receipt = path.startswith(f"{gate.evidence}/receipts")
    return "commit" if sealed or receipt or path.startswith(f"{gate.output}/") else "other"


def places(operations: list[tuple[str, str]], calm: Job, format: str) -> list[int]:
    """Returns the points to kill at: in the long version as many in each phase of a run."""
    count = _COPIES // len(ZONES)
    if not thorough():
        return seeded(range(len(operations)), count, format)
    phases: dict[str, list[int]] = {"judge": [], "commit": [], "other": []}
    for point, operation in enumerate(operations):
        phases[phase(operation, calm)].append(point)
    each = -(-count // len(phases))
    return [
        point
        for name, points in phases.items()
        for point in seeded(points, each, f"{format} {name}")
    ]


@pytest.mark.parametrize("format", chosen(list(ZONES), 3, "kills"))
def test_killed_at_any_operation(
    job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    many_ranges: tuple[str, str],
    format: str,
) -> None:
    calm = job(ZONES[format](tmp_path / "landing"))
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    layer.watch_decoding(monkeypatch.setattr)
    operations = layer.counted(lambda: calm.report(*many_ranges))
    expected = calm.state()
    phases = Counter(phase(each, calm) for each in operations)
    assert min(phases["judge"], phases["commit"]) >= 10
    for point in places(operations, calm, format):
        gate = calm.elsewhere(f"killed-{point}")
        run_and_be_killed(gate, layer, point, *many_ranges)
        run_again(gate, expected, (point, operations[point]), *many_ranges)


@pytest.mark.skipif(not thorough(), reason="starts many processes; tests/e2e kills one of each")
@pytest.mark.parametrize("victim", [DRIVER, WORKER])
def test_a_process_killed_among_several(
    job: MakeJob, tmp_path: Path, many_ranges: tuple[str, str], victim: str
) -> None:
    calm = job(write_webdataset(tmp_path / "landing"))
    (tally := tmp_path / "tally").mkdir()
    calm.root.mkdir()
    counting = Strike(victim, str(calm.root), None, tally=str(tally))
    done = ran(calm, "--workers", "2", *many_ranges, strike=counting)
    assert done.returncode == 0, done.stderr
    expected = calm.state()
    # Of two workers one makes half of all changes, or more.
    within = max(tallied(tally)) if victim == DRIVER else sum(tallied(tally)) // 2
    assert within > 10
    points = seeded(range(within), _PROCESSES, victim)
    killed = 0
    for point in points:
        gate = calm.elsewhere(f"killed-{point}")
        strike = Strike(victim, str(gate.root), point)
        done = ran(gate, "--workers", "2", *many_ranges, strike=strike)
        if victim == DRIVER:
            assert done.returncode in (0, -9), done.stderr
        else:
            assert done.returncode in (0, 1), done.stderr
            assert done.returncode == 0 or "a worker process died" in done.stderr
        killed += done.returncode != 0
        run_again(gate, expected, (victim, point), *many_ranges)
    assert killed >= 0.9 * len(points)
