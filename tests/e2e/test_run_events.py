"""What runs put in the audit log, and that a run that cannot does not succeed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import StorageError
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.quarantine.audit import AuditLine, log_path, read_log
from tests.e2e.conftest import CAUGHT, WRITERS, Job

MakeJob = Callable[..., Job]


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path) -> Job:
    return job(WRITERS["webdataset"](tmp_path / "landing"))


def lines(gate: Job, event: str = "") -> list[AuditLine]:
    return [line for line in read_log(str(gate.quarantine)) if line.event.startswith(event)]


def events(gate: Job) -> list[str]:
    return [line.event for line in lines(gate)]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(gate: Job) -> dict[str, str]:
    return {path.name: sha256(path) for path in (gate.quarantine / "manifest").iterdir()}


def recorded(gate: Job) -> dict[str, str]:
    """The manifests' files by the log, with their digests."""
    return {
        f"{each['name']}.{suffix}": each[suffix]
        for line in [*lines(gate, "manifests.sealed"), *lines(gate, "manifests.accepted")]
        for each in line.fields["manifests"]
        for suffix in ("jsonl", "parquet")
    }


def test_a_run_leaves_what_it_sealed_and_how_it_ended(gate: Job) -> None:
    report = gate.report()
    begun, _, ended = lines(gate)
    assert (begun.event, ended.event) == ("run.begun", "run.ended")
    assert begun.fields["run"] == ended.fields["run"] == report["run"]
    assert begun.fields["inputs"] == gate.inputs
    assert begun.fields["output"] == str(gate.output)
    (used,) = report["lists"]
    assert ended.fields["lists"] == [{name: used[name] for name in ("id", "version", "digest")}]
    assert ended.fields["counts"] == {"admitted": 9, "quarantined": 3, "unscannable": 0}
    assert ended.fields["policy_digest"] == report["policy"]["digest"]
    assert ended.fields["report_digest"] == sha256(gate.evidence / "report.json")
    assert recorded(gate) == files(gate)
    assert {each["name"] for each in report["manifests"]} == {
        Path(name).stem for name in files(gate)
    }
    receipts = [json.loads(p.read_text()) for p in (gate.evidence / "receipts").glob("*.json")]
    assert {
        f"{each['manifest']}.{suffix}": digest
        for each in receipts
        for suffix, digest in each["manifest_digests"].items()
    } == files(gate)
    assert all(line.key == "" for line in lines(gate)), "no key was given, none is needed"
    checked = gate.invoke("quarantine", "check", "--quarantine", str(gate.quarantine))
    assert checked.exit_code == 0, checked.output
    # Nothing to do, nothing to say.
    gate.report()
    assert len(lines(gate)) == 3


def test_nothing_of_an_asset_or_list_is_in_the_lines(gate: Job) -> None:
    gate.report()
    text = Path(log_path(str(gate.quarantine))).read_text()
    for row in gate.manifest():
        assert row["asset_id"] not in text
        assert row["sha256"] not in text
        assert row["provenance"]["url"] not in text


def test_a_dry_run_and_a_run_without_matches(gate: Job, tmp_path: Path) -> None:
    gate.report("--dry-run")
    assert not gate.quarantine.exists()
    for path in (tmp_path / "landing").glob("00000.tar"):
        path.unlink()
    gate.inputs = [str(tmp_path / "landing" / "00001.tar")]
    assert set(CAUGHT) & {row["sample"] for row in gate.manifest()} == set()
    gate.report()
    assert "run.ended" in events(gate)


def test_a_certificate_key_signs_the_lines(gate: Job, tmp_path: Path) -> None:
    key = str(tmp_path / "key.pem")
    public = generate_signing_key(key)
    report = gate.report("--certificate-key", key)
    assert {line.key for line in lines(gate, "run.")} == {public}
    assert lines(gate)[-1].fields["certificate"] == report["certificate"]["digest"]


def _damage(gate: Job) -> None:
    path = Path(log_path(str(gate.quarantine)))
    path.write_bytes(path.read_bytes().replace(b'"shards":2', b'"shards":3'))


def test_a_damaged_log_refuses_the_run_before_an_asset_is_read(gate: Job, tmp_path: Path) -> None:
    gate.report()
    (tmp_path / "landing" / "00002.tar").write_bytes(
        (tmp_path / "landing" / "00001.tar").read_bytes()
    )
    _damage(gate)
    report = gate.report(code=5)
    assert "log.jsonl:1: " in report["error"]
    assert not (gate.output / "00002.tar").exists()
    assert not (gate.evidence / "ledger" / "00002.tar.parts").exists()


