import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from ingestgate.assets import ledger, storage
from ingestgate.assets.errors import EvidenceError, LedgerError, StorageError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.receipts import (
    Receipt,
    every_receipt,
    is_finished,
    read_receipt,
    receipt_path,
    require_their_ledgers,
    write_receipt,
)
from ingestgate.assets.shard import Shard
from tests.object_store import ROOT_VARIABLE, ObjectStore

EVIDENCE = "teststore://bucket/evidence"


@pytest.fixture
def receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Receipt:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(ObjectStore, "failing", set())
    written = Receipt(
        *("a/0.tar", "webdataset", "ab" * 32, 10, "cd" * 32, 1, "ef" * 32),
        judged_at=["2026-01-02T03:04:05.000005+00:00"],
        tallies={"verdict:admitted": 2},
        outputs=[{"name": "a/0.tar", "sha256": "12" * 32, "size": 10}],
        manifest="",
        manifest_digests={},
        committed_at="2026-01-02T03:04:05.000006+00:00",
        software="0.1.0",
    )
    write_receipt(EVIDENCE, written)
    return written


def test_what_was_written_is_read(receipt: Receipt) -> None:
    assert read_receipt(EVIDENCE, receipt.shard) == receipt
    assert read_receipt(EVIDENCE, "another.tar") is None


def test_a_damaged_receipt_is_as_good_as_none(receipt: Receipt) -> None:
    path = receipt_path(EVIDENCE, receipt.shard)
    raw = storage.read_bytes(path)
    for damaged in (raw[:-1], raw.replace(b'"size": 10', b'"size": 11'), b"", b"[" * 100_000):
        storage.write_bytes(path, damaged)
        assert read_receipt(EVIDENCE, receipt.shard) is None


@pytest.mark.parametrize("operation", ["open", "read"])
def test_one_that_cannot_be_read_is_not_taken_for_missing(receipt: Receipt, operation: str) -> None:
    ObjectStore.failing.add(operation)
    with pytest.raises(StorageError, match=rf"0\.tar\.json: {operation} refused"):
        read_receipt(EVIDENCE, receipt.shard)


def test_nor_where_nobody_can_tell(receipt: Receipt) -> None:
    ObjectStore.failing.update(("open", "exists"))
    with pytest.raises(StorageError, match="exists refused"):
        read_receipt(EVIDENCE, "another.tar")


class Committed(NamedTuple):
    """A shard of two ranges, as a commit leaves it."""

    evidence: str
    output: Path
    shard: Shard
    receipt: Receipt
    header: PartHeader

    def is_finished(self) -> bool:
        where = (str(self.output), self.evidence)
        return is_finished(self.receipt, self.shard, self.receipt.context, *where)

    def judge(self, **otherwise: object) -> None:
        """Writes a ledger part again, the first unless it is said otherwise."""
        header = replace(self.header, **otherwise)  # type: ignore[arg-type]
        ledger.write_part(f"{self.evidence}/ledger", header, ledger.rows_to_table([], {}))


@pytest.fixture
def committed(tmp_path: Path) -> Committed:
    evidence, output = str(tmp_path / "evidence"), tmp_path / "output"
    shard = Shard("a/0.tar", "/landing/a/0.tar", "webdataset", 10, "ab" * 32)
    admitted = output / shard.name
    admitted.parent.mkdir(parents=True)
    admitted.write_bytes(b"0123456789")
    headers = [
        PartHeader(shard.name, shard.identity, number, 2, 5 * number, 5 * number + 5, "cd" * 32, "")
        for number in (0, 1)
    ]
    for header in headers:
        ledger.write_part(f"{evidence}/ledger", header, ledger.rows_to_table([], {}))
    entry = {"name": shard.name, "sha256": hashlib.sha256(b"0123456789").hexdigest(), "size": 10}
    receipt = Receipt(
        *(shard.name, shard.format, shard.identity, shard.size, "cd" * 32, 2),
        ledger=hash_shard_ledger(evidence, shard.name, 2),
        judged_at=[each.judged_at for each in headers],
        tallies={},
        outputs=[entry],
        manifest="",
        manifest_digests={},
        committed_at="2026-01-02T03:04:05.000006+00:00",
        software="0.1.0",
    )
    write_receipt(evidence, receipt)
    return Committed(evidence, output, shard, receipt, headers[0])


