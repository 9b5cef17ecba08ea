"""What a file system cannot tell is not taken for nothing, least of all what was sealed before."""

import errno
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets import storage
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.blocklists.compiling import compile_list
from tests.e2e.conftest import LISTED_MD5, Job, write_webdataset
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen
from tests.faults.reading import ANSWERS, ReadingLayer

MakeJob = Callable[..., Job]
OTHER_MD5 = "ab" * 16
_POINTS = 4  # of about seven hundred
_OFTEN = 3  # of what is asked again and again


def list_digests(gate: Job, version: int, *digests: str) -> None:
    """Compiles a version of the list, beside any earlier one."""
    source = gate.root.parent / "digests.txt"
    source.write_text("\n".join(digests) + "\n")
    gate.lists = str(gate.root.parent / "own-lists")
    compile_list(
        id="own",
        version=version,
        sources=[("md5", str(source))],
        to=gate.lists,
        issued=datetime(2026, 1, 1, tzinfo=UTC),
        expires=datetime(2100, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def withdrawn(job: MakeJob, tmp_path: Path) -> Job:
    """A run whose one match has since been withdrawn from its list."""
    gate = job(write_webdataset(tmp_path / "landing"))
    list_digests(gate, 1, LISTED_MD5, OTHER_MD5)
    assert gate.report()["counts"]["quarantined"] == 1
    list_digests(gate, 2, OTHER_MD5)
    return gate


def test_every_question_can_fail(
    withdrawn: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = withdrawn
    shutil.copytree(gate.root, tmp_path / "before")
    folders = (gate.root, Path(gate.lists), tmp_path / "landing")
    layer = ReadingLayer(monkeypatch.setattr, *folders)

    def again(at: int | None, answer: str) -> Any:
        shutil.rmtree(gate.root)
        shutil.copytree(tmp_path / "before", gate.root)
        layer.questions.clear()
        layer.at, layer.answer, layer.counts = at, answer, True
        result = gate.run()
        layer.counts = False
        return result

    assert again(None, "EIO").exit_code == 0
    questions = list(layer.questions)
    expected = gate.state()
    reasons = sorted(row["reason"] for row in gate.manifest())
    assert reasons == ["matched", "matched_before"]
    seen: dict[tuple[str, str], int] = {}
    points = []
    for number, question in enumerate(questions):
        seen[question] = seen.get(question, 0) + 1
        if seen[question] <= _OFTEN:
            points += [(number, answer) for answer in ANSWERS]
    for at, answer in chosen(points, _POINTS, "questions"):
        tried = again(at, answer)
        where = (at, answer, questions[at], tried.output)
        assert tried.exception is None or isinstance(tried.exception, SystemExit), where
        check_nothing_wrong(gate, expected["output"], where)
        if tried.exit_code == 0:
            assert gate.state() == expected, where
        gate.report()
        assert gate.state() == expected, where
        assert gate.census()["exact"], where


def unanswered(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """From now on, nobody knows whether something is there."""
    real = os.stat

    def call(target: Any, *arguments: Any, **more: Any) -> Any:
        if target == str(path):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return real(target, *arguments, **more)

    monkeypatch.setattr(os, "stat", call)


def test_what_was_sealed_before_is_not_let_out(
    withdrawn: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    unanswered(monkeypatch, withdrawn.quarantine / "manifest")
    tried = withdrawn.run()
    assert tried.exit_code == 1
    assert "Stale file handle" in tried.output
    monkeypatch.undo()
    assert withdrawn.report()["reasons"]["matched_before"] == 1


def test_shards_in_a_folder_that_may_not_be_read_are_not_left_out(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_webdataset(tmp_path / "landing" / "a")
    write_webdataset(tmp_path / "landing" / "b")
    gate = job(str(tmp_path / "landing" / "**" / "*.tar"))
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if str(path).rstrip("/").endswith("/b"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    tried = gate.run()
    assert tried.exit_code == 1
    assert "landing/b: Permission denied; check the permissions" in tried.stderr
    assert not gate.output.exists()


def test_the_audit_log_is_never_begun_anew(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    log = gate.quarantine / "audit" / "log.jsonl"
    before = log.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        unanswered(patch, log)
        assert gate.run("--no-resume").exit_code == 1
    assert log.read_bytes().startswith(before)
    with pytest.MonkeyPatch.context() as patch:
        # Not even if the file system says outright that there is none.
        patch.setattr(storage, "exists", lambda path: path != str(log) and os.path.exists(path))
        gate.run("--no-resume")
    assert log.read_bytes().startswith(before)
    gate.report("--no-resume")
    assert gate.census()["exact"]


@pytest.mark.parametrize("folder", ["failures", "receipts-withdrawn"])
def test_what_is_not_done_is_not_certified(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    key = str(tmp_path / "key.pem")
    generate_signing_key(key)
    (gate.evidence / folder).mkdir()
    unanswered(monkeypatch, gate.evidence / folder)
    refused = gate.invoke(
        *("certify", "--output", str(gate.output), "--evidence", str(gate.evidence)),
        *("--lists", gate.lists, "--key", key),
    )
    assert refused.exit_code == 1
    assert "Stale file handle" in refused.stderr
