"""What the run command refuses, says, and never says."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from ingestgate.assets import temporary
from ingestgate.blocklists.compiling import compile_list
from ingestgate.pipeline import run as run_module
from ingestgate.pipeline.lock import run_lock
from tests.archives import make_tar
from tests.e2e.conftest import (
    LISTED_HOST,
    LISTED_MD5,
    WRITERS,
    Job,
    listed_pdq,
    read_only,
    write_webdataset,
)
from tests.pictures import jpeg

MakeJob = Callable[..., Job]


def test_refused_lists_end_with_3_before_anything_is_read(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    (tmp_path / "md5").write_text("0123456789abcdef0123456789abcdef\n")
    gate.lists = str(tmp_path / "old")
    compile_list(
        id="old",
        version=1,
        sources=[("md5", str(tmp_path / "md5"))],
        to=gate.lists,
        issued=datetime(2026, 1, 1, tzinfo=UTC),
        expires=datetime(2026, 1, 2, tzinfo=UTC),
    )
    result = gate.run()
    assert result.exit_code == 3
    assert "old version 1 expired" in result.stderr.replace("\n", " ") or "expired" in result.stderr
    assert json.loads(result.stdout)["exit_code"] == 3
    assert not gate.root.exists()


def test_a_flipped_byte_in_a_list_is_refused(job: MakeJob, tmp_path: Path) -> None:
    import shutil

    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    shutil.copytree(gate.lists, tmp_path / "copy")
    gate.lists = str(tmp_path / "copy")
    (file,) = (tmp_path / "copy").rglob("md5.arrow")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    assert gate.run().exit_code == 3
    assert not gate.root.exists()


@pytest.mark.parametrize("name", ["*.tar", "notes.docx"])
def test_inputs_that_are_none_are_errors_that_name_them(
    job: MakeJob, tmp_path: Path, name: str
) -> None:
    (tmp_path / "landing").mkdir()
    if name == "notes.docx":
        (tmp_path / "landing" / name).write_bytes(b"PK")
    result = job(str(tmp_path / "landing" / name)).run()
    assert result.exit_code == 2
    assert name in result.stderr


def test_one_unreadable_shard_does_not_stop_the_others(job: MakeJob, tmp_path: Path) -> None:
    pattern = WRITERS["webdataset"](tmp_path / "landing")
    shard = tmp_path / "landing" / "00001.tar"
    shard.write_bytes(shard.read_bytes()[:-11000])
    gate = job(pattern)
    report = gate.report(code=1)
    assert [failed["shard"] for failed in report["shards"]["failed"]] == ["00001.tar"]
    assert report["status"] == "failed"
    assert (gate.output / "00000.tar").exists()
    assert not (gate.output / "00001.tar").exists()
    # Once it is mended, the run goes on where it was.
    WRITERS["webdataset"](tmp_path / "again")
    shard.write_bytes((tmp_path / "again" / "00001.tar").read_bytes())
    report = gate.report()
    assert report["shards"] == {
        "total": 2,
        "finished_before": 1,
        "left_out": 0,
        "done": 1,
        "replaced": [],
        "failed": [],
    }
    assert gate.census()["exact"]


def test_what_another_landing_zone_replaces_is_named(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    assert gate.report()["shards"]["replaced"] == []
    before = (gate.output / "00000.tar").read_bytes()
    os.utime(tmp_path / "landing" / "00001.tar", (1, 1))
    assert gate.report()["shards"]["replaced"] == [], "the same was admitted again"
    assert gate.report("--no-resume")["shards"]["replaced"] == [], "so it was"
    (tmp_path / "day2").mkdir()
    (tmp_path / "day2" / "00000.tar").write_bytes(make_tar([("z.jpg", jpeg(20))]))
    gate.inputs = [str(tmp_path / "day2")]
    assert gate.report("--dry-run")["shards"]["replaced"] == [], "it admits nothing"
    again = [one for one in gate.run_arguments if one != "--json"]
    said = " ".join(gate.invoke(*again).stdout.split())
    assert "as the landing zone has other content under the name: 00000.tar report:" in said
    report = json.loads((gate.evidence / "report.json").read_text())
    assert report["shards"]["replaced"] == ["00000.tar"]
    assert (gate.output / "00000.tar").read_bytes() != before
    assert "under the name: 00000.tar</p>" in (gate.evidence / "report.html").read_text()
    assert gate.report()["shards"]["replaced"] == []


def test_a_log_gets_whole_lines_in_whatever_encoding_it_has(job: MakeJob, tmp_path: Path) -> None:
    broken = tmp_path / "landing" / f"图片:warning:😀{'-' * 80}.tar"
    broken.parent.mkdir()
    broken.write_bytes(b"no tar")
    gate = job(str(broken))
    escaped = broken.name.encode("ascii", "backslashreplace").decode()
    plainly = [one for one in gate.run_arguments if one != "--json"]
    for told in (plainly, gate.run_arguments):
        done = subprocess.run(
            [sys.executable, "-c", "from ingestgate.pipeline.cli import main; main()", *told],
            env={**os.environ, "PYTHONIOENCODING": "latin-1", "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        if "--json" in told:
            (failed,) = json.loads(done.stdout)["shards"]["failed"]
            assert failed["shard"] == broken.name
        else:
            lines = done.stdout.splitlines()
            assert any(line.startswith(f"failed: {escaped}: ") for line in lines)
            assert f"report: {gate.evidence}/report.html" in lines
            assert len(done.stderr.splitlines()) == 1


def test_exit_on_match(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    assert gate.run("--exit-on-match").exit_code == 10
    assert gate.run("--exit-on-match").exit_code == 10
    assert gate.run().exit_code == 0


def test_a_run_that_is_refused_does_not_say_that_there_is_nothing_to_do(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    again = ("run", "--input", *gate.inputs, *gate.folders, "--lists", gate.lists)
    gate.report()
    again = (*again, "--recipient", gate.recipient, "--workers", "1")
    assert "Nothing to do, all is finished: 2 shards." in gate.invoke(*again).stdout
    wrong = gate.invoke(*again, "--", "--nosuchoption=3")
    assert (wrong.exit_code, "Beam has no such option" in wrong.stderr) == (2, True)
    assert "Nothing to do" not in wrong.stdout
    gate.quarantine.chmod(0o755)
    refused = gate.invoke(*again)
    assert (refused.exit_code, "open to others; close it" in refused.stderr) == (
        2,
        True,
    )
    assert "Nothing to do" not in refused.stdout


def test_a_dry_run_writes_neither_output_nor_quarantine(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    report = gate.report("--dry-run")
    assert report["dry_run"]
    assert report["counts"] == {"admitted": 9, "quarantined": 3, "unscannable": 0}
    assert sorted(path.name for path in gate.root.iterdir()) == ["evidence"]
    arguments = ("run", "--input", *gate.inputs, *gate.folders, "--lists", gate.lists)
    assert gate.invoke(*arguments, "--workers", "1", "--dry-run").exit_code == 0
    refused = gate.invoke(*arguments)
    assert refused.exit_code == 2
    assert "recipient" in refused.stderr


def test_an_output_that_cannot_be_written_is_told_before_anything_is_judged(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.output.mkdir(parents=True)
    with monkeypatch.context() as patch:
        read_only(patch, gate.output)
        error = gate.report(code=1)["error"]
        assert f"no file can be made in {gate.output}: Read-only file system; mount it" in error
        assert not (gate.evidence / "ledger").exists()
        gate.report("--dry-run")  # which writes nothing there
    gate.report()
    with monkeypatch.context() as patch:
        read_only(patch, gate.output)
        gate.report()  # nor does one that has nothing to do
    assert sorted(path.name for path in gate.output.iterdir()) == ["00000.tar", "00001.tar"]


@pytest.mark.parametrize("folder", ["output", "quarantine", "evidence"])
def test_a_file_in_the_place_of_a_folder_is_refused(
    job: MakeJob, tmp_path: Path, folder: str
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.root.mkdir()
    (gate.root / folder).write_bytes(b"x")
    refused = gate.run()
    assert refused.exit_code == 2
    assert f"{gate.root / folder}: is a file; move it away, or name a folder" in refused.stderr
    assert [path.name for path in gate.root.iterdir()] == [folder]


def test_two_runs_at_once_on_one_evidence_folder(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    with run_lock(str(gate.evidence)):
        result = gate.run()
    assert result.exit_code == 1
    assert "another run is at work" in result.stderr
    assert gate.run().exit_code == 0


def test_notes_that_a_thread_still_writes_hide_no_interrupt(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of progress notes cannot be removed while something is put into it."""
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    real = os.rmdir

    def rmdir(path: str, *arguments: object, **options: object) -> None:
        if Path(path).name.startswith("ingestgate-"):
            (Path(path) / "1.json").write_text("{}")
        real(path, *arguments, **options)  # type: ignore[arg-type]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rmdir", rmdir)
    monkeypatch.setattr(run_module, "_do", interrupted)
    result = gate.run()
    assert list(tmp_path.glob("ingestgate-*/1.json"))
    assert "interrupted" in result.stderr
    assert not isinstance(result.exception, OSError)


