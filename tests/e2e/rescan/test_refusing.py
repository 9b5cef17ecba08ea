"""What a rescan refuses, and what one does not vouch for."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ingestgate.assets.errors import StorageError
from ingestgate.assets.receipts import read_failures
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.selftest import self_test
from ingestgate.quarantine.audit import read_log
from ingestgate.transforms.committing import Committer
from ingestgate.transforms.rescanning import (
    digests,
    hashes,
    provenance,
)
from tests.archives import make_tar
from tests.e2e.conftest import Job, content, write_webdataset
from tests.e2e.rescan.conftest import OLD, compiled, md5_of, new, rescan
from tests.faults.killing import run_and_be_killed
from tests.faults.layer import FaultLayer

MakeJob = Callable[..., Job]
UNRECEIPTED = "/output, and no receipt says what was admitted of it (1 such shards); "


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


def test_options_that_beam_does_not_have_are_refused_before_anything_is_looked_at(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(str(tmp_path / "landing"))
    folders = ("--evidence", str(tmp_path / "none"), "--lists", job.lists)
    refused = job.invoke("rescan", *folders, "--", "--nosuchoption=3")
    assert (refused.exit_code, "Beam has no such option" in refused.stderr) == (2, True)


def test_another_policy_is_refused(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    (tmp_path / "policy.yaml").write_text("url_columns: [page]\n")
    compiled(tmp_path, 2, new())
    found = rescan(job, "--policy", str(tmp_path / "policy.yaml"), code=5)
    assert "judged by other rules" in found["error"]
    assert "give the run's --policy, or run again" in found["error"]


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


def test_since_a_version_the_ledger_was_not_held_against_is_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new())
    compiled(tmp_path, 3, new(host="listed.example"))
    found = rescan(job, "--since", "partner=2", code=2)
    assert "was not held against that version" in found["error"]


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
    raw = bytearray(part.read_bytes())
    raw[100] ^= 1  # of the data: its header is as it was
    part.write_bytes(raw)
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


def test_a_shard_that_left_the_input_once_it_was_judged_anew_can_be_removed(
    old_job: Callable[[str], Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", _full)
        job.report(code=1)
    (tmp_path / "landing" / "00001.tar").unlink()
    job.report()
    receipt = job.evidence / "receipts" / "00001.tar.json"
    folder = job.evidence / "ledger" / "00001.tar.parts"
    said = rescan(job, code=5)["error"]
    assert "00001.tar: its ledger is not the one that was committed" in said
    remedy = f"not in the input any more, remove it from the output, with {receipt} and {folder}"
    assert said.endswith(remedy)
    (job.output / "00001.tar").unlink()
    receipt.unlink()
    shutil.rmtree(folder)
    assert rescan(job)["left_out"] == []


def _full(*arguments: Any) -> None:
    raise StorageError("No space left on device", "output")


def test_a_published_shard_without_a_receipt_is_refused(
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
    assert UNRECEIPTED in rescan(job, code=5)["error"]
    for name in ("rescans", "recalls", "rescan-findings"):
        assert not (job.evidence / name).exists()
    receipt.write_bytes(whole)
    shutil.rmtree(job.evidence / "ledger" / "00000.tar.parts")
    assert "part-00000.parquet: is missing" in rescan(job, code=1)["error"]


def test_a_shard_that_failed_once_it_was_published_is_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    shard = tmp_path / "landing" / "00000.tar"
    write_webdataset(tmp_path / "landing")
    job = old_job(str(shard))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:700])
    job.report(code=1)
    shard.write_bytes(whole)
    (job.evidence / "receipts").write_bytes(b"")  # so that none can be written
    assert job.run().exit_code == 1
    (job.evidence / "receipts").unlink()
    assert (job.output / "00000.tar").exists()
    assert read_failures(str(job.evidence))
    compiled(tmp_path, 2, new(pdq=None))
    assert UNRECEIPTED in rescan(job, code=5)["error"]
    job.report()
    assert rescan(job)["matched"] == 0, "the run has judged it by the newer lists"


@pytest.mark.parametrize("judged", ["once", "again", "not"])
def test_a_shard_that_a_killed_run_published_after_a_dry_run_is_refused(
    old_job: Callable[[str], Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: str
) -> None:
    """The report is still the dry run's, of which nothing was admitted.

    What a later one judges, or cannot, is not what was let in.
    """
    write_webdataset(tmp_path / "landing")
    job = old_job(str(tmp_path / "landing" / "00000.tar"))
    calm = job.elsewhere("calm")
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    for gate in (calm, job):
        gate.report("--dry-run")
    changed = [path for _, path in layer.counted(calm.report)]
    run_and_be_killed(job, layer, changed.index(str(calm.evidence / "receipts")))
    assert (job.output / "00000.tar").exists()
    compiled(tmp_path, 2, new(pdq=None))
    if judged == "again":
        job.report("--dry-run")
    if judged == "not":
        landing = tmp_path / "landing" / "00000.tar"
        whole = landing.read_bytes()
        landing.write_bytes(whole[:700])
        job.report("--dry-run", "--no-resume", code=1)
        landing.write_bytes(whole)
    refused = rescan(job, code=5)["error"]
    assert f"00000.tar: lies in {job.output}, and no receipt says" in refused
    assert not (job.evidence / "rescans").exists()
    job.report()
    assert rescan(job)["matched"] == 0, "the run has judged it by the newer lists"


def test_a_recall_goes_to_no_folder_that_does_not_hold_what_it_recalls(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    moved = job.output.rename(job.root / "trained")
    compiled(tmp_path, 2, new(pdq=None))
    said = rescan(job, code=2)["error"]
    assert "00000.tar: not there as the receipt of 00000.tar says; give the --output" in said
    for name in ("rescans", "recalls", "rescan-findings"):
        assert not (job.evidence / name).exists()
    assert not list(job.root.rglob("_ingestgate"))
    found = rescan(job, "--output", str(moved))
    assert found["recalled"] == ["00000.tar"]
    assert list((moved / "_ingestgate" / "recalls").iterdir())


def test_evidence_tells_of_one_output(old_job: Callable[[str], Job], tmp_path: Path) -> None:
    """In another one, what a shard was would not be what the evidence says of it."""
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    elsewhere = ("--output", str(job.root / "elsewhere"))
    for more in ((), ("--dry-run",), ("--no-resume",)):
        refused = job.invoke(*job.run_arguments, *elsewhere, *more)
        assert refused.exit_code == 2
        assert f"is the evidence of {job.output}, and tells of no other output" in refused.output
    assert not (job.root / "elsewhere").exists()
    compiled(tmp_path, 2, new(pdq=None))
    assert "and tells of no other output" in rescan(job, *elsewhere, code=2)["error"]
    assert rescan(job)["recalled"] == ["00000.tar"]


def test_a_recalled_shard_that_was_cut_off_in_the_output_is_refused(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    compiled(tmp_path, 2, new(pdq=None))
    (job.output / "00001.tar").unlink()  # nothing in it matches
    (job.output / "00000.tar").write_bytes(b"short")
    assert "if it was removed, run again, which commits it anew" in rescan(job, code=2)["error"]
    job.report()
    assert rescan(job)["matched"] == 0, "the run has judged it by the newer lists"


def test_a_shard_that_was_removed_does_not_keep_the_others_from_being_recalled(
    old_job: Callable[[str], Job], tmp_path: Path
) -> None:
    job = old_job(write_webdataset(tmp_path / "landing"))
    job.report()
    both = new(pdq=None)
    both["md5"].append(("n-other", md5_of(content(8))))
    compiled(tmp_path, 2, both)
    removed = job.output / "00000.tar"
    removed.unlink()
    found = rescan(job, code=2)
    (report,) = found["rescans"]
    assert report["recalled"] == ["00000.tar", "00001.tar"]
    assert [Path(path).exists() for path in report["notices"]] == [True, True]
    assert (job.evidence / "rescans" / f"{report['id']}.json").exists()
    lines = [line for line in read_log(str(job.quarantine)) if line.event == "rescan.ended"]
    assert [line.fields["recalled"] for line in lines] == [2]
    receipt = job.evidence / "receipts" / "00000.tar.json"
    (said,) = report["missing"]
    assert f"{removed}: not there as the receipt of 00000.tar says" in said
    assert f"or remove {receipt} as well" in said
    (failed,) = found["failed"]
    assert failed["exit_code"] == 2
    assert f"rescanned, but the output lacks 1 file that it should hold: {said}" in failed["error"]
    job.report()
    assert rescan(job)["missing"] == []


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
