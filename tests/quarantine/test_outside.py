from pathlib import Path

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.quarantine.audit_writing import append_machine
from ingestgate.quarantine.outside import require_apart, require_outside
from tests.object_store import ROOT_VARIABLE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A quarantine that says which folders its runs had."""
    made = tmp_path / "vault"
    (tmp_path / "named[1]").mkdir()
    append_machine(str(made), "run.begun", {})  # as before lines named any
    append_machine(str(made), "purge.begun", {"inputs": [str(tmp_path / "opened")]})
    folders = {name: str(tmp_path / name) for name in ("output", "evidence")}
    inputs = ["landing/*.tar", "deep/*/[ab]/*.tar", "one.parquet", "named[1]/*.tar"]
    named = [str(tmp_path / each) for each in inputs]
    append_machine(str(made), "run.begun", {**folders, "inputs": [*named, "gs://bucket/*.tar"]})
    return made


@pytest.mark.parametrize(
    ("to", "folder", "what"),
    [
        ("vault", "vault", "quarantine"),
        ("vault/opened", "vault", "quarantine"),
        ("output", "output", "output"),
        ("output/sub/of", "output", "output"),
        ("evidence/opened", "evidence", "evidence"),
        ("landing", "landing", "input"),
        ("landing/sub", "landing", "input"),
        ("deep/sub", "deep", "input"),
        ("named[1]/sub", "named[1]", "input"),
        ("other/vault/sub", "other/vault", "quarantine"),
        ("other/evidence/sub", "other/evidence", "evidence"),
        ("other/output/sub", "other/output", "output"),
        ("link/sub", "output", "output"),
    ],
)
def test_what_is_opened_goes_into_no_folder_of_a_run(
    root: Path, tmp_path: Path, to: str, folder: str, what: str
) -> None:
    for made in ("vault/audit/log.jsonl", "evidence/contexts/0.json", "evidence/ledger/0.parquet"):
        (path := tmp_path / "other" / made).parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "other" / "output" / "_ingestgate").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "output")
    with pytest.raises(UsageError) as refused:
        require_apart(str(root), str(tmp_path / to))
    said = f"{tmp_path / to}: lies in {tmp_path / folder}, the {what} of a run;"
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    "to", ["opened", "vault-2", "outputs/sub", "landing.old/sub", "one", "named[2]", "."]
)
def test_what_only_looks_alike_is_none(root: Path, tmp_path: Path, to: str) -> None:
    require_apart(str(root), str(tmp_path / to))


def test_an_export_may_lie_beside_what_a_run_wrote(root: Path, tmp_path: Path) -> None:
    require_outside(str(root), str(tmp_path / "output" / "caught.csv"))
    for where in ("vault/caught.csv", "vault"):
        with pytest.raises(UsageError, match=r"lies in .*/vault, the quarantine of a run"):
            require_outside(str(root), str(tmp_path / where))


def test_a_path_in_a_store_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    require_outside("teststore://bucket/vault", "teststore://bucket/vault-2/caught.csv")
    with pytest.raises(UsageError, match="lies in teststore://bucket/vault, the quarantine"):
        require_outside("teststore://bucket/vault", "teststore://bucket/vault/caught.csv")