def test_also_where_there_is_nothing_to_do(gate: Job) -> None:
    gate.report()
    _damage(gate)
    assert gate.run().exit_code == 5


@pytest.mark.parametrize("nth", [1, 2, 3], ids=["begun", "sealed", "ended"])
def test_a_line_that_cannot_be_written_fails_the_run_and_the_next_completes_it(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    from ingestgate.quarantine import audit_writing

    key = str(tmp_path / "key.pem")
    generate_signing_key(key)
    real, calls = audit_writing._append, []

    def append(path: str, line: bytes, size: int) -> None:
        calls.append(json.loads(line)["event"])
        if len(calls) >= nth:
            raise StorageError(f"{path}: No space left; what cannot be logged is refused")
        real(path, line, size)

    monkeypatch.setattr(audit_writing, "_append", append)
    report = gate.report(code=1)
    assert (report["status"], report["exit_code"]) == ("failed", 1)
    assert "what cannot be logged is refused" in report["error"]
    assert gate.output.joinpath("00000.tar").exists() == (nth > 1)
    monkeypatch.undo()
    report = gate.report()
    assert recorded(gate) == files(gate)
    assert events(gate)[-1] == "run.ended"
    assert lines(gate)[-1].fields["status"] == "done"
    assert gate.census()["exact"]
    count = len(lines(gate))
    gate.report()
    assert len(lines(gate)) == count


def test_no_certificate_where_the_sealing_could_not_be_logged(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestgate.pipeline import run_events

    def refuse(*_args: Any, **_more: Any) -> None:
        raise StorageError("log: full; what cannot be logged is refused")

    monkeypatch.setattr(run_events.RunEvents, "seal", refuse)
    key = str(tmp_path / "key.pem")
    generate_signing_key(key)
    assert gate.report("--certificate-key", key, code=1)["certificate"] is None
    assert not (gate.output / "_ingestgate").exists()


def test_what_a_killed_run_sealed_is_put_on_record_under_other_lists_too(
    gate: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed after its commits: then the lists change, and its receipts are replaced."""
    from ingestgate.pipeline import run_events

    class KilledError(BaseException):
        pass

    def killed(*_args: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(run_events.RunEvents, "seal", killed)
        with pytest.raises(KilledError):
            gate.run()
    before = files(gate)
    assert events(gate) == ["run.begun"]
    checked = gate.invoke("quarantine", "check", "--quarantine", str(gate.quarantine), "--json")
    assert checked.exit_code == 5
    assert json.loads(checked.stdout)["problems"]["unlogged"] == len(before) // 2
    policy = tmp_path / "policy.yaml"
    policy.write_text("lists: {partner: {thresholds: {pdq: 30}}}\n")
    gate.report("--policy", str(policy))
    assert len(files(gate)) > len(before)
    assert recorded(gate) == files(gate)
    assert gate.invoke("quarantine", "check", "--quarantine", str(gate.quarantine)).exit_code == 0


def test_a_manifest_of_a_run_that_is_no_more_can_be_accepted(gate: Job) -> None:
    gate.report()
    Path(log_path(str(gate.quarantine))).unlink()
    check = ("quarantine", "check", "--quarantine", str(gate.quarantine))
    assert gate.invoke(*check).exit_code == 5
    assert gate.invoke(*check, "--accept-manifests").exit_code == 0
    (line,) = lines(gate)
    assert line.event == "manifests.accepted"
    assert recorded(gate) == files(gate)


def test_a_shard_committed_again_has_the_digests_of_its_new_manifest(
    gate: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its output was lost; the run that makes it anew is killed before the receipt."""
    from ingestgate.transforms import committing

    gate.report()
    shard = gate.output / "00000.tar"
    shard.unlink()

    class KilledError(BaseException):
        pass

    def killed(*_args: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(committing, "write_receipt", killed)
        assert gate.run().exit_code == 1
    assert shard.exists()
    assert not (gate.evidence / "receipts" / "00000.tar.json").exists()
    gate.report()
    assert recorded(gate) == files(gate)
    assert gate.census()["exact"]


def test_a_log_that_is_gone_is_not_begun_anew(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    log = gate.quarantine / "audit" / "log.jsonl"
    log.unlink()
    for more in ((), ("--no-resume",), ("--dry-run",)):
        report = gate.report(*more, code=5)
        assert "the audit log is gone, and the quarantine is there" in report["error"]
        assert not log.exists()
