import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets import ledger
from ingestgate.assets.errors import EvidenceError, LedgerError, UsageError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.receipts import (
    NOT_TRIED,
    Receipt,
    every_receipt,
    receipt_path,
    write_failure,
    write_receipt,
)
from ingestgate.assets.shard import Shard
from ingestgate.pipeline.rescan.parts import Ledger, whole_ledger

HEADER = PartHeader("a.tar", "i", 0, 3, 0, 1, "c", "2026-01-01T00:00:00Z")
RECEIPT = Receipt(
    shard="a.tar",
    format="webdataset",
    identity="i",
    size=1,
    context="c",
    ranges=3,
    ledger="",
    judged_at=[HEADER.judged_at] * 3,
    tallies={},
    outputs=[{"name": "a.tar", "sha256": "0" * 64, "size": 1}],
    manifest="",
    manifest_digests={},
    committed_at="2026-01-01T00:00:00+00:00",
    software="1",
)
Write = Callable[..., str]


def whole(root: Path) -> Ledger:
    return whole_ledger(str(root), str(root / "output"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """The ledgers of two shards; only the first has a receipt, and lies in the output."""

    def part(number: int, shard: str = "a.tar", **other: Any) -> str:
        header = replace(HEADER, number=number, shard=shard, **other)
        return ledger.write_part(str(tmp_path / "ledger"), header, ledger.rows_to_table([], {}))

    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "a.tar").write_bytes(b"x")
    for shard in ("a.tar", "b.tar"):
        for number in range(3):
            part(number, shard)
    written = hash_shard_ledger(str(tmp_path), RECEIPT.shard, RECEIPT.ranges)
    write_receipt(str(tmp_path), replace(RECEIPT, ledger=written))
    return part


def dry(root: Path) -> None:
    """Takes away what a dry run does not leave."""
    Path(receipt_path(str(root), "a.tar")).unlink()
    (root / "output" / "a.tar").unlink()


def names(found: Ledger, root: Path) -> list[str]:
    return [part.path.removeprefix(f"{root}/ledger/") for part in found.parts]


def names_of(*shards: str) -> list[str]:
    return [f"{shard}.parts/part-0000{n}.parquet" for shard in shards for n in "012"]


def test_all_parts_of_committed_shards(tmp_path: Path, write: Write) -> None:
    found = whole(tmp_path)
    assert names(found, tmp_path) == names_of("a.tar")
    assert set(found.receipts) == {"a.tar"}
    assert found.left_out == ["b.tar"]


def test_all_parts_that_dry_runs_left(tmp_path: Path, write: Write) -> None:
    dry(tmp_path)
    found = whole(tmp_path)
    assert names(found, tmp_path) == names_of("a.tar", "b.tar")
    assert not found.receipts
    assert not found.left_out


@pytest.mark.parametrize("shard", ["a.tar", "b.tar"])
@pytest.mark.parametrize("number", range(3))
def test_a_missing_part(tmp_path: Path, write: Write, shard: str, number: int) -> None:
    if shard == "b.tar":
        dry(tmp_path)
    Path(ledger.part_path(str(tmp_path / "ledger"), shard, number)).unlink()
    with pytest.raises(LedgerError, match=shard):
        whole(tmp_path)


def test_a_shard_whose_ledger_is_gone(tmp_path: Path, write: Write) -> None:
    for path in (tmp_path / "ledger" / "a.tar.parts").iterdir():
        path.unlink()
    with pytest.raises(LedgerError, match=r"a\.tar.*part-00000.*is missing"):
        whole(tmp_path)


@pytest.mark.parametrize("other", [{"identity": "j"}, {"context": "d"}, {"total": 4}])
def test_a_part_of_another_judging(tmp_path: Path, write: Write, other: dict[str, Any]) -> None:
    write(1, **other)
    with pytest.raises(EvidenceError, match=r"a\.tar: its ledger is not the one"):
        whole(tmp_path)
    write(1)
    write(1, "b.tar", **other)
    dry(tmp_path)
    with pytest.raises(LedgerError, match=r"b\.tar\.parts: was judged by several rules"):
        whole(tmp_path)


def test_a_part_too_many(tmp_path: Path, write: Write) -> None:
    write(3)
    with pytest.raises(LedgerError, match=r"a\.tar\.parts: has 4 parts where there were 3"):
        whole(tmp_path)


@pytest.mark.parametrize("shard", ["a.tar", "b.tar"])
def test_a_part_under_the_name_of_another(tmp_path: Path, write: Write, shard: str) -> None:
    if shard == "b.tar":
        dry(tmp_path)
    root = str(tmp_path / "ledger")
    first, second = (Path(ledger.part_path(root, shard, number)) for number in (0, 1))
    second.write_bytes(first.read_bytes())
    with pytest.raises((EvidenceError, LedgerError), match=r"not the (one|part)"):
        whole(tmp_path)


def _leave(root: Path, write: Write) -> None:
    """As it is after its judging."""


def _lack_a_part(root: Path, write: Write) -> None:
    Path(ledger.part_path(str(root / "ledger"), "b.tar", 1)).unlink()


def _judge_a_part_by_other_rules(root: Path, write: Write) -> None:
    write(1, "b.tar", context="d")


@pytest.mark.parametrize("spoil", [_leave, _lack_a_part, _judge_a_part_by_other_rules])
@pytest.mark.parametrize("failed", [True, False], ids=["failed", "removed"])
def test_a_shard_without_a_receipt_is_left_out_unless_the_output_holds_it(
    tmp_path: Path, write: Write, spoil: Callable[[Path, Write], None], failed: bool
) -> None:
    spoil(tmp_path, write)
    if failed:
        write_failure(str(tmp_path), Shard("b.tar", "", "i", 1, ""), "torn")
    folder, admitted = tmp_path / "ledger" / "b.tar.parts", tmp_path / "output" / "b.tar"
    admitted.write_bytes(b"x")
    said = f"b.tar: lies in {admitted.parent}, and no receipt says what was admitted of it"
    remedy = f"if it is not in the input any more, remove {folder}, and {admitted} if that is"
    with pytest.raises(EvidenceError, match=f"{re.escape(said)}.*{re.escape(remedy)}"):
        whole(tmp_path)
    admitted.unlink()
    found = whole(tmp_path)
    assert found.left_out == ["b.tar"]
    assert len(found.parts) == 3


def test_what_failed_once_it_was_published_is_refused_without_a_ledger(
    tmp_path: Path, write: Write
) -> None:
    write_failure(str(tmp_path), Shard("c.tar", "", "i", 1, ""), "torn")
    assert whole(tmp_path).left_out == ["b.tar"]
    (tmp_path / "output" / "c.tar").write_bytes(b"x")
    with pytest.raises(EvidenceError, match=r"c\.tar: lies in .*output, and no receipt"):
        whole(tmp_path)


def test_nothing_is_left_out_by_an_output_that_holds_none_of_the_others(
    tmp_path: Path, write: Write
) -> None:
    (tmp_path / "output").rename(tmp_path / "trained")
    with pytest.raises(UsageError, match=r"output/a\.tar: not there as the receipt.*--output"):
        whole(tmp_path)
    assert whole_ledger(str(tmp_path), str(tmp_path / "trained")).left_out == ["b.tar"]


def test_what_the_output_lacks_of_the_others_is_told_where_a_shard_is_left_out(
    tmp_path: Path, write: Write
) -> None:
    assert not whole(tmp_path).missing
    first = every_receipt(str(tmp_path))["a.tar"]
    outputs = [*first.outputs, {**first.outputs[0], "name": "a.parquet"}]
    write_receipt(str(tmp_path), replace(first, outputs=outputs))
    found = whole(tmp_path)
    assert found.left_out == ["b.tar"]
    (said,) = found.missing
    assert f"{tmp_path}/output/a.parquet: not there as the receipt of a.tar says" in said


def test_what_dry_runs_judged_is_looked_at_but_for_what_failed(
    tmp_path: Path, write: Write
) -> None:
    dry(tmp_path)
    write_failure(str(tmp_path), Shard("b.tar", "", "i", 1, ""), "torn")
    found = whole(tmp_path)
    assert found.left_out == ["b.tar"]
    assert names(found, tmp_path) == names_of("a.tar")


@pytest.mark.parametrize("failed", [True, False], ids=["failed", "killed"])
def test_without_any_receipt_what_was_published_is_refused(
    tmp_path: Path, write: Write, failed: bool
) -> None:
    dry(tmp_path)
    if failed:
        write_failure(str(tmp_path), Shard("b.tar", "", "i", 1, ""), NOT_TRIED)
    (tmp_path / "output" / "b.tar").write_bytes(b"x")
    remedy = "give an --output of its own, or the --evidence of the run that filled this one, or"
    with pytest.raises(EvidenceError, match=rf"b\.tar: lies in .*; {remedy} run again") as refused:
        whole(tmp_path)
    assert "remove" not in str(refused.value)


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is none"):
        whole(tmp_path)
