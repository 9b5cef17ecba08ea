"""No failure of a file system admits anything wrong, and a later run makes it good."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Job
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen
from tests.faults.layer import CLEANING, FaultLayer, faults_at
from tests.faults.zones import ZONES

MakeJob = Callable[..., Job]
_POINTS = 2  # of about six hundred, per format


def fail(gate: Job, layer: FaultLayer, expected: dict[str, Any], *extra: str) -> None:
    """Runs with the layer armed, and again without it; the end is as expected."""
    at, fault, for_ever = layer.at or 0, layer.fault, layer.for_ever
    tried = gate.run(*extra)
    layer.pass_through()
    # A run that ends before the fault could strike failed of something else, which it says.
    assert at < len(layer.operations), (at, tried.output, tried.exception)
    where = (at, fault, for_ever, *layer.operations[at])
    assert tried.exception is None or isinstance(tried.exception, SystemExit), where
    assert layer.struck, where
    if any(faults_at(each, fault) for each in layer.struck):
        assert tried.exit_code == 1, (where, tried.output)
    elif not set(layer.struck) & set(CLEANING):
        assert tried.exit_code == 0, (where, tried.output)
    check_nothing_wrong(gate, expected["output"], where)
    gate.report()
    assert gate.state() == expected, where
    assert gate.census()["exact"], where


@pytest.mark.parametrize("format", list(ZONES))
def test_every_change_can_fail(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    calm = job(ZONES[format](tmp_path / "landing"))
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    operations = layer.counted(calm.report)
    assert {"create", "write", "append", "fsync", "replace"} <= {name for name, _ in operations}
    expected = calm.state()
    for point, fault, for_ever in chosen(layer.every_fault(operations), _POINTS, format):
        gate = calm.elsewhere(f"fails-{point}-{fault}-{for_ever}")
        layer.arm(point, fault, for_ever=for_ever)
        fail(gate, layer, expected)


def test_every_change_can_fail_while_a_run_forgets(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --no-resume, removals matter: what is not removed must not stand for what is new."""
    gate = job(ZONES["webdataset"](tmp_path / "landing"))
    gate.report()
    expected = gate.state()
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    operations = layer.counted(lambda: gate.report("--no-resume"))
    assert {"unlink", "rmdir"} <= {name for name, _ in operations}
    points = [
        (point, fault, for_ever)
        for point, fault, for_ever in layer.every_fault(operations, cleaning=True)
        if operations[point][0] in CLEANING
    ]
    for point, fault, for_ever in chosen(points, _POINTS, "forgets"):
        layer.arm(point, fault, for_ever=for_ever)
        fail(gate, layer, expected, "--no-resume")
