"""What certifying, purging and rescanning put in the audit log, and that without it they refuse."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import StorageError
from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.pipeline import hashing
from ingestgate.pipeline.hash_progress import HashProgress
from ingestgate.quarantine import audit_writing
from ingestgate.quarantine.audit import AuditLine, log_path, read_log
from ingestgate.quarantine.reviewers import Role, add_reviewer
from tests.e2e.conftest import WRITERS, Job
from tests.e2e.purge.conftest import landing, purge
from tests.e2e.rescan.conftest import compiled, new, rescan
from tests.pipeline.test_hashing import Clock

MakeJob = Callable[..., Job]


@pytest.fixture
def key(tmp_path: Path) -> str:
    generate_signing_key(str(tmp_path / "key.pem"))
    return str(tmp_path / "key.pem")


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path) -> Job:
    """Judged by a list that k01 is on by digest, and k08 by look."""
    made = job(WRITERS["webdataset"](tmp_path / "landing"))
    made.lists = compiled(tmp_path, 1, new(host="listed.example"))
    made.report()
    return made


def lines(gate: Job, event: str) -> list[AuditLine]:
    return [line for line in read_log(str(gate.quarantine)) if line.event == event]


def full(monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    """Lets lines of an event find no room."""
    real = audit_writing._append

    def append(path: str, line: bytes, size: int) -> None:
        if json.loads(line)["event"] == event:
            raise StorageError(f"{path}: No space left; what cannot be logged is refused")
        real(path, line, size)

    monkeypatch.setattr(audit_writing, "_append", append)


def certify(gate: Job, key: str) -> Any:
    return gate.invoke("certify", *gate.folders, "--lists", gate.lists, "--key", key, "--json")


def test_a_certificate_is_on_record_once(gate: Job, key: str) -> None:
    made = json.loads(certify(gate, key).stdout)
    (line,) = lines(gate, "output.certified")
    assert line.fields["certificate"] == made["digest"]
    assert line.fields["lists"] == {"partner": 1}
    assert line.fields["signed_by"] == [line.key]
    certify(gate, key)
    assert len(lines(gate, "output.certified")) == 1


def test_what_cannot_be_logged_is_not_certified(
    gate: Job, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        full(patch, "output.certified")
        assert certify(gate, key).exit_code == 1
        assert gate.report("--certificate-key", key, code=1)["certificate"] is None
    assert not (gate.output / "_ingestgate").exists()
    assert certify(gate, key).exit_code == 0


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_changed_manifest_is_not_certified(gate: Job, key: str, suffix: str) -> None:
    path = min((gate.quarantine / "manifest").glob(f"*.{suffix}"))
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    refused = certify(gate, key)
    assert refused.exit_code == 5
    assert f"manifest/{path.name}: is not what was sealed" in refused.stderr
    path.unlink()
    assert f"manifest/{path.name}: is not there" in certify(gate, key).stderr


def test_certify_and_verify_tell_people_how_far_they_are(
    gate: Job, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(hashing, "time", Clock(1.0))
    monkeypatch.setattr(
        HashProgress, "__call__", lambda _self, done, total, _rate: told.append((done, total))
    )
    certify(gate, key)
    assert told == [], "--json: no progress"
    made = gate.invoke("certify", *gate.folders, "--lists", gate.lists, "--key", key)
    assert made.exit_code == 0, made.output
    size = sum(path.stat().st_size for path in gate.output.glob("*.tar"))
    assert (size, size) in told
    told.clear()
    public = next(iter(lines(gate, "output.certified"))).key
    vault = ("--evidence", str(gate.evidence), "--quarantine", str(gate.quarantine))
    assert gate.invoke("verify", str(gate.output), "--key", public, *vault).exit_code == 0
    ledger = sum(path.stat().st_size for path in (gate.evidence / "ledger").rglob("*.parquet"))
    assert {(size, size), (ledger, ledger)} <= set(told)


def test_a_purge_is_on_record_before_and_after(gate: Job, tmp_path: Path, key: str) -> None:
    assert purge(gate, "--dry-run").exit_code == 0
    assert lines(gate, "purge.begun") == []
    assert purge(gate, "--key", key).exit_code == 0
    (begun,) = lines(gate, "purge.begun")
    (ended,) = lines(gate, "landing.purged")
    assert begun.number < ended.number
    assert begun.key == ended.key != ""
    receipts = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (gate.evidence / "purged").rglob("*.json")
    }
    assert {each["receipt"] for each in ended.fields["shards"]} == receipts
    assert {each["shard"] for each in ended.fields["shards"]} == {"00000.tar", "00001.tar"}
    purge(gate)
    assert len(lines(gate, "landing.purged")) == 1, "nothing was purged that is not on record"


def test_a_purge_that_cannot_be_logged_touches_nothing(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = landing(tmp_path / "landing")
    with monkeypatch.context() as patch:
        full(patch, "purge.begun")
        assert purge(gate).exit_code == 1
    assert landing(tmp_path / "landing") == before
    with monkeypatch.context() as patch:
        full(patch, "landing.purged")
        assert purge(gate).exit_code == 1
    assert purge(gate).exit_code == 0
    (ended,) = lines(gate, "landing.purged")
    assert len(ended.fields["shards"]) == 2


def test_a_purge_refuses_a_changed_manifest(gate: Job, tmp_path: Path) -> None:
    before = landing(tmp_path / "landing")
    for path in (gate.quarantine / "manifest").glob("*.jsonl"):
        path.write_text(path.read_text().replace('"judged_at":"2', '"judged_at":"3'))
    refused = purge(gate)
    assert refused.exit_code == 5
    assert "is not what was sealed; it was changed; nothing of the shard was purged" in (
        refused.stdout
    )
    assert landing(tmp_path / "landing") == before


def listed(gate: Job, *extra: str) -> list[dict[str, Any]]:
    result = gate.invoke("quarantine", "list", "--quarantine", str(gate.quarantine), *extra)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_rescan_is_on_record_and_withdrawn_entries_put_assets_up_for_review(
    gate: Job, tmp_path: Path, key: str
) -> None:
    compiled(tmp_path, 2, new(md5=None, pdq=8, host="listed.example"))
    assert rescan(gate)["put_up_for_review"] == 0
    found = rescan(gate, "--withdrawn", "--key", key)
    assert (found["withdrawn"], found["put_up_for_review"]) == (1, 1)
    (line,) = lines(gate, "assets.put_up_for_review")
    ended = lines(gate, "rescan.ended")[-1]
    assert (line.fields["rescan"], ended.fields["rescan"]) == (found["id"], found["id"])
    assert ended.fields["lists"][0]["version"] == 2
    assert ended.fields["recalled"] == len(found["recalled"])
    assert ended.key == line.key != ""
    # Whoever looks finds it, and may choose it; nothing else about it has changed.
    (row,) = listed(gate, "--up-for-review", "--json")
    assert (row["sample"], row["state"]) == ("k01", "open")
    assert [row["asset_id"]] == line.fields["assets"]
    assert len(listed(gate, "--json")) == len(gate.manifest())
    shown = gate.invoke("quarantine", "list", "--quarantine", str(gate.quarantine)).stdout
    assert shown.count("up for review") == 1
    assert listed(gate, "--state", "released", "--json") == []
    # A person decides; the next rescan does not ask again.
    root = str(gate.quarantine)
    own = read_signing_key(key)
    add_reviewer(root, "ann", ended.key, Role.ADMINISTRATOR, own)
    decided = gate.invoke(
        *("quarantine", "decide", "--quarantine", root, "--key", key),
        *("--decision", "false_positive", "--reason", "withdrawn", row["asset_id"]),
    )
    assert decided.exit_code == 0, decided.output
    assert listed(gate, "--up-for-review", "--json", "--key", key) == []
    assert rescan(gate, "--withdrawn")["put_up_for_review"] == 0
    assert listed(gate, "--up-for-review", "--json", "--key", key) == []


def test_a_recall_is_on_record_with_its_notice(gate: Job, tmp_path: Path) -> None:
    compiled(tmp_path, 2, {**new(), "md5": [*new(md5=2)["md5"], *new()["md5"]]})
    found = rescan(gate)
    assert found["recalled"]
    (line,) = lines(gate, "rescan.ended")
    digests = {hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in found["notices"]}
    assert set(line.fields["notices"]) == digests
    # The run that judges it anew says so as well.
    report = gate.report("--recall")
    ended = lines(gate, "run.ended")[-1]
    assert ended.number > line.number
    # All shards of the input, those too that the recall left as they were.
    assert report["shards"]["done"] == 1
    assert sum(report["counts"].values()) == 12
    assert ended.fields["counts"] == report["counts"]
    assert sum(ended.fields["since_last_report"].values()) == 6


def test_a_rescan_that_cannot_be_logged_is_refused(
    gate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(tmp_path, 2, new(md5=None, pdq=None, host="nowhere.example"))
    with monkeypatch.context() as patch:
        full(patch, "rescan.ended")
        assert "what cannot be logged is refused" in rescan(gate, code=1)["error"]
    assert not (gate.evidence / "rescans").exists(), "it would cover shards"
    path = Path(log_path(str(gate.quarantine)))
    path.write_bytes(path.read_bytes().replace(b'"shards":2', b'"shards":3'))
    assert "log.jsonl:1: " in rescan(gate, code=5)["error"]
    assert not (gate.evidence / "rescans").exists()
    elsewhere = rescan(gate, "--quarantine", str(tmp_path / "none"), code=2)
    assert "no quarantine there" in elsewhere["error"]


def test_a_torn_line_is_put_on_record_by_whatever_goes_on_to_log(gate: Job, key: str) -> None:
    def tear() -> None:
        with open(log_path(str(gate.quarantine)), "ab") as log:
            log.write(b'{"digest":')

    tear()
    rescan(gate)
    tear()
    assert certify(gate, key).exit_code == 0
    tear()
    assert purge(gate, "--dry-run").exit_code == 5, "it logs nothing"
    assert purge(gate).exit_code == 0
    events = [line.event for line in read_log(str(gate.quarantine))]
    after = [events[n + 1] for n, event in enumerate(events) if event == "log.repaired"]
    assert after == ["rescan.ended", "output.certified", "purge.begun"]


def test_the_ledger_of_a_dry_run_is_rescanned_without_a_quarantine(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.lists = compiled(tmp_path, 1, new())
    gate.report("--dry-run")
    assert rescan(gate)["rows"] == 12
    assert not gate.quarantine.exists()


def test_an_audit_log_cut_back_behind_a_certificate_is_named(gate: Job, key: str) -> None:
    certify(gate, key)
    public = next(iter(lines(gate, "output.certified"))).key
    check = (
        *("verify", str(gate.output), "--key", public, "--evidence", str(gate.evidence)),
        *("--quarantine", str(gate.quarantine)),
    )
    assert gate.invoke(*check).exit_code == 0
    path = Path(log_path(str(gate.quarantine)))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    refused = gate.invoke(*check)
    assert refused.exit_code == 5
    assert "log.jsonl:3: missing: the certificate states 3 lines" in refused.stderr
