"""What closes a recall, and what does not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ingestgate.assets.receipts import NOT_TRIED, Receipt, read_failures, write_receipt
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.recall_notices import RecallNotice, read_notice, write_recall
from ingestgate.pipeline.rescan import job as rescan_job
from ingestgate.quarantine.audit import read_log
from tests.archives import make_tar
from tests.e2e.conftest import Job, content, write_webdataset
from tests.e2e.rescan.conftest import OLD, compiled, new, rescan
from tests.pictures import encoded

MakeJob = Callable[..., Job]
LATER = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def certified(job: MakeJob, tmp_path: Path) -> Job:
    """A certified run by version 1, which lists nothing that is there."""
    made = job(write_webdataset(tmp_path / "landing"))
    made.lists = compiled(tmp_path, 1, OLD)
    (tmp_path / "key.pub").write_text(generate_signing_key(str(tmp_path / "key")) + "\n")
    certify(made)
    return made


def certify(job: Job, *extra: str, code: int = 0) -> dict[str, Any]:
    return job.report("--certificate-key", str(job.root.parent / "key"), *extra, code=code)


def verified(job: Job, *extra: str) -> bool:
    key = str(job.root.parent / "key.pub")
    result = job.invoke("verify", str(job.output), "--key", key, *extra)
    assert result.exit_code in (0, 5), result.output
    return result.exit_code == 0


def newer(job: Job, version: int = 2, **entries: Any) -> str:
    """Lists of a newer version, in a folder of their own; returns the older ones."""
    older, job.lists = job.lists, compiled(job.root.parent / f"newer-{version}", version, entries)
    return older


def is_open(job: Job) -> bool:
    notices = {path.name.split(".")[0] for path in (job.evidence / "recalls").glob("*.json")}
    return bool(notices - {path.stem for path in (job.evidence / "recalls-closed").glob("*.json")})


def recall(job: Job, id: str, *shards: str, evidence: str = "", made_at: str = "") -> None:
    """A notice of shards by the lists in force, whatever is in them."""
    receipts = [json.loads((job.evidence / "receipts" / f"{s}.json").read_text()) for s in shards]
    info = ListSet.open(job.lists, now=LATER).infos[0]
    notice = RecallNotice(
        dataset=str(job.output),
        made_at=made_at or datetime.now(UTC).isoformat(timespec="seconds"),
        lists=[{"id": info.id, "version": info.version, "digest": info.digest}],
        shards=[{**out, "shard": r["shard"]} for r in receipts for out in r["outputs"]],
    )
    write_recall(str(job.output), evidence or str(job.evidence), id, notice, None)


def test_a_run_by_the_older_lists_does_not_close_it(certified: Job) -> None:
    job = certified
    older = newer(job, **new(pdq=None))
    assert rescan(job)["recalled"] == ["00000.tar"]
    latest, job.lists = job.lists, older
    assert certify(job)["shards"]["finished_before"] == 2, "nor does it judge again and again"
    assert is_open(job)
    assert not verified(job)
    refused = job.run("--recall")
    assert refused.exit_code == 2
    assert "version 2 of list partner, which the lists in force do not have" in refused.output
    job.lists = latest
    certify(job, "--recall")
    assert not is_open(job)
    assert verified(job), job.results[-1].output
    (line,) = [line for line in read_log(str(job.quarantine)) if line.event == "recall.closed"]
    assert line.fields["shards"] == 1
    assert [used["version"] for used in line.fields["lists"]] == [2]


@pytest.fixture
def failing(job: MakeJob, tmp_path: Path) -> Job:
    """A run of which one shard failed; the other is recalled."""
    made = job(write_webdataset(tmp_path / "landing"))
    made.lists = compiled(tmp_path, 1, OLD)
    (tmp_path / "key.pub").write_text(generate_signing_key(str(tmp_path / "key")) + "\n")
    shard = tmp_path / "landing" / "00001.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    made.report(code=1)
    newer(made, **new(pdq=None))
    assert rescan(made)["recalled"] == ["00000.tar"]
    return made


def test_a_shard_that_failed_stands_against_a_certificate_after_a_recall(failing: Job) -> None:
    report = certify(failing, "--recall", code=5)
    assert "1 shard failed, 00001.tar among them" in report["error"]
    assert report["shards"] == {
        "total": 2,
        "finished_before": 0,
        "left_out": 1,
        "done": 1,
        "replaced": [],
        "failed": [],
    }
    assert not is_open(failing), "the recall has been done all the same"
    # Out of the landing zone, it is out of the way.
    Path(failing.inputs[0]).with_name("00001.tar").unlink()
    assert certify(failing)["shards"]["total"] == 1


def test_nor_is_it_forgotten_by_a_run_that_does_not_come_to_it(
    failing: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ingestgate.pipeline.run.run_job", killed)
        failing.run()
    assert list(read_failures(str(failing.evidence))) == ["00001.tar"]
    with monkeypatch.context() as patch:
        patch.setattr("ingestgate.pipeline.run.run_job", lambda *_, **__: None)
        report = failing.report(code=1)
    assert "ended without doing 2 shards" in report["error"], "it has not failed again"
    (failed,) = report["shards"]["failed"]
    assert failed == {"shard": "00001.tar", "problem": NOT_TRIED}


def test_a_list_that_names_no_match_answers_for_what_has_to_be_judged_again(
    job: MakeJob, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "a.tar").write_bytes(make_tar([("k.jpg", content(1))]))
    flat = encoded(Image.new("RGB", (64, 64), (90, 120, 40)), "PNG")
    (landing / "b.tar").write_bytes(make_tar([("f.png", flat)]))
    made = job(str(landing / "*.tar"))
    before, found = {"md5": OLD["md5"]}, {"md5": new()["md5"]}
    made.lists = compiled(tmp_path, 1, before)
    compiled(tmp_path, 1, before, id="other")
    made.report()
    compiled(tmp_path, 2, found)
    # Needs a hash, which a flat picture has not: no entry of it matches anything.
    compiled(tmp_path, 2, {**before, "pdq": OLD["pdq"]}, id="other")
    rescanned = rescan(made)
    assert (rescanned["matched"], rescanned["to_judge_again"]) == (1, 1)
    assert rescanned["recalled"] == ["a.tar", "b.tar"]
    notice = read_notice(rescanned["notices"][0])
    assert [(one["id"], one["version"]) for one in notice.lists] == [("other", 2), ("partner", 2)]
    shutil.rmtree(tmp_path / "lists" / "other-2")
    refused = made.run("--recall")
    assert refused.exit_code == 2
    assert "version 2 of list other, which the lists in force do not have" in refused.output
    assert is_open(made)


def test_a_shard_that_was_found_clean_may_be_trained_on_again(
    certified: Job, tmp_path: Path
) -> None:
    job = certified
    newer(job, **new(pdq=None))
    clean = (job.output / "00001.tar").read_bytes()
    recall(job, "both", "00000.tar", "00001.tar")
    # As a rescan leaves it that was killed between the output and the evidence.
    recall(job, "orphan", "00001.tar", evidence=str(tmp_path / "nowhere"))
    assert not verified(job)
    recalls = ("--recalls", str(job.evidence / "recalls"))
    report = certify(job, "--recall")
    assert report["shards"]["done"] == 2
    assert (job.output / "00001.tar").read_bytes() == clean
    assert not is_open(job)
    assert verified(job), job.results[-1].output
    assert verified(job, *recalls), job.results[-1].output
    kept = {path.name for path in (job.output / "_ingestgate" / "recalls").iterdir()}
    assert kept == {"both.dsse.json", "orphan.dsse.json"}, "never taken back"


def test_a_notice_that_was_taken_out_of_the_output_counts_in_the_evidence(
    certified: Job, tmp_path: Path
) -> None:
    job = certified
    newer(job, **new(pdq=None))
    found = rescan(job)
    evidence = ("--evidence", str(job.evidence))
    assert not verified(job, *evidence)
    assert job.results[-1].stderr.count("recalled by") == 1, "one notice, however often it lies"
    said = f"00000.tar: recalled by {job.evidence}/recalls/"
    of_nothing = replace(read_notice(found["notices"][0]), shards=(), certificate="")
    write_recall(str(job.output), str(tmp_path / "nowhere"), found["id"], of_nothing, None)
    assert verified(job)
    assert not verified(job, *evidence)
    assert said in job.results[-1].stderr, "the one in the output is another by now"
    shutil.rmtree(job.output / "_ingestgate" / "recalls")
    assert verified(job)
    assert not verified(job, *evidence)
    assert said in job.results[-1].stderr
    certify(job, "--recall")
    assert verified(job, *evidence), job.results[-1].output


def test_lists_in_which_the_entry_is_withdrawn_judge_its_shard_anew(
    certified: Job,
) -> None:
    job = certified
    newer(job, **new(pdq=None))
    rescan(job)
    newer(job, 3, **OLD)
    assert rescan(job)["matched"] == 0
    assert is_open(job), "the rescan alone has looked at no picture"
    assert certify(job)["shards"]["done"] == 1
    assert not is_open(job)
    assert verified(job), job.results[-1].output


def test_what_the_same_rules_have_judged_before_is_judged_anew(certified: Job) -> None:
    job = certified
    recall(job, "r", "00000.tar")
    part = next((job.evidence / "ledger" / "00000.tar.parts").iterdir())
    before = part.stat().st_mtime_ns
    receipt = job.evidence / "receipts" / "00000.tar.json"
    # Committed before the notice, by the clock.
    text = json.loads(receipt.read_text())
    del text["version"], text["sha256"]
    text["committed_at"] = "2026-01-02T00:00:00+00:00"
    write_receipt(str(job.evidence), Receipt(**text))
    assert certify(job, "--recall")["shards"]["done"] == 1
    assert part.stat().st_mtime_ns > before
    assert not is_open(job)


def test_a_recall_that_stays_open_is_told(certified: Job) -> None:
    job = certified
    # Made by a machine whose clock is ahead.
    recall(job, "r", "00000.tar", made_at="2999-01-01T00:00:00+00:00")
    report = certify(job, "--recall", code=1)
    assert "recall r is still open" in report["error"]
    assert is_open(job)


def test_two_rescans_in_one_second_are_two(certified: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job = certified
    newer(job, **new(pdq=None))

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return LATER

    monkeypatch.setattr(rescan_job, "datetime", Stopped)
    ids = {rescan(job)["id"] for _ in range(2)}
    assert len(ids) == 2
    assert {path.name.split(".")[0] for path in (job.evidence / "recalls").iterdir()} == ids


def test_a_damaged_notice_is_refused_before_anything_is_judged(certified: Job) -> None:
    job = certified
    (job.evidence / "recalls").mkdir()
    (job.evidence / "recalls" / "r.dsse.json").write_text("{}")
    before = job.state()
    log = (job.quarantine / "audit" / "log.jsonl").read_bytes()
    result = job.run("--no-resume")
    assert result.exit_code == 5
    assert "a recall notice that cannot be read" in result.output
    assert (job.quarantine / "audit" / "log.jsonl").read_bytes() == log
    assert job.state() == before


def test_a_closing_that_cannot_be_written_is_in_the_report(certified: Job) -> None:
    job = certified
    newer(job, **new(pdq=None))
    rescan(job)
    (job.evidence / "recalls-closed").write_text("in the way")
    report = certify(job, "--recall", code=1)
    assert report["status"] == "failed"
    assert "recalls-closed" in report["error"]
    assert [line.event for line in read_log(str(job.quarantine))][-1] == "run.ended"
    (job.evidence / "recalls-closed").unlink()
    assert certify(job, "--recall")["shards"]["done"] == 0
    assert not is_open(job)
    assert verified(job), job.results[-1].output


def test_a_shard_that_was_removed_with_its_evidence_is_settled(
    certified: Job, tmp_path: Path
) -> None:
    job = certified
    newer(job, **new(pdq=None))
    rescan(job)
    job.inputs = [str(tmp_path / "landing" / "00001.tar")]
    (job.evidence / "receipts" / "00000.tar.json").unlink()
    assert job.run("--recall").exit_code == 2, "it is still in the output"
    (job.output / "00000.tar").unlink()
    job.report("--recall")
    assert not is_open(job)


def test_folders_whose_names_look_like_patterns(certified: Job) -> None:
    job = replace(certified, root=certified.root.parent / "job[1]")
    (job.evidence / "recalls").mkdir(parents=True)
    notice = job.evidence / "recalls" / "r.dsse.json"
    notice.write_text("{}")
    assert "a recall notice that cannot be read" in job.run().output
    notice.unlink()
    certify(job)
    assert verified(job)
    newer(job, **new(pdq=None))
    recall(job, "r", "00001.tar")
    assert not verified(job)
    assert rescan(job)["recalled"] == ["00000.tar"]
