import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import Result

from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.selftest import self_test
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.quarantine.keys import generate_identity
from ingestgate.transforms.rescanning import (
    PartResult,
    RescanLists,
    digests,
    hashes,
    provenance,
    rescan_part,
)
from tests.archives import make_tar
from tests.e2e.conftest import WRITERS, Job, content, write_webdataset

MakeJob = Callable[..., Job]
ISSUED = datetime(2026, 1, 1, tzinfo=UTC)


def pdq_of(seed: int) -> str:
    views = Fingerprinter(["pdq"], DecodeLimits()).fingerprint(content(seed)).perceptual["pdq"]
    return views[0].hashes[:32].hex()


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def compiled(
    root: Path, version: int, entries: dict[str, list[tuple[str, str]]], id: str = "partner"
) -> str:
    """Compiles a version of a partner's list: per signal type, entry ids and values."""
    work = root / f"{id}-{version}"
    work.mkdir(parents=True)
    sources = []
    for name, values in entries.items():
        lines = [f"{value},{entry},A1\n" for entry, value in values]
        (work / name).write_text("value,entry_id,category\n" + "".join(lines))
        sources.append((name, str(work / name)))
    compile_list(id=id, version=version, sources=sources, to=str(root / "lists"), issued=ISSUED)
    return str(root / "lists")


OLD = {
    "md5": [("e-md5", "0123456789abcdef" * 2)],
    "pdq": [("e-pdq", "5a" * 16 + "c3" * 16)],
    "domain": [("e-domain", "elsewhere.example")],
}


def new(md5: int | None = 1, pdq: int | None = 8, host: str = "") -> dict[str, Any]:
    return {
        "md5": OLD["md5"] + ([("n-md5", md5_of(content(md5)))] if md5 is not None else []),
        "pdq": OLD["pdq"] + ([("n-pdq", pdq_of(pdq))] if pdq is not None else []),
        "domain": OLD["domain"] + ([("n-domain", host)] if host else []),
    }


def rescan(job: Job, *extra: str, code: int = 0) -> dict[str, Any]:
    result = job.invoke(
        *("rescan", "--evidence", str(job.evidence), "--lists", job.lists),
        *("--workers", "1", "--json", *extra),
    )
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found["rescans"][0] if code in (0, 10) else found


def verdicts(job: Job) -> dict[tuple[str, str], str]:
    return {(row["shard"], row["member"]): row["verdict"] for row in job.ledger()}


@pytest.fixture
def old_job(job: MakeJob, tmp_path: Path) -> Callable[[str], Job]:
    def make(pattern: str) -> Job:
        made = job(pattern)
        made.lists = compiled(tmp_path, 1, OLD)
        return made

    return make


