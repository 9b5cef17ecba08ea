"""A commit goes by the ledger that was judged, and by no other."""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestgate.assets import ledger
from ingestgate.assets.errors import StorageError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.shard import Shard
from ingestgate.transforms import committing, verifying
from ingestgate.transforms.committing import Committer
from ingestgate.transforms.judge import JudgeRange
from tests.archives import make_tar
from tests.e2e.conftest import EXACT, Job, write_webdataset
from tests.pictures import encoded, jpeg, picture

MakeJob = Callable[..., Job]
Change = Callable[[PartHeader, pa.Table], tuple[PartHeader, pa.Table]]
#: One that passes as it is, and one that something is taken out of.
UNTOUCHED, TOUCHED = "00000.tar", "00001.tar"


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path) -> Job:
    return job(write_webdataset(tmp_path / "landing", 3))


def rewrite(gate: Job, shard: str, change: Change) -> None:
    """Puts another ledger part in the place of a shard's."""
    root = str(gate.evidence / "ledger")
    part = ledger.read_part(ledger.part_path(root, shard, 0))
    ledger.write_part(root, *change(*part))


def failed(gate: Job) -> dict[str, str]:
    """Runs; returns why shards failed, by name. What they hold was not admitted."""
    report = gate.report(code=1)
    shards = {one["shard"]: one["problem"] for one in report["shards"]["failed"]}
    assert not any((gate.output / shard).exists() for shard in shards)
    return shards


def check_the_next_run(gate: Job) -> None:
    gate.report()
    assert gate.census()["exact"]


def before_the_commit(patch: pytest.MonkeyPatch, gate: Job, shard: str, change: Change) -> None:
    commit = Committer.commit

    def changed(self: Committer, own: Shard, *arguments: Any) -> Any:
        if own.name == shard:
            rewrite(gate, shard, change)
        return commit(self, own, *arguments)

    patch.setattr(Committer, "commit", changed)


