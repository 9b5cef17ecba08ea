"""What was quarantined stays so when its entry is withdrawn, whatever is run."""

import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ingestgate.blocklists.compiling import compile_list
from ingestgate.pipeline.transparency import page, transparency
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.decisions import PUT_UP
from ingestgate.transforms import earlier_manifests
from tests.e2e import conftest
from tests.e2e.conftest import WRITERS, Job, content, write_webdataset
from tests.e2e.purge.conftest import purged
from tests.e2e.rescan.conftest import ISSUED, OLD, compiled, md5_of, new, rescan
from tests.quarantine.vaults import log_manifests

MakeJob = Callable[..., Job]
KEPT = ("quarantined", "matched_before")


def admitted(job: Job) -> set[str]:
    """Names of the samples in the output's tar files."""
    found = set()
    for path in job.output.glob("*.tar"):
        with tarfile.open(path) as tar:
            found |= {name.split(".")[0] for name in tar.getnames()}
    return found


def up_for_review(job: Job) -> list[str]:
    asked = ("quarantine", "list", "--quarantine", str(job.quarantine), "--up-for-review")
    result = job.invoke(*asked, "--json")
    assert result.exit_code == 0, result.output
    return sorted({json.loads(line)["member"] for line in result.stdout.splitlines()})


def outcomes(job: Job) -> dict[str, tuple[str, str]]:
    return {row["member"]: (row["verdict"], row["reason"]) for row in job.ledger()}


@pytest.fixture
def listed(job: MakeJob, tmp_path: Path) -> Callable[[str], Job]:
    """A run by version 1, which lists k01 by digest, k08 by hash, k07 by source."""

    def make(pattern: str) -> Job:
        made = job(pattern)
        made.lists = compiled(tmp_path, 1, new(host="listed.example"))
        assert made.report()["counts"]["quarantined"] == 3
        return made

    return make


def listing(seed: int) -> dict[str, list[tuple[str, str]]]:
    """Version 2: lists another one, and nothing of what version 1 did."""
    return {**OLD, "md5": [*OLD["md5"], ("added", md5_of(content(seed)))]}


