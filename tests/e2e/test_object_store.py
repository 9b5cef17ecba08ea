"""The whole way on object stores: every root has a scheme, nothing is assumed to be local."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.quarantine.audit import read_log
from tests.e2e.conftest import WRITERS, Job
from tests.object_store import ROOT_VARIABLE

MakeJob = Callable[..., Job]


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
@pytest.mark.parametrize("format", list(WRITERS))
def test_the_same_outcome_as_on_local_paths(
    job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    format: str,
) -> None:
    pattern = WRITERS[format](tmp_path / "landing")
    local = job(pattern)
    local.report()
    (tmp_path / "store").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "store"))
    bucket = f"{scheme}://bucket"
    for path in sorted((tmp_path / "landing").iterdir()):
        storage.write_bytes(f"{bucket}/landing/{path.name}", path.read_bytes())
    remote = [pattern.replace(str(tmp_path), bucket)]
    folders = [
        part
        for name in ("output", "quarantine", "evidence")
        for part in (f"--{name}", f"{bucket}/run/{name}")
    ]
    arguments = [
        *("run", "--input", *remote, *folders, "--lists", local.lists),
        *("--recipient", local.recipient, "--workers", "1"),
    ]
    result = local.invoke(*arguments)
    assert result.exit_code == 0, result.output
    there = local.elsewhere("there")
    for entry in storage.walk(f"{bucket}/run"):
        copy = there.root / entry.path.removeprefix(f"{bucket}/run/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(storage.read_bytes(entry.path))
    found, expected = there.state(), local.state()
    assert found["output"] == expected["output"]
    assert found["ledger"] == expected["ledger"]
    assert len(found["objects"]) == 3
    census = local.invoke("census", "--input", *remote, *folders)
    assert census.exit_code == 0, census.output
    events = [line.event for line in read_log(f"{bucket}/run/quarantine")]
    assert events == ["run.begun", "manifests.sealed", "run.ended"]
    check = local.invoke("quarantine", "check", "--quarantine", f"{bucket}/run/quarantine")
    assert check.exit_code == 0, check.output
    again = local.invoke(*arguments)
    assert "Nothing to do" in again.output
