"""Killed (-9) while it forgets what was judged before, a run leaves nothing that stands for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Job, write_webdataset
from tests.faults.conftest import chosen
from tests.faults.killing import run_and_be_killed
from tests.faults.layer import FaultLayer

MakeJob = Callable[..., Job]


def forgotten(gate: Job, operations: list[tuple[str, str]]) -> list[int]:
    """Numbers of the removals of receipts and ledger parts, and of the change after the last."""
    roots = tuple(f"{gate.evidence / name}/" for name in ("receipts", "ledger"))
    found = [
        number
        for number, (name, path) in enumerate(operations)
        if name in ("unlink", "rmdir") and path.startswith(roots)
    ]
    return [*found, found[-1] + 1]


def test_a_run_that_forgets(job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    expected = gate.state()
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    operations = layer.counted(lambda: gate.report("--no-resume"))
    assert gate.state() == expected
    points = forgotten(gate, operations)
    assert len(points) == 7  # of two shards a receipt, a part and its folder each, and then
    for point in chosen(points, 3, "forgets"):
        run_and_be_killed(gate, layer, point, "--no-resume")
        for receipt in (gate.evidence / "receipts").rglob("*.json"):
            shard = receipt.name.removesuffix(".json")
            parts = gate.evidence / "ledger" / f"{shard}.parts"
            assert list(parts.glob("*.parquet")), (point, shard)
        gate.report()
        assert gate.state() == expected, point
        assert gate.census()["exact"], point


def test_a_receipt_does_not_stand_for_a_ledger_that_is_gone(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    expected = gate.state()
    next((gate.evidence / "ledger" / "00001.tar.parts").glob("*")).unlink()
    assert gate.report()["shards"]["done"] == 1
    assert gate.state() == expected


def test_a_receipt_does_not_stand_for_a_ledger_by_other_rules(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a run with a newer list that ended early, and the older list again."""
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    expected = gate.state()
    (tmp_path / "policy.yaml").write_text("lists: {partner: {action: observe}}\n")
    from ingestgate.transforms.committing import Committer

    with monkeypatch.context() as patch:
        patch.delattr(Committer, "commit")
        assert gate.run("--policy", str(tmp_path / "policy.yaml")).exit_code == 1
    assert gate.ledger() != expected["ledger"]
    assert gate.report()["shards"]["done"] == 2
    assert gate.state() == expected
