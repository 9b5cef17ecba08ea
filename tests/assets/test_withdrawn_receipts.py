from pathlib import Path

import pytest

from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.receipts import every_receipt
from ingestgate.assets.withdrawn_receipts import (
    end_withdrawal,
    note_withdrawal,
    withdrawal_path,
    withdrawals,
)


def test_a_note_stands_until_it_is_taken_back(tmp_path: Path) -> None:
    evidence = str(tmp_path)
    assert withdrawals(evidence) == {}
    note_withdrawal(evidence, "a/0.tar", forgotten=False)
    note_withdrawal(evidence, "b", forgotten=True)
    assert withdrawals(evidence) == {"a/0.tar": False, "b": True}
    note_withdrawal(evidence, "a/0.tar", forgotten=True)
    end_withdrawal(evidence, "b")
    end_withdrawal(evidence, "c")
    assert withdrawals(evidence) == {"a/0.tar": True}
    with pytest.raises(EvidenceError, match=r"a/0\.tar: was to be judged anew"):
        every_receipt(evidence)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"forgotten": 1}', b"[" * 100_000])
def test_a_damaged_note_counts_and_says_that_nothing_is_forgotten(
    tmp_path: Path, raw: bytes
) -> None:
    note_withdrawal(str(tmp_path), "s.tar", forgotten=True)
    Path(withdrawal_path(str(tmp_path), "s.tar")).write_bytes(raw)
    assert withdrawals(str(tmp_path)) == {"s.tar": False}