def test_a_full_temporary_folder_is_no_fault_of_a_shard(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["parquet"](tmp_path / "landing"))
    with monkeypatch.context() as full:
        full.setattr(tempfile, "tempdir", str(tmp_path))
        full.setattr(temporary, "_nameless", lambda: (open("/dev/full", "r+b"), "/dev/full"))  # noqa: SIM115
        result = gate.run()
    assert result.exit_code == 1
    assert f"{tmp_path}: No space left on device; free some room there" in result.output
    assert "TMPDIR" in result.output
    assert not list(gate.evidence.glob("failures/**/*.json"))
    assert not list(gate.output.rglob("*.parquet"))
    gate.report()
    assert gate.census()["exact"]


@pytest.mark.parametrize("where", ["output", "quarantine", "evidence"])
def test_folders_inside_one_another_are_refused(job: MakeJob, tmp_path: Path, where: str) -> None:
    folder = WRITERS["folder"](tmp_path / "landing")
    result = job(folder).run(f"--{where}", str(tmp_path / "landing" / "inside"))
    assert result.exit_code == 2
    assert "folders of their own" in result.stderr


def test_what_is_created_is_private(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    for root in (gate.quarantine, gate.evidence):
        for path in [root, *root.rglob("*")]:
            allowed = 0o700 if path.is_dir() else 0o600
            assert path.stat().st_mode & 0o777 & ~allowed == 0, path


def test_no_listed_value_is_ever_said(job: MakeJob, tmp_path: Path) -> None:
    pattern = WRITERS["webdataset"](tmp_path / "landing")
    shard = tmp_path / "landing" / "00001.tar"
    broken = shard.read_bytes()
    gate = job(pattern)
    gate.run("--json")
    gate.invoke("lists", "inspect", "--lists", gate.lists)
    gate.invoke("lists", "inspect", "--lists", gate.lists, "--json")
    shard.write_bytes(broken[:-11000])
    gate.run()
    said = "".join(result.stdout + result.stderr for result in gate.results)
    said += (gate.evidence / "report.json").read_text()
    said += (gate.evidence / "report.html").read_text()
    said += "".join(
        path.read_text()
        for name in ("receipts", "failures")
        for path in (gate.evidence / name).rglob("*.json")
    )
    assert "partner" in said
    for value in (LISTED_MD5, listed_pdq(), LISTED_HOST):
        assert value.lower() not in said.lower()


def test_the_report_says_by_which_rules_and_what_for(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    report = gate.report()
    (used,) = report["lists"]
    assert (used["id"], used["version"], used["assets_matched"]) == ("partner", 3, 3)
    assert report["policy"]["effective"]["low_quality"] == "hold"
    assert report["recipients"] == [gate.recipient]
    page = (gate.evidence / "report.html").read_text()
    assert "partner" in page
    assert "3" in page
    assert report["policy"]["digest"] in page


def test_census_sees_what_is_wrong(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    assert gate.census()["exact"]

    def problem_after(change: Callable[[], object], undo: Callable[[], object]) -> str:
        change()
        found = gate.census()
        undo()
        assert not found["exact"]
        assert gate.census()["exact"]
        return "\n".join(found["problems"])

    shard = gate.output / "00000.tar"
    admitted = shard.read_bytes()
    flipped = bytearray(admitted)
    flipped[700] ^= 1
    for wrong, said in (
        (bytes(flipped), "not so in the output"),
        ((tmp_path / "landing" / "00000.tar").read_bytes(), "not so in the output"),
        (admitted[:-11000], "00000.tar"),
    ):
        problem = problem_after(
            partial(shard.write_bytes, wrong), partial(shard.write_bytes, admitted)
        )
        assert said in problem
    extra = gate.output / "extra.tar"
    assert "extra.tar: in the output" in problem_after(lambda: extra.touch(), extra.unlink)
    sealed = gate.quarantine / gate.manifest()[0]["sealed_object"]
    raw = sealed.read_bytes()
    assert "sealed object or key is missing or changed" in problem_after(
        lambda: sealed.write_bytes(raw[:-1]), lambda: sealed.write_bytes(raw)
    )
    key = gate.quarantine / gate.manifest()[0]["sealed_key"]
    aside = key.with_suffix(".aside")
    assert "sealed object or key is missing or changed" in problem_after(
        lambda: key.rename(aside), lambda: aside.rename(key)
    )
    manifest = next((gate.quarantine / "manifest").glob("*.jsonl"))
    lines = manifest.read_text()
    assert "in no manifest" in problem_after(
        lambda: manifest.write_text("".join(lines.splitlines(keepends=True)[1:])),
        lambda: manifest.write_text(lines),
    )


def test_the_ledger_command_lists_what_was_held(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["folder"](tmp_path / "landing"))
    (tmp_path / "landing" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    gate.report()
    evidence = ("ledger", "--evidence", str(gate.evidence))
    (held,) = [
        json.loads(line)
        for line in gate.invoke(*evidence, "--verdict", "unscannable", "--json").stdout.splitlines()
    ]
    assert (held["member"], held["findings"]) == ("broken.jpg", [])
    assert held["reason"] in ("undecodable", "truncated")
    table = gate.invoke(*evidence, "--reason", "matched").stdout
    assert [name for name in ("k03", "k05", "k07", "k01") if name in table] == ["k03", "k05", "k07"]


def test_a_runner_that_loses_work_is_not_believed(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    monkeypatch.setattr("ingestgate.pipeline.run.run_job", lambda *_, **__: None)
    report = gate.report(code=1)
    assert "ended without doing 2 shards, 00000.tar among them" in report["error"]
    assert gate.report("--dry-run", code=1)["status"] == "failed"


@pytest.mark.parametrize("where", ["output", "quarantine", "evidence"])
def test_a_folder_of_the_run_that_the_input_would_reach_is_refused_at_once(
    job: MakeJob, tmp_path: Path, where: str
) -> None:
    write_webdataset(tmp_path / "landing")
    inside = tmp_path / "landing" / "inside"
    for pattern in ("landing", "landing/**/*.tar", "land*"):
        gate = job(str(tmp_path / pattern))
        result = gate.run(f"--{where}", str(inside))
        assert result.exit_code == 2
        assert f"{inside}, the {where}, lies where the input" in result.stderr
        assert not inside.exists()
        assert not gate.root.exists()
    gate = job(str(tmp_path / "landing" / "*.tar"))
    assert gate.run(f"--{where}", str(inside)).exit_code == 0


def test_what_an_earlier_run_left_in_the_landing_zone_is_no_input(
    job: MakeJob, tmp_path: Path
) -> None:
    first = job(write_webdataset(tmp_path / "landing"))
    first.root = tmp_path / "landing" / "earlier"
    first.report()
    second = job(str(tmp_path / "landing"))
    result = second.run()
    assert result.exit_code == 2
    assert "earlier/evidence: is the evidence of an earlier run" in result.stderr
    assert not second.root.exists()
