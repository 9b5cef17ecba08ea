from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from ingestgate.assets.receipts import Receipt, read_receipt, receipt_path, write_receipt
from tests.object_store import ROOT_VARIABLE, ObjectStore

EVIDENCE = "teststore://bucket/evidence"


@pytest.fixture
def receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Receipt:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(ObjectStore, "failing", set())
    written = Receipt(
        *("a/0.tar", "webdataset", "ab" * 32, 10, "cd" * 32, 1, "ef" * 32, {"verdict:admitted": 2}),
        *([{"name": "a/0.tar", "sha256": "12" * 32, "size": 10}], "", {}),
        *("2026-01-02T03:04:05.000006+00:00", "0.1.0"),
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