def test_what_was_committed_is_finished(committed: Committed) -> None:
    assert committed.is_finished()


@pytest.mark.parametrize(
    "change",
    [
        lambda done: done._replace(shard=done.shard._replace(identity="12" * 32)),
        lambda done: done._replace(receipt=replace(done.receipt, context="12" * 32)),
        lambda done: done._replace(shard=done.shard._replace(format="folder")),
        lambda done: (done.output / done.shard.name).unlink(),
        lambda done: (done.output / done.shard.name).write_bytes(b"012345678"),
        lambda done: Path(ledger.part_path(f"{done.evidence}/ledger", "a/0.tar", 1)).unlink(),
        lambda done: done.judge(identity="12" * 32),
        lambda done: done.judge(context="12" * 32),
        lambda done: done.judge(total=3),
        lambda done: done.judge(judged_at="2026-01-02T03:04:05.000007+00:00"),
        lambda done: done._replace(receipt=replace(done.receipt, judged_at=[])),
    ],
    ids=[
        "another-content",
        "other-rules",
        "another-format",
        "no-output",
        "output-of-another-size",
        "no-ledger-part",
        "ledger-of-another-content",
        "ledger-by-other-rules",
        "ledger-of-more-ranges",
        "ledger-of-a-later-judging",
        "receipt-of-no-judging",
    ],
)
def test_it_is_not_once_anything_is_otherwise(
    committed: Committed, change: Callable[[Committed], Committed | None]
) -> None:
    context = committed.receipt.context
    changed = change(committed)
    done = changed if isinstance(changed, Committed) else committed
    where = (str(done.output), done.evidence)
    assert not is_finished(done.receipt, done.shard, context, *where)


def test_the_receipt_of_another_shard_stands_for_none(committed: Committed) -> None:
    assert every_receipt(committed.evidence) == {committed.shard.name: committed.receipt}
    copied = Path(receipt_path(committed.evidence, "b/0.tar"))
    copied.parent.mkdir()
    copied.write_bytes(Path(receipt_path(committed.evidence, committed.shard.name)).read_bytes())
    with pytest.raises(EvidenceError, match=r"b/0\.tar\.json: not a whole receipt"):
        every_receipt(committed.evidence)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda done: done.judge(context="12" * 32), "not the one that was committed"),
        (lambda done: done.judge(tallies={"verdict:admitted": 1}), "damaged, as its shard's"),
        (
            lambda done: Path(ledger.part_path(f"{done.evidence}/ledger", "a/0.tar", 0)).unlink(),
            "is missing; run again",
        ),
    ],
    ids=["other-rules", "damaged", "missing"],
)
def test_what_to_do_about_a_ledger_whose_shard_no_run_finds_any_more_is_told(
    committed: Committed, change: Callable[[Committed], None], said: str
) -> None:
    change(committed)
    receipt = receipt_path(committed.evidence, "a/0.tar")
    folder = f"{committed.evidence}/ledger/a/0.tar.parts"
    remedy = "if the shard is not in the input any more, remove it from the output, with"
    with pytest.raises((EvidenceError, LedgerError), match=said) as refused:
        require_their_ledgers(committed.evidence, {"a/0.tar": committed.receipt})
    assert str(refused.value).endswith(f"; {remedy} {receipt} and {folder}")


def test_a_ledger_that_says_something_else_by_the_same_rules_is_not_its_own(
    committed: Committed,
) -> None:
    receipts = {committed.shard.name: committed.receipt}
    require_their_ledgers(committed.evidence, receipts)
    last = {"number": 1, "start": 5, "stop": 10}
    committed.judge(**last, tallies={"verdict:admitted": 1})
    with pytest.raises(EvidenceError, match="damaged, as its shard's receipt tells"):
        require_their_ledgers(committed.evidence, receipts)
    committed.judge(**last)
    require_their_ledgers(committed.evidence, receipts)
    committed.judge(identity="12" * 32)
    with pytest.raises(EvidenceError, match="is not the one that was committed"):
        require_their_ledgers(committed.evidence, receipts)