def test_a_recall_of_its_shard_lets_nothing_out(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    before = admitted(job)
    compiled(tmp_path, 2, listing(0))
    assert rescan(job, "--withdrawn")["withdrawn"] == 3
    report = job.report("--recall")
    assert admitted(job) == before - {"k00"}
    assert outcomes(job)["k00.jpg"] == ("quarantined", "matched")
    assert outcomes(job)["k01.jpg"] == KEPT
    assert report["reasons"]["matched_before"] == 1, "k07 and k08 lie in the other shard"
    assert up_for_review(job) == ["k01.jpg", "k07.jpg", "k08.jpg"]
    assert job.census()["exact"], job.results[-1].output
    year = int(report["ended_at"][:4])
    figures = transparency(year, [str(job.evidence)], [str(job.quarantine)])
    assert figures["matched_before"] == 1
    assert sum(figures["matched"]["by_tier"].values()) == figures["assets"]["quarantined"] == 5
    assert 'matched by nothing in force</td><td class="n">1<' in page(figures)


@pytest.mark.parametrize(
    ("format", "resume"), [*((format, ()) for format in WRITERS), ("webdataset", ("--no-resume",))]
)
def test_neither_does_a_run(
    listed: Callable[[str], Job], tmp_path: Path, format: str, resume: tuple[str, ...]
) -> None:
    job = listed(WRITERS[format](tmp_path / "landing"))
    was = {name for name, (verdict, _) in outcomes(job).items() if verdict == "quarantined"}
    compiled(tmp_path, 2, listing(0))
    job.report(*resume)
    found = outcomes(job)
    assert {name for name, outcome in found.items() if outcome == KEPT} == was
    assert [outcome for outcome in found.values() if outcome[0] == "quarantined"].count(KEPT) == 3
    assert up_for_review(job) == sorted(was)
    assert job.census()["exact"], job.results[-1].output
    rows = [row for row in job.manifest() if row["reason"] == "matched_before"]
    entries = {(f["entry_id"], f["list_version"]) for row in rows for f in row["findings"]}
    assert entries == {("n-md5", 1), ("n-pdq", 1), ("n-domain", 1)}, "what it had matched"
    assert {row["tier"] for row in rows} == {"exact", "near", "source"}


def test_it_is_put_up_once_and_stays_so_under_later_lists(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    before = admitted(job)
    for version, seed in ((2, 0), (3, 2)):
        compiled(tmp_path, version, listing(seed))
        job.report()
        assert outcomes(job)["k01.jpg"] == KEPT
    # What version 2 listed and version 3 does not is kept as well.
    assert admitted(job) == before - {"k00", "k02"}
    lines = [line for line in read_log(str(job.quarantine)) if line.event == PUT_UP]
    assert [len(line.fields["assets"]) for line in lines] == [3, 1], "k01, k07, k08; then k00"
    log = (job.quarantine / "audit" / "log.jsonl").read_bytes()
    assert job.report()["shards"]["finished_before"] == 2
    assert (job.quarantine / "audit" / "log.jsonl").read_bytes() == log


def test_a_list_that_is_left_out_lets_nothing_out(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    before, whole = admitted(job), job.lists
    (tmp_path / "md5").write_text("0123456789abcdef" * 2 + "\n")
    to = str(tmp_path / "others")
    compile_list(id="b", version=1, sources=[("md5", str(tmp_path / "md5"))], to=to, issued=ISSUED)
    job.lists = to
    job.report()
    assert admitted(job) == before
    assert outcomes(job)["k07.jpg"] == KEPT
    # In force again, it is an ordinary match.
    job.lists = whole
    job.report()
    assert outcomes(job)["k07.jpg"] == ("quarantined", "matched")
    # The only way is to say so.
    policy = tmp_path / "policy.yaml"
    policy.write_text("lists: {partner: {action: observe}}\n")
    job.report("--policy", str(policy))
    assert admitted(job) == before | {"k01", "k07", "k08"}


def test_killed_anywhere_the_next_run_ends_in_the_same(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    compiled(tmp_path, 2, listing(0))
    killed = job.copied(tmp_path / "killed")
    job.report()
    killed.report()
    # Killed before the receipt, which is the last thing a commit writes; and the ledger with it.
    (killed.evidence / "receipts" / "00000.tar.json").unlink()
    killed.report()
    (killed.evidence / "receipts" / "00000.tar.json").unlink()
    shutil.rmtree(killed.evidence / "ledger" / "00000.tar.parts")
    killed.report()
    assert killed.state() == job.state()


def test_a_dry_run_says_the_same(listed: Callable[[str], Job], tmp_path: Path) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    compiled(tmp_path, 2, listing(0))
    tried = job.report("--dry-run")
    assert tried["reasons"]["matched_before"] == 3
    assert job.report()["counts"] == tried["counts"]
    assert outcomes(job)["k01.jpg"] == KEPT, "what the dry run judged was taken over"


def test_a_dry_run_from_before_does_not_decide_what_was_sealed_since(
    listed: Callable[[str], Job], job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an evidence folder of its own, which has the quarantine in common with the first."""
    pattern = write_webdataset(tmp_path / "landing")
    later = replace(job(pattern), root=tmp_path / "later")
    later.lists = compiled(tmp_path / "v2", 2, listing(0))
    for made in (later.root, tmp_path / "job" / "quarantine"):
        made.mkdir(parents=True, mode=0o700)
    later.quarantine.symlink_to(tmp_path / "job" / "quarantine")
    assert later.report("--dry-run")["counts"]["quarantined"] == 1
    listed(pattern)
    report = later.report()
    assert report["reasons"] == {"clean": 8, "matched_before": 3, "matched": 1}
    assert outcomes(later)["k01.jpg"] == KEPT
    # What it has itself sealed since is no reason to judge again.
    (later.evidence / "receipts" / "00000.tar.json").unlink()
    from ingestgate.transforms import judge

    monkeypatch.delattr(judge, "_judge")
    assert later.report()["shards"]["done"] == 1


def replace_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts other pictures in the place of all, of which the next version lists none."""
    shutil.rmtree(tmp_path / "landing")
    monkeypatch.setattr(conftest, "content", lambda seed: content(seed + 20))
    write_webdataset(tmp_path / "landing")
    compiled(tmp_path, 2, listing(0))


def test_other_bytes_in_its_place_are_another_asset(
    listed: Callable[[str], Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    replace_all(tmp_path, monkeypatch)
    report = job.report()
    assert report["counts"]["quarantined"] == 0


def test_what_was_purged_since_comes_up_for_review(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    """Judged again, its shard has no row of it: only the manifest says what it had matched."""
    job = listed(write_webdataset(tmp_path / "landing"))
    assert purged(job)["assets"] == 3
    compiled(tmp_path, 2, {**listing(2), "domain": new(host="listed.example")["domain"]})
    assert job.report()["counts"]["quarantined"] == 1
    assert up_for_review(job) == []
    found = rescan(job, "--withdrawn")
    assert (found["withdrawn"], found["put_up_for_review"]) == (2, 2)
    assert up_for_review(job) == ["k01.jpg", "k08.jpg"], "k07 is listed as before"
    (path,) = (job.evidence / "withdrawn").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["shard"] for line in lines] == ["00000.tar", "00001.tar"]
    # Once, whoever purges and judges again.
    found = rescan(job, "--withdrawn")
    assert (found["withdrawn"], found["put_up_for_review"]) == (2, 0)


def test_what_something_else_lies_in_the_place_of_comes_up_for_review(
    listed: Callable[[str], Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    replace_all(tmp_path, monkeypatch)
    assert job.report()["counts"]["quarantined"] == 0
    assert rescan(job, "--withdrawn")["put_up_for_review"] == 3
    assert up_for_review(job) == ["k01.jpg", "k07.jpg", "k08.jpg"]


def test_what_was_let_out_again_does_not_come_up_for_review(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    """It is in the ledger, which says what is to be said of it."""
    job = listed(write_webdataset(tmp_path / "landing"))
    policy = tmp_path / "policy.yaml"
    policy.write_text("lists: {partner: {action: observe}}\n")
    compiled(tmp_path, 2, listing(0))
    assert job.report("--policy", str(policy))["counts"]["quarantined"] == 0
    assert rescan(job, "--withdrawn", "--policy", str(policy))["withdrawn"] == 0


def test_a_rescan_does_not_go_by_a_manifest_that_was_changed(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    purged(job)
    manifest = manifest_of(job)
    compiled(tmp_path, 2, listing(2))
    job.report()
    manifest.write_text(manifest.read_text().replace("n-md5", "other"))
    refused = rescan(job, "--withdrawn", code=5)
    assert not (job.evidence / "rescans").exists(), refused
    assert f"{manifest}: is not what was sealed" in job.results[-1].output


def test_rows_without_bytes_stay_while_they_say_the_same(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    lines = [
        "url,md5",
        "https://a.example/1,",
        "https://x.listed.example/2,",
        "https://b.example/3,",
    ]
    lines.append(f"https://a.example/4,{md5_of(b'1')}")
    path = tmp_path / "landing" / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    made = job(str(tmp_path / "landing" / "*.csv"))
    entries = new(md5=None, pdq=None, host="listed.example")
    made.lists = compiled(tmp_path, 1, {**entries, "md5": [*OLD["md5"], ("row", md5_of(b"1"))]})
    made.report("--format", "url-manifest")
    compiled(tmp_path, 2, OLD)
    made.report("--format", "url-manifest")
    assert [row["reason"] for row in made.ledger()] == [
        *("clean", "matched_before", "clean", "matched_before")
    ]
    assert made.census()["exact"]
    assert up_for_review(made) == ["1", "3"]
    # A row before them all, and in each other's place: they say what they said.
    lines[2], lines[4] = lines[4], lines[2]
    path.write_text("\n".join([lines[0], "https://a.example/0,", *lines[1:]]) + "\n")
    report = made.report("--format", "url-manifest")
    assert report["reasons"] == {"clean": 3, "matched_before": 2}
    assert (made.output / "rows.csv").read_text().splitlines() == [
        *(lines[0], "https://a.example/0,", lines[1], lines[3])
    ]
    assert made.census()["exact"]
    lines[2], lines[4] = "https://x.other.example/2,", f"https://a.example/4,{md5_of(b'2')}"
    path.write_text("\n".join(lines) + "\n")
    assert made.report("--format", "url-manifest")["counts"]["quarantined"] == 0


def test_another_quarantine_is_refused_before_anything_is_judged(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    before = job.state()["output"]
    compiled(tmp_path, 2, listing(0))
    (job.quarantine / "manifest").rename(tmp_path / "elsewhere")
    report = job.report(code=5)
    assert "what was sealed of it is on record there, and the file is gone" in report["error"]
    assert job.state()["output"] == before
    (tmp_path / "elsewhere").rename(job.quarantine / "manifest")
    job.report()
    assert outcomes(job)["k01.jpg"] == KEPT


def manifest_of(job: Job, shard: str = "00000") -> Path:
    return next((job.quarantine / "manifest").glob(f"{shard}*.jsonl"))


def without(path: Path, member: str) -> None:
    """Drops a row of a manifest."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if member.encode() not in line))


@pytest.mark.parametrize("how", ["drop-a-row", "cut-off", "remove"])
@pytest.mark.parametrize("logged", [False, True], ids=["", "and-the-log"])
def test_a_manifest_that_is_changed_for_the_time_of_a_run_lets_nothing_out(
    listed: Callable[[str], Job], tmp_path: Path, how: str, logged: bool
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    before, path = admitted(job), manifest_of(job)
    whole = path.read_bytes()
    compiled(tmp_path, 2, listing(0))
    if how == "drop-a-row":
        without(path, "k01.jpg")
    elif how == "cut-off":
        path.write_bytes(whole[:-30])
    else:
        path.unlink()
    if logged:
        log_manifests(job.quarantine)
    report = job.report(code=5)
    assert path.name in report["error"]
    assert ("file is gone" if how == "remove" else "is not what was sealed") in report["error"]
    assert admitted(job) == before
    path.write_bytes(whole)
    job.report()
    assert outcomes(job)["k01.jpg"] == KEPT


def test_so_does_one_that_no_receipt_names_any_more(
    listed: Callable[[str], Job], tmp_path: Path
) -> None:
    job = listed(write_webdataset(tmp_path / "landing"))
    first = manifest_of(job)
    for version, seed in ((2, 0), (3, 2)):
        compiled(tmp_path, version, listing(seed))
        if version == 2:
            job.report()
    first.rename(tmp_path / "taken")
    report = job.report("--dry-run", code=5)
    assert f"{first.name}: is not there; it was removed" in report["error"]
    (tmp_path / "taken").rename(first)
    without(first, "k01.jpg")
    assert f"{first.name}: is not what was sealed" in job.report(code=5)["error"]


def test_what_is_on_no_record_still_counts(listed: Callable[[str], Job], tmp_path: Path) -> None:
    """A killed run's; to take more is safe."""
    job = listed(write_webdataset(tmp_path / "landing"))
    path = manifest_of(job)
    (asset,) = (row["asset_id"] for row in job.ledger() if row["member"] == "k02.jpg")
    (sha256,) = (row["sha256"] for row in job.ledger() if row["member"] == "k02.jpg")
    row = json.loads(path.read_bytes().splitlines()[0])
    said = json.dumps({**row, "asset_id": asset, "member": "k02.jpg", "sha256": sha256})
    path.with_name(f"{path.stem.rpartition('-')[0]}-00000000.jsonl").write_text(f"{said}\n")
    compiled(tmp_path, 2, listing(0))
    job.report()
    assert outcomes(job)["k01.jpg"] == outcomes(job)["k02.jpg"] == KEPT


@pytest.mark.parametrize(
    ("how", "said"), [("drop", "is not what was sealed"), ("damage", "ends in the middle")]
)
def test_one_that_changes_while_a_run_is_at_work_fails_its_shard_alone(
    listed: Callable[[str], Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    said: str,
) -> None:
    """A worker goes by the digest it was given; what is on no record may be damaged as well."""
    job = listed(write_webdataset(tmp_path / "landing"))
    before = (job.output / "00000.tar").read_bytes()
    compiled(tmp_path, 2, listing(0))
    path = manifest_of(job)
    if how == "drop":
        without(path, "k01.jpg")
        monkeypatch.setattr(earlier_manifests, "require_as_sealed", lambda *_: None)
    else:
        path.with_name(f"{path.stem.rpartition('-')[0]}-00000000.jsonl").write_bytes(b"{")
    report = job.report(code=1)
    (failed,) = report["shards"]["failed"]
    assert failed["shard"] == "00000.tar"
    assert f"what was sealed of it before cannot be told ({job.quarantine}" in failed["problem"]
    assert said in failed["problem"]
    assert (job.output / "00000.tar").read_bytes() == before
