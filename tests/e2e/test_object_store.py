"""The whole way on object stores: every root has a scheme, nothing is assumed to be local."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.assets import storage
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.quarantine.audit import read_log
from tests.e2e.conftest import WRITERS, Job, on_store
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

    # What nobody admitted is noticed, in a store without directories, too.
    storage.write_bytes(f"{bucket}/run/output/smuggled.tar", b"x")
    census = local.invoke("census", "--input", *remote, *folders, "--json")
    assert census.exit_code == 1
    told = json.loads(census.stdout)
    assert told["problems"] == ["smuggled.tar: in the output, but admitted by no receipt"]


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
def test_a_quarantine_that_is_not_there(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    typo = f"{scheme}://bucket/quarantein"
    gate = job(str(tmp_path / "landing"))
    for command in (["quarantine", "check"], ["quarantine", "list"]):
        told = gate.invoke(*command, "--quarantine", typo)
        assert (told.exit_code != 0, "no quarantine there" in told.output) == (True, True), told
    assert not storage.is_there(typo)


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
@pytest.mark.parametrize("format", list(WRITERS))
def test_certified_and_verified(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, format: str
) -> None:
    pattern, bucket = WRITERS[format](tmp_path / "landing"), f"{scheme}://bucket"
    gate, where, run = on_store(job, pattern, tmp_path, monkeypatch, bucket)
    assert gate.invoke(*run).exit_code == 0
    key = str(tmp_path / "signing.key")
    line = generate_signing_key(key)
    certified = gate.invoke("certify", *where[2:], "--lists", gate.lists, "--key", key)
    assert certified.exit_code == 0, certified.output
    output = f"{bucket}/run/output"
    verify = ("verify", output, "--key", line)
    verified = gate.invoke(*verify)
    assert verified.exit_code == 0, verified.output
    storage.write_bytes(f"{output}/smuggled.tar", b"x")
    assert gate.invoke(*verify).exit_code != 0
