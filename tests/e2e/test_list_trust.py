"""Runs with signed lists, and with a memory of the lists that were seen."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.exemptions import except_list
from ingestgate.blocklists.signing import sign_list
from tests.e2e.conftest import LISTED_MD5, WRITERS, Job

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def gate(job: Callable[..., Job], tmp_path: Path) -> Job:
    """A job on lists of its own, of which there is version 3."""
    made = job(WRITERS["webdataset"](tmp_path / "landing"))
    shutil.copytree(made.lists, tmp_path / "own")
    made.lists = str(tmp_path / "own")
    return made


def newer(gate: Job, expires: datetime | None = None) -> str:
    (gate.root.parent / "md5").write_text(LISTED_MD5 + "\n")
    source = ("md5", str(gate.root.parent / "md5"))
    compile_list(
        id="partner", version=4, sources=[source], to=gate.lists, issued=NOW, expires=expires
    )
    return f"{gate.lists}/partner-4"


def test_signatures_are_wanted_as_soon_as_the_policy_names_keys(gate: Job, tmp_path: Path) -> None:
    line = generate_signing_key(str(tmp_path / "key.pem"))
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"trust": {"keys": {"alice": line}}}))
    assert gate.report()["lists"][0]["signed_by"] == []
    assert "not checked" in (gate.evidence / "report.html").read_text()
    refused = gate.run("--policy", str(policy))
    assert refused.exit_code == 3
    assert "not signed" in refused.stderr
    sign_list(f"{gate.lists}/partner-3", read_signing_key(str(tmp_path / "key.pem")), now=NOW)
    report = gate.report("--policy", str(policy))
    assert report["lists"][0]["signed_by"] == ["alice"]
    assert "alice" in (gate.evidence / "report.html").read_text()
    assert report["shards"]["finished_before"] == report["shards"]["total"]  # nothing judged again


def test_an_older_list_is_not_played_back(gate: Job, tmp_path: Path) -> None:
    state = ("--list-state", str(tmp_path / "seen.json"))
    second = newer(gate)
    gate.report(*state)
    shutil.rmtree(second)
    refused = gate.elsewhere("again").run(*state)
    assert refused.exit_code == 3
    assert "list partner version 3 is older than version 4" in refused.stderr
    assert not (gate.root.parent / "again").exists()
    assert gate.elsewhere("again").run().exit_code == 0


def test_a_list_that_shrank_is_not_taken(gate: Job, tmp_path: Path) -> None:
    state = ("--list-state", str(tmp_path / "seen.json"))
    gate.report(*state)
    newer(gate)
    refused = gate.run(*state)
    assert refused.exit_code == 3
    assert "shrank from 3 values in version 3 to 1" in refused.stderr
    accepted = gate.invoke("lists", "accept", "--lists", gate.lists, *state, "partner")
    assert accepted.exit_code == 0
    gate.report(*state)


def test_a_refused_run_remembers_nothing(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestgate.assets.errors import SelfTestError
    from ingestgate.pipeline import run

    def fails(*arguments: object) -> None:
        raise SelfTestError("no")

    monkeypatch.setattr(run, "open_judge", fails)
    assert gate.run("--list-state", str(tmp_path / "seen.json")).exit_code == 4
    assert not (tmp_path / "seen.json").exists()


def test_an_exception_is_in_every_report(gate: Job, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    line = generate_signing_key(str(tmp_path / "key.pem"))
    key = read_signing_key(str(tmp_path / "key.pem"))
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"trust": {"keys": {"alice": line}}}))
    expired = newer(gate, expires=now - timedelta(days=1))
    shutil.rmtree(f"{gate.lists}/partner-3")
    sign_list(expired, key, now=NOW)
    assert gate.run("--policy", str(policy)).exit_code == 3
    except_list(expired, key, until=now + timedelta(days=1), reason="moving house", now=now)
    assert gate.run().exit_code == 3
    (used,) = gate.report("--policy", str(policy))["lists"]
    assert used["exception"]["reason"] == "moving house"
    assert used["exception"]["signed_by"] == ["alice"]
    assert "moving house" in (gate.evidence / "report.html").read_text()
    arguments = ("run", "--input", *gate.inputs, *gate.folders, "--lists", gate.lists)
    said = gate.invoke(*arguments, "--recipient", gate.recipient, "--policy", str(policy))
    assert "list partner has expired" in said.stdout
    assert "moving house" in said.stdout
