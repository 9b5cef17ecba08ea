"""What lies in evidence and vault, fuzzed: refused, or it says what it said before."""

import dataclasses
import io
from collections import Counter
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.receipts import Receipt, read_receipt, receipt_path, write_receipt
from ingestgate.quarantine.audit import check_lines
from ingestgate.quarantine.audit_writing import append_machine
from tests.faults.mutating import Change, changes, mutated
from tests.faults.test_fuzz_readers import fuzzed

RECEIPT = Receipt(
    shard="a.tar",
    format="webdataset",
    identity="0" * 64,
    size=9,
    context="1" * 64,
    ranges=2,
    ledger="3" * 64,
    judged_at=["2026-01-01T00:00:00+00:00"] * 2,
    tallies={"verdict:admitted": 3},
    outputs=[{"name": "a.tar", "sha256": "2" * 64, "size": 9}],
    manifest="",
    manifest_digests={},
    committed_at="2026-01-01T00:00:00+00:00",
    software="1",
)


def test_receipts(tmp_path: Path) -> None:
    write_receipt(str(tmp_path), RECEIPT)
    path = Path(receipt_path(str(tmp_path), "a.tar"))
    whole = path.read_bytes()
    outcomes: Counter[bool] = Counter()

    @fuzzed(200, 50_000)
    @given(changes())
    def fuzz(made: list[Change]) -> None:
        path.write_bytes(mutated(whole, made))
        found = read_receipt(str(tmp_path), "a.tar")
        assert found is None or dataclasses.asdict(found) == dataclasses.asdict(RECEIPT)
        outcomes[found is None] += 1

    fuzz()
    assert outcomes[True] > outcomes[False]


def test_envelopes(tmp_path: Path) -> None:
    """A payload that was not signed has no signers."""
    key = Ed25519PrivateKey.generate()
    path, payload = tmp_path / "one.json", b'{"says": "something", "number": 7}'
    Envelope("application/x", payload).signed(key).write(str(path))
    whole = path.read_bytes()
    outcomes: Counter[bool] = Counter()

    @fuzzed(200, 50_000)
    @given(changes())
    def fuzz(made: list[Change]) -> None:
        path.write_bytes(mutated(whole, made))
        try:
            found = Envelope.read(str(path), "application/x", EvidenceError)
        except EvidenceError:
            outcomes[False] += 1
            return
        assert found is not None
        signers = found.signers({"key": key.public_key()})
        assert not signers or found.payload == payload
        outcomes[bool(signers)] += 1

    fuzz()
    assert outcomes[False]


def test_audit_lines(tmp_path: Path) -> None:
    """What a log says of before the first change is what was said; the rest is refused."""
    key = Ed25519PrivateKey.generate()
    for number in range(5):
        append_machine(str(tmp_path), "run.begun", {"run": str(number)}, key if number else None)
    whole = (tmp_path / "audit" / "log.jsonl").read_bytes()
    true = list(check_lines(io.BytesIO(whole), "log"))
    assert len(true) == 5
    outcomes: Counter[bool] = Counter()

    @fuzzed(200, 50_000)
    @given(changes())
    def fuzz(made: list[Change]) -> None:
        damaged = mutated(whole, made)
        seen = []
        try:
            for line in check_lines(io.BytesIO(damaged), "log"):
                seen.append(line)
        except EvidenceError:
            outcomes[False] += 1
        else:
            outcomes[True] += 1
        # The last of them may be a shorter or unsigned one; none is chained to it.
        assert seen[:-1] == true[: max(0, len(seen) - 1)]

    fuzz()
    assert outcomes[False] > outcomes[True]
