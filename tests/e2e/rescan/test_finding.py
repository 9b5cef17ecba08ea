"""What a rescan through the command line finds, and what becomes of it."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.pipeline.rescan.records import read_rescans
from ingestgate.transforms.rescanning import (
    PartResult,
    RescanLists,
    rescan_part,
)
from tests.e2e.conftest import WRITERS, Job, content, write_webdataset
from tests.e2e.rescan.conftest import ISSUED, OLD, compiled, md5_of, new, pdq_of, rescan, verdicts

MakeJob = Callable[..., Job]


@pytest.mark.parametrize("since", [(), ("--since", "1")], ids=["whole", "since"])
@pytest.mark.parametrize("format", sorted(WRITERS))
def test_recalls_what_judging_anew_would_quarantine(
    old_job: Callable[[str], Job], tmp_path: Path, format: str, since: tuple[str, ...]
) -> None:
    job = old_job(WRITERS[format](tmp_path / "landing"))
    before = job.report()
    assert before["counts"]["quarantined"] == 0
    compiled(tmp_path, 2, new(host="listed.example"))
    found = rescan(job, *since)
    fresh = job.elsewhere("fresh")
    fresh.report()
    hits = (job.evidence / "rescan-findings" / f"{found['id']}.jsonl").read_text().splitlines()
    ids = {row["asset_id"] for row in fresh.ledger() if row["verdict"] == "quarantined"}
    assert len(ids) == 3
    assert {json.loads(line)["asset_id"] for line in hits} == ids
    assert found["matched"] + found["to_judge_again"] == 3
    job.report("--recall")
    assert verdicts(job) == verdicts(fresh)
    assert job.state()["output"].items() >= fresh.state()["output"].items()
    assert job.census()["exact"]


def test_a_list_update_goes_from_certificate_to_recall_to_certificate(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    key, public = str(tmp_path / "key"), str(tmp_path / "key.pub")
    Path(public).write_text(generate_signing_key(key) + "\n")

    def verify() -> Result:
        return job.invoke("verify", str(job.output), "--key", public)

    job.report("--certificate-key", key)
    assert verify().exit_code == 0, job.results[-1].output
    compiled(tmp_path, 2, new(md5=1, pdq=None))
    found = rescan(job, "--key", key)
    assert found["recalled"] == ["00000.tar"]
    assert verify().exit_code == 5
    assert "recalled by" in job.results[-1].output
    notice = next((job.output / "_ingestgate" / "recalls").glob("*.json")).read_text()
    assert md5_of(content(1)) not in notice
    committed = (job.evidence / "receipts" / "00001.tar.json").read_bytes()
    report = job.report("--recall", "--certificate-key", key)
    assert report["shards"]["done"] == 1
    assert report["counts"]["quarantined"] == 1
    assert verify().exit_code == 0, job.results[-1].output
    assert job.census()["exact"]
    # What the rescan found clean is not judged again, by an ordinary run neither.
    assert job.report()["shards"]["finished_before"] == 2
    assert (job.evidence / "receipts" / "00001.tar.json").read_bytes() == committed
    assert job.run("--recall").exit_code == 2
    assert "no open recall" in job.results[-1].output


def test_finds_sidecars_by_every_digest(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    text = json.dumps({"url": "https://img.fine.example/2.jpg", "caption": "number 2"}).encode()
    entries = {**OLD, "md5": [*OLD["md5"], ("caption", md5_of(text))]}
    compiled(tmp_path, 2, entries)
    assert rescan(job)["matched"] == 1


def test_nothing_found_is_on_record(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(md5=None, pdq=None, host="nowhere.example"))
    found = rescan(job, "--exit-on-match")
    assert (found["matched"], found["recalled"], found["notices"]) == (0, [], [])
    record = json.loads((job.evidence / "rescans" / f"{found['id']}.json").read_text())
    assert record["rows"] == 12
    assert job.report()["shards"]["finished_before"] == 2


def test_withdrawn_entries_put_their_matches_up_for_review(job: MakeJob, tmp_path: Path) -> None:
    made = job(write_webdataset(tmp_path / "landing"))
    made.lists = compiled(tmp_path, 1, new(host="listed.example"))
    quarantined = made.report()["counts"]["quarantined"]
    compiled(tmp_path, 2, new(md5=None, pdq=8, host="listed.example"))
    found = rescan(made, "--withdrawn")
    assert found["withdrawn"] == 1
    assert quarantined
    assert (found["rows"], found["compared"]) == (12, 12 - quarantined)
    (record,) = read_rescans(str(made.evidence))
    assert record.compared == 12 - quarantined
    folders = ("--evidence", str(made.evidence), "--lists", made.lists)
    shown = " ".join(made.invoke("rescan", *folders, "--workers", "1").stdout.split())
    assert f": {12 - quarantined} assets of 2 shards held against 1 list" in shown
    (line,) = (made.evidence / "withdrawn" / f"{found['id']}.jsonl").read_text().splitlines()
    rows = {row["asset_id"]: row for row in made.ledger()}
    assert rows[json.loads(line)["asset_id"]]["member"] == "k01.jpg"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_training_runs_that_read_a_recalled_shard_are_named(
    old_job: Callable[[str], Job], tmp_path: Path, form: str
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    records = [
        {"run": "r1", "dataset": "d", "shard": "00000.tar", "time": "2026-02-01"},
        {"run": "r2", "dataset": "d", "shard": "00001.tar", "time": "2026-02-01"},
    ]
    path = tmp_path / f"runs.{form}"
    if form == "csv":
        lines = [",".join(records[0]), *(",".join(record.values()) for record in records)]
    else:
        lines = [json.dumps(record) for record in records]
    path.write_text("\n".join(lines) + "\n")
    result = job.invoke(
        *("rescan", "--evidence", str(job.evidence), "--lists", job.lists, "--workers", "1"),
        *("--json", "--consumers", str(path)),
    )
    assert [one["run"] for one in json.loads(result.stdout)["consumers"]] == ["r1"]


def test_recalls_rows_of_a_url_manifest(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    lines = [
        *("url,md5,pdq", f"https://a.example/1,{md5_of(b'1')},", "https://x.listed.example/2,,"),
        *(f"https://a.example/3,,{pdq_of(8)}", "https://a.example/4,,"),
    ]
    (tmp_path / "landing" / "rows.csv").write_text("\n".join(lines) + "\n")
    job = old_job(str(tmp_path / "landing" / "*.csv"))
    assert job.report("--format", "url-manifest")["counts"]["quarantined"] == 0
    entries = new(md5=None, host="listed.example")
    compiled(tmp_path, 2, {**entries, "md5": [*OLD["md5"], ("row", md5_of(b"1"))]})
    assert rescan(job)["matched"] == 3
    fresh = job.elsewhere("fresh")
    fresh.report("--format", "url-manifest")
    job.report("--recall", "--format", "url-manifest")
    assert verdicts(job) == verdicts(fresh)
    assert sorted(verdicts(job).values()) == ["admitted", *["quarantined"] * 3]


def test_sources_in_lists_of_structs_are_judged_and_recalled(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    (tmp_path / "landing").mkdir()
    record = {
        "page_url": "https://a.example/1",
        "images": [{"url": "https://x.listed.example/b.jpg"}],
    }
    (tmp_path / "landing" / "rows.jsonl").write_text(json.dumps(record) + "\n")
    job = old_job(str(tmp_path / "landing" / "*.jsonl"))
    assert job.report("--format", "url-manifest")["counts"]["quarantined"] == 0
    compiled(tmp_path, 2, new(md5=None, pdq=None, host="listed.example"))
    assert rescan(job)["matched"] == 1
    fresh = job.elsewhere("fresh")
    fresh.report("--format", "url-manifest")
    assert [row["reason"] for row in fresh.ledger()] == ["matched"]


def test_what_a_killed_rescan_did_is_taken_over(
    old_job: Callable[[str], Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    looked_at: list[str] = []

    def killed_at_the_second(path: str, wanted: RescanLists) -> PartResult:
        looked_at.append(path)
        if len(looked_at) == 2:
            raise RuntimeError("killed")
        return rescan_part(path, wanted)

    # A set has another order in each process.
    orders = iter([("dhash", "phash"), ("phash", "dhash")])
    monkeypatch.setattr("ingestgate.pipeline.rescan.job.newly_needed", lambda *_: next(orders))
    monkeypatch.setattr("ingestgate.transforms.rescan.rescan_part", killed_at_the_second)
    rescan(job, code=1)
    assert not (job.evidence / "rescans").exists()
    assert not (job.evidence / "recalls").exists()
    found = rescan(job)
    assert len(looked_at) == 3
    assert (found["rows"], found["matched"]) == (12, 1)
    assert not (job.evidence / "rescanning").exists()


def test_since_a_version_passes_over_lists_that_have_not_come_as_far(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    compiled(tmp_path, 3, OLD)
    compiled(tmp_path, 1, {"md5": [("o", "ab" * 16)]}, "other")
    job.report()
    nothing = rescan(job, "--since", "3", code=2)
    assert "no list is of a later version" in nothing["error"]
    compiled(tmp_path, 4, new(pdq=None))
    assert rescan(job, "--since", "3")["matched"] == 1
    # Named, it is a mistake; and a list that the ledger was not held against is not unchanged.
    named = rescan(job, "--since", "3", "--since", "other=1", code=2)
    assert "--since other=1: the list is of version 1" in named["error"]
    compiled(tmp_path, 1, {"md5": [("m", md5_of(content(2)))]}, "third")
    assert "--since third=1: 00000.tar was not held" in rescan(job, "--since", "3", code=2)["error"]


def test_a_shard_that_left_the_input_before_it_was_committed_is_left_out(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report("--dry-run")  # as a run leaves it that is killed between judging and committing
    (tmp_path / "landing" / "00001.tar").unlink()
    job.report()
    compiled(tmp_path, 2, new(md5=1, pdq=8))
    found = rescan(job)
    assert (found["recalled"], found["left_out"]) == (["00000.tar"], ["00001.tar"])
    arguments = ("rescan", "--evidence", str(job.evidence), "--lists", job.lists)
    said = job.invoke(*arguments, "--workers", "1").stdout
    assert "left out: 1 shard of which nothing is admitted, 00001.tar among them" in said
    # If the output holds it, something was admitted, and both have to go.
    (job.output / "00001.tar").write_bytes(b"x")
    refused = rescan(job, code=5)["error"]
    assert f"00001.tar: lies in {job.output}, and no receipt says" in refused
    folder, admitted = job.evidence / "ledger" / "00001.tar.parts", job.output / "00001.tar"
    assert f"remove {folder}, and {admitted} if that is there" in refused


def test_a_year_of_rescans(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    rescan(job)  # with the same list, as a certificate is renewed
    compiled(tmp_path, 2, new(pdq=None))
    first = rescan(job)
    compiled(tmp_path, 3, new(md5=1, pdq=8))
    again = rescan(job)
    assert [first["matched"], again["matched"] + again["to_judge_again"]] == [1, 2]

    def figures(year: int) -> dict[str, Any]:
        result = job.invoke(
            *("report", "transparency", "--year", str(year), "--evidence", str(job.evidence)),
            *("--to", str(tmp_path / "published"), "--json"),
        )
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    now = datetime.now(UTC)
    found = figures(now.year)["rescans"]
    assert (found["count"], found["matched"]) == (3, 2)
    found = figures(ISSUED.year)
    assert found["hours_from_list_update_to_run"]["count"] == 1
    spread = found["hours_from_list_update_to_rescan"]
    assert spread["count"] == 2
    assert spread["longest"] == pytest.approx((now - ISSUED).total_seconds() / 3600, abs=1)
    assert found["hours_from_list_update_to_use"]["count"] == 3


def test_a_folder_that_fails_hides_no_recall_of_the_others(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(WRITERS["webdataset"](tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    (tmp_path / "empty" / "contexts").mkdir(parents=True)  # evidence, without a ledger
    after = job.elsewhere("after")
    shutil.copytree(job.root, after.root)
    folders = [str(each) for each in (job.evidence, tmp_path / "empty", after.evidence)]
    more = ("--exit-on-match", "--output", str(job.output), "--quarantine", str(job.quarantine))
    arguments = ("rescan", "--evidence", *folders, "--lists", job.lists, "--workers", "1", *more)
    result = job.invoke(*arguments, "--json")
    assert result.exit_code == 1, "the other's code, not 10"
    found = json.loads(result.stdout)
    assert [one["recalled"] for one in found["rescans"]] == [["00000.tar"]] * 2
    (failed,) = found["failed"]
    assert (failed["evidence"], failed["exit_code"]) == (folders[1], 1)
    assert "there is none" in failed["error"]
    assert f"{folders[1]}: {failed['error']}" in result.stderr
    told = job.invoke(*arguments)
    assert told.exit_code == 1
    assert told.stdout.count("recalled: 00000.tar") == 2
