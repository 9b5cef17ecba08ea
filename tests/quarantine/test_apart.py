import re
from pathlib import Path

import pytest

from ingestgate.assets.bound_output import bind_output
from ingestgate.assets.errors import UsageError
from ingestgate.quarantine.apart import require_apart
from ingestgate.quarantine.audit_writing import append_machine


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A quarantine that two runs sealed into; the evidence of one of them is gone."""
    vault, evidence = tmp_path / "vault", tmp_path / "evidence"
    for where in (evidence, tmp_path / "gone", evidence):
        append_machine(str(vault), "run.begun", {"evidence": str(where)})
    bind_output(str(evidence), str(tmp_path / "admitted"))
    (tmp_path / "other" / "_ingestgate").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "admitted")
    return str(vault)


@pytest.mark.parametrize(
    ("to", "lies_in"),
    [
        ("vault", "vault"),
        ("vault/audit/log.jsonl", "vault"),
        ("evidence/a", "evidence"),
        ("gone/a", "gone"),
        ("admitted", "admitted"),
        ("admitted/b/c", "admitted"),
        ("link/b", "admitted"),
        ("other/b", "other"),
    ],
)
def test_nothing_is_written_where_the_gate_reads_or_hands_on(
    root: str, tmp_path: Path, to: str, lies_in: str
) -> None:
    said = re.escape(f"{tmp_path / to}: lies in {tmp_path / lies_in}, which")
    with pytest.raises(UsageError, match=said):
        require_apart(root, str(tmp_path / to))


@pytest.mark.parametrize("to", ["opened", "admitted-elsewhere/a", "vault.csv"])
def test_elsewhere_it_may_be(root: str, tmp_path: Path, to: str) -> None:
    require_apart(root, str(tmp_path / to))
