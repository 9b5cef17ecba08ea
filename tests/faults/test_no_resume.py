"""Killed (-9) while it forgets what was judged before, a run leaves nothing that stands for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.receipts import Receipt, every_receipt, receipt_path
from ingestgate.assets.shard import Shard
from ingestgate.assets.withdrawn_receipts import note_withdrawal, withdrawal_path, withdrawals
from tests.e2e.conftest import Job, write_webdataset
from tests.e2e.rescan.conftest import OLD, compiled, new
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
        known = {
            path.name.removesuffix(".json") for path in (gate.evidence / "receipts").rglob("*.json")
        }
        assert {*withdrawals(str(gate.evidence)), *known} == {"00000.tar", "00001.tar"}, point
        gate.report()
        assert gate.state() == expected, point
        assert gate.census()["exact"], point
        assert not withdrawals(str(gate.evidence))


def test_what_is_admitted_and_cannot_be_judged_anew_is_not_passed_over(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.lists = compiled(tmp_path, 1, OLD)
    gate.report()
    shard = tmp_path / "landing" / "00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:700])
    gate.report("--no-resume", code=1)
    assert (gate.output / "00000.tar").read_bytes() == whole
    compiled(tmp_path, 2, new(pdq=None))  # lists k01, which lies there
    asked = ("rescan", "--evidence", str(gate.evidence), "--lists", gate.lists, "--workers", "1")
    refused = gate.invoke(*asked)
    assert refused.exit_code == 5, refused.output
    assert "00000.tar: was to be judged anew and is not yet committed" in refused.output
    # The way out that it names, and the other one.
    aside = tmp_path / "00000.tar"
    (gate.output / "00000.tar").rename(aside)
    Path(withdrawal_path(str(gate.evidence), "00000.tar")).rename(tmp_path / "note")
    assert gate.invoke(*asked).exit_code == 0
    aside.rename(gate.output / "00000.tar")
    (tmp_path / "note").rename(withdrawal_path(str(gate.evidence), "00000.tar"))
    shard.write_bytes(whole)
    gate.report()
    assert not withdrawals(str(gate.evidence))


def test_nor_is_what_a_run_was_killed_at_that_committed_it_again(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    (gate.output / "00000.tar").unlink()

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ingestgate.transforms.committing.write_receipt", killed)
        gate.run()
    assert (gate.output / "00000.tar").exists()
    with pytest.raises(EvidenceError, match=r"00000\.tar: was to be judged anew"):
        every_receipt(str(gate.evidence))
    gate.report()
    assert set(every_receipt(str(gate.evidence))) == {"00000.tar", "00001.tar"}


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the names of the shards that are judged from now on, a range each time."""
    from ingestgate.transforms import judge

    judged: list[str] = []
    really = judge._judge

    def noting(shard: Shard, *more: Any) -> Any:
        judged.append(shard.name)
        return really(shard, *more)

    monkeypatch.setattr(judge, "_judge", noting)
    return judged


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_is_not_yet_forgotten_is_not_used(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    """As a run leaves it that was killed after the receipt, or when a part was judged anew."""
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    note_withdrawal(str(gate.evidence), "00000.tar", forgotten=forgotten)
    Path(receipt_path(str(gate.evidence), "00000.tar")).unlink()
    judged = noted(monkeypatch)
    gate.report()
    assert judged == ([] if forgotten else ["00000.tar"])
    assert not withdrawals(str(gate.evidence))


def test_what_was_judged_anew_before_a_run_was_killed_is_taken_over(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    reached: list[str] = []

    def killed(_evidence: str, receipt: Receipt) -> None:
        reached.append(receipt.shard)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ingestgate.transforms.committing.write_receipt", killed)
        gate.run("--no-resume")
    judged = noted(monkeypatch)
    gate.report()
    assert reached
    assert not {*reached} & {*judged}
    assert not withdrawals(str(gate.evidence))


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
