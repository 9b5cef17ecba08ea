from pathlib import Path

import pytest

from ingestgate.assets.errors import EvidenceError, StorageError, UsageError
from ingestgate.quarantine import audit_writing
from ingestgate.quarantine.audit import log_path
from ingestgate.quarantine.audit_writing import append_machine
from ingestgate.quarantine.presence import may_begin, require_log, require_quarantine
from tests.object_store import ROOT_VARIABLE
from tests.quarantine.test_manifest import row, write


@pytest.mark.parametrize("folder", ["vault", "teststore://bucket/vault", "testtree://bucket/vault"])
def test_a_folder_is_a_quarantine_by_what_lies_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for require in (require_quarantine, require_log):
        with pytest.raises(UsageError, match=f"{folder}: no quarantine there; give the --quar"):
            require(folder)
    append_machine(folder, "run.begun", {})
    require_log(folder)


def test_another_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    with pytest.raises(UsageError, match="no quarantine there"):
        require_quarantine(str(tmp_path))


@pytest.mark.parametrize("folder", ["manifest", "objects", "keys"])
def test_a_quarantine_without_its_log_is_one_and_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    require_quarantine(str(tmp_path))
    with pytest.raises(EvidenceError, match=r"audit/log.jsonl: the audit log is gone"):
        require_log(str(tmp_path))


def test_an_emptied_log_is_none(tmp_path: Path) -> None:
    write(tmp_path, [row(1)])
    append_machine(str(tmp_path), "run.begun", {})
    Path(log_path(str(tmp_path))).write_bytes(b"")
    with pytest.raises(EvidenceError, match="the audit log is gone"):
        require_log(str(tmp_path))


def test_what_was_stopped_at_its_first_line_may_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "vault"
    assert may_begin(str(root))
    with monkeypatch.context() as patch:
        patch.setattr(audit_writing.os, "write", lambda *_: 0)
        with pytest.raises(StorageError, match="a part of the line could not be written"):
            append_machine(str(root), "run.begun", {})
    assert {path.name for path in root.rglob("*")} == {"audit", ".lock", "log.jsonl"}
    assert may_begin(str(root))
    (root / "notes").write_text("of somebody")
    assert not may_begin(str(root))