@pytest.mark.parametrize("shard", [UNTOUCHED, TOUCHED])
@pytest.mark.parametrize(
    "otherwise", [{"context": "0" * 64}, {"identity": "0" * 64}, {"stop": 1}, {"earlier": "0" * 64}]
)
def test_a_part_of_another_judging_is_not_committed(
    gate: Job, shard: str, otherwise: dict[str, Any]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        before_the_commit(patch, gate, shard, lambda h, t: (replace(h, **otherwise), t))
        problems = failed(gate)
    assert list(problems) == [shard]
    assert "is missing or of another run" in problems[shard]
    check_the_next_run(gate)


@pytest.mark.parametrize("shard", [UNTOUCHED, TOUCHED])
def test_a_header_that_counts_other_rows_is_not_committed(gate: Job, shard: str) -> None:
    def change(header: PartHeader, table: pa.Table) -> tuple[PartHeader, pa.Table]:
        return replace(header, tallies={**header.tallies, "list:partner": 7}), table

    with pytest.MonkeyPatch.context() as patch:
        before_the_commit(patch, gate, shard, change)
        problems = failed(gate)
    assert list(problems) == [shard]
    assert "its header counts other rows than it holds" in problems[shard]
    check_the_next_run(gate)


@pytest.mark.parametrize("shard", [UNTOUCHED, TOUCHED])
def test_a_part_that_is_replaced_between_two_looks_is_not_committed(
    gate: Job, shard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time, its header names other rules."""
    real = ledger.read_part

    def replaced(path: str) -> tuple[PartHeader, pa.Table]:
        header, table = real(path)
        return (replace(header, context="0" * 64) if shard in path else header), table

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "read_part", replaced)
        problems = failed(gate)
    assert list(problems) == [shard]
    assert "was replaced meanwhile" in problems[shard]
    check_the_next_run(gate)


def test_a_sample_is_admitted_only_if_every_asset_of_it_is(job: MakeJob, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    pictures = [("k.left.jpg", jpeg(EXACT)), ("k.right.jpg", jpeg(1)), ("other.jpg", jpeg(2))]
    (landing / "0.tar").write_bytes(make_tar(pictures))
    gate = job(str(landing / "0.tar"))

    def admit_the_companion(header: PartHeader, table: pa.Table) -> tuple[PartHeader, pa.Table]:
        rows = table.to_pylist()
        assert [row["reason"] for row in rows] == ["matched", "companion_matched", "clean"]
        rows[1].update(verdict="admitted", reason="clean")
        table = pa.Table.from_pylist(rows, schema=table.schema)
        return replace(header, tallies=ledger.tally(table)), table

    with pytest.MonkeyPatch.context() as patch:
        before_the_commit(patch, gate, "0.tar", admit_the_companion)
        gate.report()
    with tarfile.open(gate.output / "0.tar") as admitted:
        assert admitted.getnames() == ["other.jpg"]
    assert any("have different verdicts" in each for each in gate.census()["problems"])


def test_a_shard_of_which_a_range_was_not_judged_is_not_committed(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a runner that loses a bundle."""
    (tmp_path / "policy.yaml").write_text("range_bytes: 9000\n")
    policy = ("--policy", str(tmp_path / "policy.yaml"))
    judge = JudgeRange.process

    def losing(self: JudgeRange, element: Any) -> Iterator[Any]:
        outcomes = list(judge(self, element))
        yield from (each for each in outcomes if (each[0], each[1].work.number) != (TOUCHED, 1))

    with monkeypatch.context() as patch:
        patch.setattr(JudgeRange, "process", losing)
        report = gate.report(*policy, code=1)
    (failed,) = report["shards"]["failed"]
    assert (failed["shard"], failed["problem"]) == (
        TOUCHED,
        "not every range of it was judged; run again",
    )
    assert not (gate.output / TOUCHED).exists()
    gate.report(*policy)
    assert (gate.output / TOUCHED).exists()


def test_what_is_not_admitted_by_now_is_not_copied(gate: Job) -> None:
    def quarantine(header: PartHeader, table: pa.Table) -> tuple[PartHeader, pa.Table]:
        names = table.schema.names
        verdicts = pa.array(["quarantined"] * table.num_rows)
        table = table.set_column(names.index("verdict"), table.schema.field("verdict"), verdicts)
        return replace(header, tallies=ledger.tally(table)), table

    verify = verifying.verify_range

    def changed(reader: Any, shard: Shard, *arguments: Any) -> None:
        verify(reader, shard, *arguments)
        if shard.name == UNTOUCHED:
            rewrite(gate, UNTOUCHED, quarantine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(committing, "verify_range", changed)
        problems = failed(gate)
    assert list(problems) == [UNTOUCHED]
    assert "was replaced meanwhile" in problems[UNTOUCHED]
    check_the_next_run(gate)


def test_what_other_rules_let_in_since_is_not_taken_for_what_the_first_did(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs fail at their ends; the ledger is then by the receipt's rules, and not its own."""
    folder = tmp_path / "landing" / "pics"
    folder.mkdir(parents=True)
    for name, side in (("small.jpg", 64), ("large.jpg", 256)):
        (folder / name).write_bytes(encoded(picture(2).resize((side, side))))
    (tmp_path / "strict.yaml").write_text("limits: {max_pixels: 10000}\n")
    strict = ("--policy", str(tmp_path / "strict.yaml"))
    gate = job(str(folder))
    assert gate.report(*strict)["counts"]["unscannable"] == 1

    def fails(*arguments: Any) -> None:
        raise StorageError("receipts: no space left")

    with monkeypatch.context() as patch:
        patch.setattr(committing, "write_receipt", fails)
        gate.report(code=1)
    assert (gate.output / "pics" / "large.jpg").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", fails)
        gate.report(*strict, code=1)
    assert gate.report(*strict)["counts"]["unscannable"] == 1
    assert [path.name for path in (gate.output / "pics").iterdir()] == ["small.jpg"]
    assert gate.census()["exact"]
