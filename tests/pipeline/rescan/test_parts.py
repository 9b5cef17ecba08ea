from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets import ledger
from ingestgate.assets.errors import EvidenceError, LedgerError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.receipts import Receipt, write_failure, write_receipt
from ingestgate.assets.shard import Shard
from ingestgate.pipeline.rescan.parts import whole_ledger

HEADER = PartHeader("a.tar", "i", 0, 3, 0, 1, "c", "2026-01-01T00:00:00Z")
RECEIPT = Receipt(
    shard="a.tar",
    format="webdataset",
    identity="i",
    size=1,
    context="c",
    ranges=3,
    ledger="",
    tallies={},
    outputs=[],
    manifest="",
    manifest_digests={},
    committed_at="2026-01-01T00:00:00+00:00",
    software="1",
)
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def part(number: int, shard: str = "a.tar", **other: Any) -> str:
        header = replace(HEADER, number=number, shard=shard, **other)
        return ledger.write_part(str(tmp_path / "ledger"), header, ledger.rows_to_table([], {}))

    for shard in ("a.tar", "b.tar"):
        for number in range(3):
            part(number, shard)
    written = hash_shard_ledger(str(tmp_path), RECEIPT.shard, RECEIPT.ranges)
    write_receipt(str(tmp_path), replace(RECEIPT, ledger=written))
    return part


def test_all_parts_of_committed_shards_and_of_others(tmp_path: Path, write: Write) -> None:
    found = whole_ledger(str(tmp_path))
    names = [part.path.removeprefix(f"{tmp_path}/ledger/") for part in found.parts]
    assert names == [f"{s}.parts/part-0000{n}.parquet" for s in ("a.tar", "b.tar") for n in "012"]
    assert set(found.receipts) == {"a.tar"}
    assert not found.left_out


@pytest.mark.parametrize("shard", ["a.tar", "b.tar"])
@pytest.mark.parametrize("number", range(3))
def test_a_missing_part(tmp_path: Path, write: Write, shard: str, number: int) -> None:
    Path(ledger.part_path(str(tmp_path / "ledger"), shard, number)).unlink()
    with pytest.raises(LedgerError, match=shard):
        whole_ledger(str(tmp_path))


def test_a_shard_whose_ledger_is_gone(tmp_path: Path, write: Write) -> None:
    for path in (tmp_path / "ledger" / "a.tar.parts").iterdir():
        path.unlink()
    with pytest.raises(LedgerError, match=r"a\.tar.*part-00000.*is missing"):
        whole_ledger(str(tmp_path))


@pytest.mark.parametrize("other", [{"identity": "j"}, {"context": "d"}, {"total": 4}])
def test_a_part_of_another_judging(tmp_path: Path, write: Write, other: dict[str, Any]) -> None:
    write(1, **other)
    with pytest.raises(EvidenceError, match=r"a\.tar: its ledger is not the one"):
        whole_ledger(str(tmp_path))
    write(1)
    write(1, "b.tar", **other)
    with pytest.raises(LedgerError, match=r"b\.tar\.parts: was judged by several rules"):
        whole_ledger(str(tmp_path))


def test_a_part_too_many(tmp_path: Path, write: Write) -> None:
    write(3)
    with pytest.raises(LedgerError, match=r"a\.tar\.parts: has 4 parts where there were 3"):
        whole_ledger(str(tmp_path))


@pytest.mark.parametrize("shard", ["a.tar", "b.tar"])
def test_a_part_under_the_name_of_another(tmp_path: Path, write: Write, shard: str) -> None:
    root = str(tmp_path / "ledger")
    first, second = (Path(ledger.part_path(root, shard, number)) for number in (0, 1))
    second.write_bytes(first.read_bytes())
    with pytest.raises((EvidenceError, LedgerError), match=r"not the (one|part)"):
        whole_ledger(str(tmp_path))


def test_a_shard_that_could_not_be_judged_is_left_out(tmp_path: Path, write: Write) -> None:
    Path(ledger.part_path(str(tmp_path / "ledger"), "b.tar", 1)).unlink()
    write_failure(str(tmp_path), Shard("b.tar", "", "i", 1, ""), "torn")
    found = whole_ledger(str(tmp_path))
    assert found.left_out == ["b.tar"]
    assert len(found.parts) == 3


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is none"):
        whole_ledger(str(tmp_path))
