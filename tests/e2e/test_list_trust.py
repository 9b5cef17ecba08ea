"""Runs with signed lists, and with a memory of the lists that were seen."""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.exemptions import except_list
from ingestgate.blocklists.signing import sign_list
from ingestgate.pipeline.certificate.statements import current_certificate
from ingestgate.pipeline.lock import run_lock
from ingestgate.pipeline.recall_notices import read_notice
from ingestgate.pipeline.transparency import transparency
from ingestgate.quarantine.audit import read_log
from tests.e2e.conftest import LISTED_MD5, WRITERS, Job, content
from tests.e2e.rescan.conftest import rescan

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
    inspected = gate.invoke("lists", "inspect", "--lists", gate.lists, "--policy", str(policy))
    assert (inspected.exit_code, "not signed" in inspected.stderr) == (3, True)
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


def test_what_no_run_went_by_is_not_remembered(gate: Job, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    gate.report("--dry-run", "--list-state", str(seen))
    assert not seen.exists()
    with run_lock(str(gate.evidence)):
        assert gate.run("--list-state", str(seen)).exit_code == 1
    assert not seen.exists()
    gate.report("--list-state", str(seen))
    assert seen.exists()


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
    inspect = ("lists", "inspect", "--lists", gate.lists)
    assert gate.invoke(*inspect).exit_code == 3  # without a key, nobody has excepted it
    inspected = gate.invoke(*inspect, "--policy", str(policy))
    assert inspected.exit_code == 0
    assert "signatures" not in inspected.stdout  # asked for, and there
    (used,) = gate.report("--policy", str(policy))["lists"]
    assert used["exception"]["reason"] == "moving house"
    assert used["exception"]["signed_by"] == ["alice"]
    assert "moving house" in (gate.evidence / "report.html").read_text()
    arguments = ("run", "--input", *gate.inputs, *gate.folders, "--lists", gate.lists)
    said = gate.invoke(*arguments, "--recipient", gate.recipient, "--policy", str(policy))
    assert "list partner has expired" in said.stdout
    assert "moving house" in said.stdout


@pytest.fixture
def moved(gate: Job, tmp_path: Path) -> Callable[[int, bytes], tuple[str, ...]]:
    """A job that was run by a list in force, and what makes a newer one that is not."""
    now = datetime.now(UTC)
    line = generate_signing_key(str(tmp_path / "key.pem"))
    key = read_signing_key(str(tmp_path / "key.pem"))
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"trust": {"keys": {"alice": line}}}))
    sign_list(f"{gate.lists}/partner-3", key, now=NOW)
    gate.report("--policy", str(policy))

    def make(version: int, listed: bytes) -> tuple[str, ...]:
        path = tmp_path / "newer"
        path.write_text(hashlib.md5(listed, usedforsecurity=False).hexdigest() + "\n")
        compile_list(
            id="partner",
            version=version,
            sources=[("md5", str(path))],
            to=gate.lists,
            issued=NOW,
            expires=now - timedelta(days=1),
        )
        directory = f"{gate.lists}/partner-{version}"
        sign_list(directory, key, now=NOW)
        except_list(directory, key, until=UNTIL, reason="moving house", now=now)
        return "--lists", gate.lists, "--policy", str(policy)

    return make


UNTIL = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)


def excepted(version: int) -> dict[str, Any]:
    """What reports say of the exception for a version of the list."""
    said = {"list_id": "partner", "version": version, "until": UNTIL.isoformat()}
    return {**said, "reason": "moving house", "signed_by": ["alice"]}


def test_an_exception_is_in_whatever_a_rescan_reports(gate: Job, moved: Callable[..., Any]) -> None:
    newer = moved(4, content(1))
    found = rescan(gate, *newer[2:])
    assert found["exceptions"] == [excepted(4)]
    assert found["recalled"] == ["00000.tar"]
    record = json.loads((gate.evidence / "rescans" / f"{found['id']}.json").read_text())
    assert record["exceptions"] == [excepted(4)]
    for path in found["notices"]:
        assert list(read_notice(path).exceptions) == [excepted(4)]
    (ended,) = [one for one in read_log(str(gate.quarantine)) if one.event == "rescan.ended"]
    assert ended.fields["exceptions"] == [excepted(4)]
    again = ("rescan", "--evidence", str(gate.evidence), "--workers", "1", *newer)
    said = " ".join(gate.invoke(*again).stdout.split())
    assert (
        f"list partner has expired, and is used until {UNTIL.isoformat()} by an exception: "
        "moving house"
    ) in said


def test_an_exception_of_a_rescan_is_in_certificate_and_figures(
    gate: Job, moved: Callable[..., Any], tmp_path: Path
) -> None:
    newer = moved(4, b"listed, and nowhere")
    assert rescan(gate, *newer[2:])["recalled"] == []
    folders = ("--output", str(gate.output), "--evidence", str(gate.evidence))
    key = str(tmp_path / "key.pem")
    certified = gate.invoke("certify", *folders, *newer, "--key", key)
    assert certified.exit_code == 0, certified.output
    made = current_certificate(str(gate.output))
    assert made is not None
    (screening,) = made[1].predicate.screenings
    assert [one.model_dump(mode="json", by_alias=False) for one in screening.exceptions] == [
        excepted(4)
    ]
    figures = transparency(datetime.now(UTC).year, [str(gate.evidence)], [])
    assert figures["exceptions_for_expired_lists"] == 1
    gate.report("--no-resume", *newer[2:])  # by the same exception
    figures = transparency(datetime.now(UTC).year, [str(gate.evidence)], [])
    assert figures["exceptions_for_expired_lists"] == 1