@pytest.fixture(scope="module")
def judged_by_old(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job judged by the first version of the list, of which there is a second by now."""
    root = tmp_path_factory.mktemp("old")
    recipient = generate_identity(str(root / "identity.txt"))
    lists = compiled(root, 1, OLD)
    pattern = write_webdataset(root / "landing")
    job = Job(root / "job", [pattern], lists, str(root / "identity.txt"), recipient)
    job.report()
    compiled(root, 2, new(host="listed.example"))
    return job


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


def test_lists_that_need_what_the_ledger_lacks_are_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, {**OLD, "dhash": [("d", "0123456789abcdef")]})
    found = rescan(job, code=1)
    assert "dhash" in found["error"]
    assert "judge again" in found["error"]
    assert not (job.evidence / "rescans").exists()
    assert job.report()["shards"]["finished_before"] == 0


def test_another_policy_is_refused(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    (tmp_path / "policy.yaml").write_text("url_columns: [page]\n")
    compiled(tmp_path, 2, new())
    found = rescan(job, "--policy", str(tmp_path / "policy.yaml"), code=5)
    assert "judged by other rules" in found["error"]


def test_a_damaged_part_is_named(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new())
    part = next((job.evidence / "ledger" / "00001.tar.parts").glob("*.parquet"))
    data = part.read_bytes()
    part.write_bytes(data[: len(data) // 2])
    found = rescan(job, code=1)
    assert str(part) in found["error"]
    part.write_bytes(data)
    # What was done is taken over, the part that was damaged is looked at.
    assert rescan(job)["rows"] == 12


def test_nothing_found_is_on_record(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(md5=None, pdq=None, host="nowhere.example"))
    found = rescan(job, "--exit-on-match")
    assert (found["matched"], found["recalled"], found["notices"]) == (0, [], [])
    record = json.loads((job.evidence / "rescans" / f"{found['id']}.json").read_text())
    assert record["rows"] == 12
    assert job.report()["shards"]["finished_before"] == 2


def test_since_a_version_the_ledger_was_not_held_against_is_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new())
    compiled(tmp_path, 3, new(host="listed.example"))
    found = rescan(job, "--since", "partner=2", code=2)
    assert "was not held against that version" in found["error"]


def test_withdrawn_entries_put_their_matches_up_for_review(job: MakeJob, tmp_path: Path) -> None:
    made = job(write_webdataset(tmp_path / "landing"))
    made.lists = compiled(tmp_path, 1, new(host="listed.example"))
    made.report()
    compiled(tmp_path, 2, new(md5=None, pdq=8, host="listed.example"))
    found = rescan(made, "--withdrawn")
    assert found["withdrawn"] == 1
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

    monkeypatch.setattr("ingestgate.transforms.rescan.rescan_part", killed_at_the_second)
    rescan(job, code=1)
    assert not (job.evidence / "rescans").exists()
    assert not (job.evidence / "recalls").exists()
    found = rescan(job)
    assert len(looked_at) == 3
    assert (found["rows"], found["matched"]) == (12, 1)
    assert not (job.evidence / "rescanning").exists()


def test_a_recalled_shard_that_is_gone_is_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    rescan(job)
    job.inputs = [str(tmp_path / "landing" / "0000[1-9].tar")]
    assert job.run("--recall").exit_code == 2
    assert "00000.tar: recalled, but not in the input any more" in job.results[-1].output


def test_a_ledger_that_changed_after_its_rescan_is_not_covered_by_it(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(md5=None, pdq=None, host="nowhere.example"))
    rescan(job)
    part = next((job.evidence / "ledger" / "00001.tar.parts").glob("*.parquet"))
    part.write_bytes(part.read_bytes() + b"\0")
    assert job.report()["shards"]["finished_before"] == 1


def test_a_rescan_under_another_policy_covers_nothing(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    policy = tmp_path / "policy.yaml"
    policy.write_text("lists: {partner: {action: observe}}\n")
    assert rescan(job, "--policy", str(policy))["matched"] == 0
    key = str(tmp_path / "key")
    generate_signing_key(key)
    refused = job.invoke("certify", *job.folders, "--lists", job.lists, "--key", key)
    assert refused.exit_code == 5
    assert "was judged by other rules" in refused.output
    assert job.report()["shards"]["finished_before"] == 0


def test_a_ledger_that_was_never_committed_vouches_for_nothing(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    key = str(tmp_path / "key")
    generate_signing_key(key)
    compiled(tmp_path, 2, new(pdq=None))
    # A run with the newer list that judged everything and could commit nothing of it.
    failed = job.elsewhere("failed")
    failed.report()
    for name in ("ledger", "contexts"):
        shutil.copytree(failed.evidence / name, job.evidence / name, dirs_exist_ok=True)
    assert "its ledger is not the one that was committed" in rescan(job, code=5)["error"]
    assert not (job.evidence / "rescans").exists()
    # Nor does one that an earlier rescan took for it.
    found = rescan(failed)
    shutil.copytree(failed.evidence / "rescans", job.evidence / "rescans")
    assert found["matched"] == 0
    refused = job.invoke("certify", *job.folders, "--lists", job.lists, "--key", key)
    assert refused.exit_code == 5
    assert "00000.tar: its ledger is not the one that was committed" in refused.output


def test_a_match_in_a_shard_without_a_receipt_is_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    receipt = job.evidence / "receipts" / "00000.tar.json"
    whole = receipt.read_bytes()
    receipt.write_bytes(whole[:-3])
    assert "00000.tar.json: not a whole receipt" in rescan(job, code=5)["error"]
    receipt.unlink()
    assert "00000.tar: something in it matches, and no receipt" in rescan(job, code=5)["error"]
    for name in ("rescans", "recalls", "rescan-findings"):
        assert not (job.evidence / name).exists()
    receipt.write_bytes(whole)
    shutil.rmtree(job.evidence / "ledger" / "00000.tar.parts")
    assert "part-00000.parquet: is missing" in rescan(job, code=1)["error"]


def test_matches_of_a_dry_run_recall_nothing(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report("--dry-run")
    compiled(tmp_path, 2, new(pdq=None))
    found = rescan(job)
    assert (found["matched"], found["recalled"]) == (1, [])


@pytest.mark.parametrize("since", [(), ("--since", "1")], ids=["whole", "since"])
@pytest.mark.parametrize(
    ("where", "broken"),
    [(digests, "look_up"), (hashes, "search_all"), (provenance, "match_provenance")],
    ids=["digests", "hashes", "provenance"],
)
def test_a_rescan_that_misses_a_canary_concludes_nothing(
    judged_by_old: Job,
    monkeypatch: pytest.MonkeyPatch,
    where: ModuleType,
    broken: str,
    since: tuple[str, ...],
) -> None:
    monkeypatch.setattr(where, broken, lambda *arguments: iter(()))
    found = rescan(judged_by_old, *since, code=4)
    assert "canary was not caught" in found["error"]
    for name in ("rescans", "recalls", "rescan-findings"):
        assert not (judged_by_old.evidence / name).exists()


def test_a_rescan_whose_self_test_fails_concludes_nothing(
    judged_by_old: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    self_test.cache_clear()  # as in a process of its own
    monkeypatch.setattr(Matcher, "match_digest", lambda *arguments, **more: [])
    assert "self-test of md5" in rescan(judged_by_old, code=4)["error"]
    assert not (judged_by_old.evidence / "rescans").exists()


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


def test_since_another_version_than_the_ledger_was_held_against_is_refused(
    job: MakeJob, tmp_path: Path
) -> None:
    made = job(write_webdataset(tmp_path / "landing"))
    other, more = {"md5": [("o", "ab" * 16)]}, new(pdq=None)
    compiled(tmp_path / "then", 2, other, "other")
    made.lists = compiled(tmp_path / "then", 2, OLD)
    assert made.report()["counts"]["quarantined"] == 0
    cases: dict[str, tuple[str, dict[int, Any]]] = {
        "compiled anew under its number": ("2", {2: more, 3: more}),
        "likewise, and still in force": ("2", {2: more}),
        "left out for a version, and back again": ("1", {1: more, 2: OLD, 3: more}),
    }
    for case, (since, lying) in cases.items():
        for version, entries in lying.items():
            made.lists = compiled(tmp_path / case, version, entries)
        compiled(tmp_path / case, 2, other, "other")
        compiled(tmp_path / case, 3, other, "other")
        said = rescan(made, "--since", since, "--since", "other=2", code=2)["error"]
        assert f"--since partner={since}: 00000.tar was not held against that" in said, case
        assert not (made.evidence / "rescans").exists()
    assert rescan(made)["matched"] == 1


def test_since_a_rescan_that_found_a_held_asset_is_refused_until_that_is_judged(
    job: MakeJob, tmp_path: Path
) -> None:
    cut_short = content(1)[:200]
    (tmp_path / "landing").mkdir()
    archive = make_tar([("k.jpg", cut_short), ("m.jpg", content(2))])
    (tmp_path / "landing" / "a.tar").write_bytes(archive)
    made = job(str(tmp_path / "landing" / "a.tar"))
    made.lists = compiled(tmp_path, 1, OLD)
    assert made.report()["counts"]["unscannable"] == 1
    listed = {**OLD, "md5": [*OLD["md5"], ("n-md5", md5_of(cut_short))]}
    compiled(tmp_path, 2, listed)
    found = rescan(made)
    assert (found["matched"], found["unscannable_matched"]) == (0, 1)
    compiled(tmp_path, 3, {**listed, "domain": [*OLD["domain"], ("d", "nowhere.example")]})
    refused = rescan(made, "--since", "2", code=2)["error"]
    assert "what was found then has yet to be judged" in refused
    assert made.report()["counts"]["quarantined"] == 1
    assert rescan(made)["unscannable_matched"] == 0


def test_lists_that_went_back_or_are_gone_are_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    compiled(tmp_path, 1, {"md5": [("o", "ab" * 16)]}, "other")
    job.report()
    compiled(tmp_path, 2, {**OLD, "sha1": [("s", "ab" * 20)]})
    state = ("--list-state", str(tmp_path / "seen.json"))
    assert rescan(job, *state)["matched"] == 0
    (tmp_path / "lists" / "partner-2").rename(tmp_path / "newer")
    assert "older than version 2" in rescan(job, *state, code=3)["error"]
    (tmp_path / "newer").rename(tmp_path / "lists" / "partner-2")
    (tmp_path / "lists" / "other-1").rename(tmp_path / "gone")
    assert "list other was there before, and is gone" in rescan(job, *state, code=3)["error"]


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
