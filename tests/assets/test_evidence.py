from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.evidence import evidence_id, require_evidence
from tests.object_store import ROOT_VARIABLE


@pytest.mark.parametrize("root", ["", "teststore://bucket/", "testtree://bucket/"])
@pytest.mark.parametrize("file", ["report.json", "contexts/c.json", "ledger/a/p", "reports/r.json"])
def test_a_folder_is_evidence_by_what_lies_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    evidence = f"{root}evidence"
    with pytest.raises(UsageError, match=f"{evidence}: no evidence of a run there; give the --ev"):
        require_evidence(evidence)
    storage.write_bytes(f"{evidence}/else", b"")
    with pytest.raises(UsageError, match="no evidence of a run there"):
        require_evidence(evidence)
    storage.write_bytes(f"{evidence}/{file}", b"")
    require_evidence(evidence)


@pytest.mark.parametrize("root", ["", "teststore://bucket/"])
def test_a_folder_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    found = evidence_id(f"{root}one")
    assert evidence_id(f"{root}one") == found
    assert evidence_id(f"{root}two") != found
    storage.write_bytes(f"{root}one/id", found.encode()[:-1])
    with pytest.raises(EvidenceError, match="one/id: damaged"):
        evidence_id(f"{root}one")
