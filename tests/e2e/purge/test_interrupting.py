"""A purge that is interrupted anywhere is completed, and nothing is lost."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from tests.e2e.conftest import WRITERS, Job, content, on_store
from tests.e2e.purge.conftest import (
    admitted_by,
    landing,
    purge,
    purged,
    write_caught,
)
from tests.object_store import ClientError, ObjectStore

MakeJob = Callable[..., Job]


@pytest.mark.parametrize("format", list(WRITERS))
def test_where_files_cannot_be_replaced_in_one_step_nothing_of_the_original_stays(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """What has made way for what is left is under a name that no listing of shards shows."""
    pattern = WRITERS[format](tmp_path / "landing")
    here, where, run = on_store(job, pattern, tmp_path, monkeypatch, "testtree://bucket")
    assert here.invoke(*run).exit_code == 0
    with pytest.MonkeyPatch.context() as patch:
        real = ObjectStore._check

        def check(store: ObjectStore, operation: str, path: str) -> None:
            if operation == "delete" and storage.is_partial(path) and "/landing/" in path:
                raise ClientError("service unavailable")
            real(store, operation, path)

        patch.setattr(ObjectStore, "_check", check)
        tried = here.invoke("purge", *where, "--json")
    hidden = [path for path in landed() if storage.is_partial(path)]
    assert (tried.exit_code != 0) == bool(hidden), tried.output
    assert hidden, "every format has something that is replaced"
    assert here.invoke("purge", *where, "--json").exit_code == 0
    shard = "run/output/landing" if format == "folder" else "run/output"
    output = {entry.path for entry in storage.walk("testtree://bucket/run/output")}
    assert {path.replace(shard, "landing") for path in output} == landed()
    for path in landed():
        assert storage.read_bytes(path) == storage.read_bytes(path.replace("landing", shard))


def landed() -> set[str]:
    """All that lies in the landing zone, also under temporary names."""
    return {entry.path for entry in storage.walk("testtree://bucket/landing", partials=True)}


class Killed(BaseException):
    """What ends a process."""


def purge_until_killed(gate: Job) -> Result | None:
    """Returns the result of a purge; None if it was killed."""
    try:
        return purge(gate)
    except Killed:
        return None


def kill_purge_at(place: Any, function: str, gate: Job) -> None:
    """Purges until a function is called."""

    def killed(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, function, killed)
        assert purge_until_killed(gate) is None


def interrupted(job: MakeJob, tmp_path: Path, format: str = "webdataset") -> Job:
    """Returns a job whose purge was killed before it moved anything into its place."""
    gate = job(WRITERS[format](tmp_path / "landing"))
    gate.report()
    kill_purge_at(storage, "move", gate)
    return gate


@pytest.mark.parametrize("format", list(WRITERS))
@pytest.mark.parametrize("function", ["replace", "unlink"])
def test_killed_between_any_two_steps_the_same_again_completes_it(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, function: str
) -> None:
    real = getattr(os, function)
    calls = left = 0

    def step(*arguments: Any, **more: Any) -> Any:
        nonlocal calls, left
        calls += 1
        if left == 0:
            raise Killed
        left -= 1
        return real(*arguments, **more)

    root = tmp_path / "try"
    gate = job(WRITERS[format](root / "landing")).elsewhere("try/job")
    gate.report()
    admitted = admitted_by(gate)
    shutil.copytree(root, tmp_path / "judged")
    point = 0
    while True:
        shutil.rmtree(root)
        shutil.copytree(tmp_path / "judged", root)
        left, calls = point, 0
        with monkeypatch.context() as patch:
            patch.setattr(os, function, step)
            if (whole := purge_until_killed(gate)) is not None:
                assert whole.exit_code == 0, whole.output
                break
        begun = list((gate.evidence / "purging").rglob("*.json"))
        if begun:
            refused = gate.run()
            assert refused.exit_code == 2, "a landing zone half purged is not judged"
            assert "a purge was interrupted" in refused.stderr
        purged(gate)
        assert landing(root / "landing") == admitted, (point, begun)
        found = gate.census()
        assert found["exact"], found["problems"]
        assert found["purged"] == 3
        assert gate.report()["shards"]["done"] == 0
        assert not list((gate.evidence / "purging").rglob("*.json"))
        point += 1
    assert point >= (1 if function == "unlink" else 4)


def test_a_purge_that_left_nothing_and_no_receipt_is_completed(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(write_caught(tmp_path / "landing"))
    gate.report()
    kill_purge_at(Envelope, "write", gate)
    assert not list((tmp_path / "landing").iterdir())
    assert "a purge was interrupted" in gate.run().output
    assert [each["outcome"] for each in purged(gate)["shards"]] == ["purged"]
    assert gate.census()["exact"]


def test_a_file_changed_while_a_purge_was_interrupted_is_not_written_over(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = interrupted(job, tmp_path)
    shard = tmp_path / "landing" / "00000.tar"
    changed = shard.read_bytes() + bytes(512)
    shard.write_bytes(changed)
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "changed by somebody else since its purge began" in problems["00000.tar"]
    assert shard.read_bytes() == changed


def test_what_was_staged_takes_no_place_if_it_was_changed(job: MakeJob, tmp_path: Path) -> None:
    gate = interrupted(job, tmp_path)
    before = landing(tmp_path / "landing")["00000.tar"]
    (staged,) = (tmp_path / "landing").glob(".purge.*/00000.tar")
    staged.write_bytes(staged.read_bytes() + bytes(512))
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert f"{staged} was changed by somebody else since" in problems["00000.tar"]
    assert landing(tmp_path / "landing")["00000.tar"] == before


def test_a_picture_that_was_changed_since_is_not_removed(job: MakeJob, tmp_path: Path) -> None:
    gate = interrupted(job, tmp_path, "folder")
    picture = tmp_path / "landing" / "k03.jpg"
    picture.write_bytes(content(4))
    (refused,) = purged(gate, code=5)["shards"]
    assert f"{picture} was changed by somebody else since its purge began" in refused["problem"]
    assert picture.read_bytes() == content(4)


def test_a_purge_of_another_judging_is_not_completed(job: MakeJob, tmp_path: Path) -> None:
    gate = interrupted(job, tmp_path)
    before = landing(tmp_path / "landing")["00000.tar"]
    record = gate.evidence / "purging" / "00000.tar.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"judged_identity": "0" * 64}))
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert f"{record}: a purge that was interrupted, of another judging" in problems["00000.tar"]
    assert landing(tmp_path / "landing")["00000.tar"] == before


def test_a_shard_that_left_the_input_while_its_purge_was_interrupted_is_named(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = interrupted(job, tmp_path)
    shard = tmp_path / "landing" / "00000.tar"
    shard.rename(tmp_path / "away.tar")
    record = gate.evidence / "purging" / "00000.tar.json"
    for extra in (("--dry-run",), ()):
        others, gone = purged(gate, *extra, code=5)["shards"]
        assert others["outcome"] == ("would_purge" if extra else "purged"), "it goes on"
        assert (gone["shard"], gone["outcome"]) == ("00000.tar", "refused")
        assert "put it back and purge again" in gone["problem"]
        assert f"remove {record} and run again" in gone["problem"]
    assert gate.run().exit_code == 2
    said = purge(gate).output
    assert "refused: 00000.tar: its purge was interrupted" in said
    (tmp_path / "away.tar").rename(shard)
    assert [each["outcome"] for each in purged(gate)["shards"]] == ["purged", "purged_before"]
    assert gate.census()["exact"]


def test_a_shard_outside_this_input_whose_purge_was_interrupted_is_not_said_to_be_gone(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = interrupted(job, tmp_path)
    part = replace(gate, inputs=[str(tmp_path / "landing" / "00001.tar")])
    _, other = purged(part, code=5)["shards"]
    assert (other["shard"], other["outcome"]) == ("00000.tar", "refused")
    assert "it is not in this --input. Give the one that its purge was begun" in other["problem"]
    assert [each["outcome"] for each in purged(gate)["shards"]] == ["purged", "purged_before"]


def test_a_purge_that_was_interrupted_looks_at_the_vault_again(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    before = landing(tmp_path / "landing")["00000.tar"]
    kill_purge_at(storage, "move", gate)
    row = next(row for row in gate.manifest() if row["shard"] == "00000.tar")
    key = gate.quarantine / row["sealed_key"]
    sealed = key.read_bytes()
    key.write_bytes(b"x")
    for extra in (("--dry-run",), ()):
        problems = {
            each["shard"]: each["problem"] for each in purged(gate, *extra, code=5)["shards"]
        }
        assert "is not in the quarantine as its manifest says" in problems["00000.tar"]
    # Nor does its record decide what there has to be.
    record = gate.evidence / "purging" / "00000.tar.json"
    whole = record.read_text()
    record.write_text(json.dumps(json.loads(whole) | {"assets": []}))
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "is not in the quarantine as its manifest says" in problems["00000.tar"]
    record.write_text(whole)
    assert landing(tmp_path / "landing")["00000.tar"] == before
    key.write_bytes(sealed)
    assert purged(gate)["assets"] == 3
    assert gate.census()["exact"]


@pytest.mark.parametrize("format", list(WRITERS))
def test_a_full_disk_leaves_the_landing_zone_as_it_was(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    gate = job(WRITERS[format](tmp_path / "landing"))
    gate.report()
    before = landing(tmp_path / "landing")
    real = os.fsync

    def full(descriptor: int) -> None:
        if "/.purge." in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        failed = purge(gate)
    assert failed.exit_code == 1
    assert "No space left" in failed.stderr
    assert {n: b for n, b in landing(tmp_path / "landing").items() if ".partial" not in n} == before
    assert gate.census()["exact"]
    assert gate.report()["shards"]["done"] == 0
    assert purged(gate)["assets"] == 3
    assert landing(tmp_path / "landing") == admitted_by(gate)
