"""No failure of a file system admits anything wrong, and a later run makes it good."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import WRITERS, Job
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen
from tests.faults.layer import FAULTS, SHORT, FaultLayer

MakeJob = Callable[..., Job]
_POINTS = 2  # of about a hundred, per format and fault


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for-ever"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("format", list(WRITERS))
def test_every_change_can_fail(
    job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    fault: str,
    for_ever: bool,
) -> None:
    calm = job(WRITERS[format](tmp_path / "landing"))
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    layer.arm(None, fault, for_ever=for_ever)
    calm.report()
    operations = list(layer.operations)
    assert {"create", "write", "fsync", "replace"} <= {name for name, _ in operations}
    expected = calm.state()
    points = [
        number
        for number, (name, _) in enumerate(operations)
        # What is left behind under a temporary name harms nobody.
        if (name == "write" if fault == SHORT else name not in ("unlink", "rmdir", "utime"))
    ]
    for point in chosen(points, _POINTS, (format, fault, for_ever)):
        where = (point, operations[point])
        gate = calm.elsewhere(f"fails-{point}")
        layer.arm(point, fault, for_ever=for_ever)
        tried = gate.run()
        layer.pass_through()
        assert tried.exit_code == (0 if fault == SHORT else 1), (where, tried.output)
        check_nothing_wrong(gate, expected["output"], where)
        gate.report()
        assert gate.state() == expected, where
        assert gate.census()["exact"], where
