"""Nothing goes but what was judged, committed, and verifiably lies in the quarantine."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets import storage
from ingestgate.assets.containers import folder_index
from ingestgate.assets.containers.discovery import files_of
from ingestgate.assets.shard import Shard
from ingestgate.quarantine.audit_writing import append_machine
from tests.archives import make_tar, special
from tests.e2e.conftest import WRITERS, Job, content
from tests.e2e.purge.conftest import forge_receipt, landing, purge, purged, write_caught
from tests.faults.zones import ZONES
from tests.pictures import jpeg

MakeJob = Callable[..., Job]


def test_what_could_not_be_scanned_stays_as_it_was(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    kept = [
        ("README", b"readers skip this"),
        special("link.jpg", tarfile.SYMTYPE, "k01.jpg"),
        ("broken.jpg", jpeg(63)[:500]),
        ("k01.jpg", content(1)),
        ("twice.jpg", content(2)),
        ("twice.jpg", content(4)),
        ("nothing.txt", b"a caption without a picture"),
    ]
    items = [("k03.jpg", content(3)), *kept[:4], ("k05.jpg", content(5)), *kept[4:]]
    (tmp_path / "landing" / "a.tar").write_bytes(make_tar(items))  # type: ignore[arg-type]
    gate = job(str(tmp_path / "landing" / "*.tar"))
    counts = gate.report()["counts"]
    assert (counts["quarantined"], counts["unscannable"] > 3) == (2, True)
    assert purged(gate)["assets"] == 2
    (tmp_path / "expected.tar").write_bytes(make_tar(kept))  # type: ignore[arg-type]

    def members(path: Path) -> list[tuple[Any, ...]]:
        with tarfile.open(path) as tar:
            return [(m.name, m.type, m.linkname, m.size) for m in tar]

    assert members(tmp_path / "landing" / "a.tar") == members(tmp_path / "expected.tar")
    found = gate.census()
    assert found["exact"], found["problems"]
    assert gate.report()["shards"]["done"] == 0


def _lose(gate: Job, row: dict[str, Any], file: str) -> None:
    (gate.quarantine / row[file]).unlink()


def _spoil_key(gate: Job, row: dict[str, Any]) -> None:
    (gate.quarantine / row["sealed_key"]).write_bytes(b"x")


def _lose_by_receipt(gate: Job, row: dict[str, Any]) -> None:
    forge_receipt(gate, row)
    _lose(gate, row, "sealed_object")


@pytest.mark.parametrize(
    "damage",
    [
        lambda gate, row: _lose(gate, row, "sealed_object"),
        lambda gate, row: _lose(gate, row, "sealed_key"),
        _spoil_key,
        _lose_by_receipt,
    ],
    ids=["no-object", "no-key", "garbage-key", "forged-receipt"],
)
def test_only_what_the_vault_verifiably_holds_goes(
    job: MakeJob, tmp_path: Path, damage: Callable[[Job, dict[str, Any]], None]
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    (row,) = (row for row in gate.manifest() if row["shard"] == "00001.tar")
    damage(gate, row)
    (problem,) = gate.census()["problems"]
    assert "its sealed object or key is missing or changed" in problem
    before = landing(tmp_path / "landing")
    for extra in (("--dry-run",), ()):
        found = purged(gate, *extra, code=5)
        outcomes = {each["shard"]: each for each in found["shards"]}
        assert outcomes["00001.tar"]["outcome"] == "refused"
        assert "is not in the quarantine as its manifest says" in outcomes["00001.tar"]["problem"]
    after = landing(tmp_path / "landing")
    assert after["00001.tar"] == before["00001.tar"]
    assert after["00000.tar"] != before["00000.tar"], "others are purged all the same"
    assert "refused: 00001.tar" in purge(gate).stdout


def test_only_a_shard_that_is_still_what_was_judged(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    shard = tmp_path / "landing" / "00001.tar"
    status = shard.stat()
    raw = bytearray(shard.read_bytes())
    raw[512 + 200] ^= 1  # size and time stay
    shard.write_bytes(raw)
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "no longer what was judged" in problems["00001.tar"]
    assert shard.read_bytes() == bytes(raw)
    shard.write_bytes(raw + bytes(1024))
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "not, or no longer, the shard that was judged; run again" in problems["00001.tar"]


@pytest.mark.parametrize(("format", "file"), [("folder", "metadata.jsonl"), ("urls", "urls.csv")])
def test_only_a_shard_whose_rows_are_still_those_that_were_judged(
    job: MakeJob, tmp_path: Path, format: str, file: str
) -> None:
    gate = job(ZONES[format](tmp_path / "landing"))
    gate.report()
    path = tmp_path / "landing" / file
    status, rows = path.stat(), path.read_bytes()
    path.write_bytes(rows.replace(b"fine.example/9", b"nine.example/9"))
    assert path.read_bytes() != rows
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    folder_index._listing.cache_clear()  # a purge has a process of its own
    before = landing(tmp_path / "landing")
    (refused,) = purged(gate, code=5)["shards"]
    assert "range 0 is no longer what was judged" in refused["problem"]
    assert landing(tmp_path / "landing") == before


def test_a_shard_that_changes_while_it_is_looked_at_stays(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    before = landing(tmp_path / "landing")

    def changed_by_then(shard: Shard) -> list[storage.Entry]:
        with open(shard.path, "ab") as file:
            file.write(bytes(512))
        return files_of(shard)

    with monkeypatch.context() as patch:
        patch.setattr("ingestgate.pipeline.purge.preparing.files_of", changed_by_then)
        for each in purged(gate, code=5)["shards"]:
            assert "it is no longer what was judged; nothing of it" in each["problem"]
    after = landing(tmp_path / "landing")
    assert {name: after[name][:-512] for name in before} == before
    assert not list((gate.evidence / "purging").rglob("*.json"))


def test_nothing_goes_by_another_policy_than_it_was_judged_by(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    finer = tmp_path / "policy.yaml"
    finer.write_text("range_bytes: 20000\n")
    gate.report("--policy", str(finer))
    before = landing(tmp_path / "landing")
    for each in purged(gate, code=5)["shards"]:
        assert "is of another judging, or of another policy than was named" in each["problem"]
    assert landing(tmp_path / "landing") == before
    assert purged(gate, "--policy", str(finer))["assets"] == 3


def test_nothing_goes_before_it_was_committed(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    before = landing(tmp_path / "landing")
    gate.report("--dry-run")
    append_machine(str(gate.quarantine), "run.begun", {})
    for each in purged(gate, code=5)["shards"]:
        assert "has no receipt" in each["problem"]
    gate.report()
    (gate.output / "00000.tar").unlink()
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "admitted output is not there" in problems["00000.tar"]
    assert landing(tmp_path / "landing")["00000.tar"] == before["00000.tar"]


def test_an_empty_folder_that_nobody_purged_is_refused(job: MakeJob, tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "photos"
    gate = job(write_caught(folder))
    gate.report()
    purged(gate)
    assert "is an empty directory" in gate.elsewhere("other").run().stderr
    (folder / "README").write_text("later")
    assert "holds neither shards nor pictures" in gate.run().stderr


def test_what_was_rewrapped_is_held(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    vault = ("--quarantine", str(gate.quarantine))
    who = ("--identity", gate.identity, "--recipient", gate.recipient)
    assert gate.invoke("quarantine", "rewrap", *vault, *who).exit_code == 0
    assert gate.census()["exact"]
    assert purged(gate)["assets"] == 3
