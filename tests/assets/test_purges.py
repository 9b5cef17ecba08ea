import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.purges import (
    PurgeReceipt,
    is_as_judged,
    purge_path,
    read_purge,
    refuse_unfinished,
    unfinished,
    unfinished_path,
    write_purge,
)
from ingestgate.assets.shard import Shard

RECEIPT = PurgeReceipt(
    shard="train/a.tar",
    format="webdataset",
    judged_identity="1" * 64,
    judged_size=2048,
    identity="2" * 64,
    size=1024,
    context="3" * 64,
    manifest="a.tar-00000000-11111111",
    assets=["4" * 32],
    files=[{"name": "train/a.tar", "sha256": "5" * 64, "size": 1024}],
    removed=[],
    purged_at="2026-01-02T03:04:05+00:00",
    software="0.1.0",
)
SHARD = Shard("train/a.tar", "/landing/train/a.tar", "webdataset", 1024, "2" * 64)


def test_a_receipt_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write_purge(str(tmp_path), RECEIPT, None)
    assert path == purge_path(str(tmp_path), RECEIPT.shard, RECEIPT.judged_identity)
    assert read_purge(str(tmp_path), RECEIPT.shard, RECEIPT.judged_identity) == RECEIPT
    assert read_purge(str(tmp_path), RECEIPT.shard, "9" * 64) is None


def test_a_shard_is_as_judged_or_as_the_purge_left_it(tmp_path: Path) -> None:
    evidence, judged = str(tmp_path), RECEIPT.judged_identity
    assert is_as_judged(evidence, SHARD._replace(identity=judged), judged)
    assert not is_as_judged(evidence, SHARD, judged)
    write_purge(evidence, RECEIPT, None)
    assert is_as_judged(evidence, SHARD, judged)
    assert not is_as_judged(evidence, SHARD._replace(identity="6" * 64), judged)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{}", "not a DSSE envelope"),
        (b"[]", "not a receipt of a purge"),
        (b'{"version": 1}', "not a receipt of a purge"),
        (b'{"version": 2}', "of a version this program does not know"),
    ],
    ids=["no-envelope", "no-object", "no-fields", "later-version"],
)
def test_what_is_no_receipt_vouches_for_nothing(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = Path(write_purge(str(tmp_path), RECEIPT, None))
    if content == b"{}":
        path.write_bytes(content)
    else:
        payload = base64.b64encode(content).decode()
        path.write_text(json.dumps(json.loads(path.read_text()) | {"payload": payload}))
    with pytest.raises(EvidenceError, match=problem):
        is_as_judged(str(tmp_path), SHARD, RECEIPT.judged_identity)


def test_the_receipt_of_another_shard_is_refused(tmp_path: Path) -> None:
    other = replace(RECEIPT, shard="train/b.tar")
    written = Path(write_purge(str(tmp_path), other, None))
    written.rename(purge_path(str(tmp_path), RECEIPT.shard, RECEIPT.judged_identity))
    with pytest.raises(EvidenceError, match="receipt of another shard"):
        read_purge(str(tmp_path), RECEIPT.shard, RECEIPT.judged_identity)


def test_an_interrupted_purge_is_completed_first(tmp_path: Path) -> None:
    refuse_unfinished(str(tmp_path))
    begun = Path(unfinished_path(str(tmp_path), RECEIPT.shard))
    begun.parent.mkdir(parents=True)
    begun.write_text("{}")
    assert unfinished(str(tmp_path)) == [RECEIPT.shard]
    with pytest.raises(UsageError, match=r"a\.tar\.json: a purge was interrupted"):
        refuse_unfinished(str(tmp_path))
    begun.unlink()
    refuse_unfinished(str(tmp_path))
