import json
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.consumers import consumers_of, read_consumers
from ingestgate.pipeline.recall_notices import RecallNotice, write_recall
from ingestgate.pipeline.recalling import closed_path

ONE, TWO = "1a" * 32, "2b" * 32
LISTS = [{"id": "partner", "version": 2, "digest": "0" * 64}]


def recall(root: Path, id: str, *shards: tuple[str, str], closed_at: str = "") -> str:
    """A notice in the evidence of a dataset at ``root``; returns the evidence."""
    output, evidence = str(root / "admitted"), str(root / "evidence")
    entries = [{"name": name, "sha256": sha256, "shard": name} for name, sha256 in shards]
    notice = RecallNotice(output, "2026-03-01T00:00:00+00:00", LISTS, entries)
    write_recall(output, evidence, id, notice, None)
    if closed_at:
        path = Path(closed_path(evidence, id))
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"id": id, "closed_at": closed_at}))
    return evidence


def found(tmp_path: Path, evidence: list[str], **record: str) -> list[str]:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps({"run": "r", **record}) + "\n")
    return [name for one in consumers_of(str(path), evidence) for name in one["recalls"]]


def test_a_closed_recall_has_readers_as_well(tmp_path: Path) -> None:
    evidence = [recall(tmp_path, "a", ("0.tar", ONE), closed_at="2026-03-05T12:00:00+00:00")]
    assert found(tmp_path, evidence, sha256=ONE, time="2026-09-01") == ["a"], "a copy's bytes"
    assert found(tmp_path, evidence, shard="0.tar") == ["a"]
    assert found(tmp_path, evidence, shard="0.tar", time="2026-03-05") == ["a"]
    assert found(tmp_path, evidence, shard="0.tar", time="spring") == ["a"], "nobody can tell"
    assert found(tmp_path, evidence, shard="0.tar", time="2026-03-06") == [], "mended by then"


@pytest.mark.parametrize("sha256", [ONE.upper(), f"sha256:{ONE}"])
def test_a_digest_is_known_however_it_is_written(tmp_path: Path, sha256: str) -> None:
    evidence = [recall(tmp_path, "a", ("0.tar", ONE))]
    assert found(tmp_path, evidence, sha256=sha256, shard="moved.tar") == ["a"]
    assert found(tmp_path, evidence, sha256=TWO, shard="0.tar") == [], "the digest decides"


@pytest.mark.parametrize("sha256", ["1a1a", "x" * 64, "sha1:" + ONE])
def test_what_is_no_digest_is_refused(tmp_path: Path, sha256: str) -> None:
    evidence = [recall(tmp_path, "a", ("0.tar", ONE))]
    with pytest.raises(UsageError, match="record 1: `sha256` is not one"):
        found(tmp_path, evidence, sha256=sha256, shard="0.tar")


@pytest.mark.parametrize(
    ("shard", "known"),
    [
        *(("b/0.tar", True), ("admitted/b/0.tar", True), ("s3://x/admitted/b/0.tar", True)),
        *(("./b//0.tar", True), ("0.tar", False), ("b/10.tar", False), ("bb/0.tar", False)),
        ("folder/k01.jpg", True),
    ],
)
def test_a_shard_is_known_by_the_end_of_its_path(tmp_path: Path, shard: str, known: bool) -> None:
    evidence = [recall(tmp_path, "a", ("b/0.tar", ONE), ("folder", TWO))]
    assert found(tmp_path, evidence, shard=shard) == (["a"] if known else [])


def test_every_recall_is_named(tmp_path: Path) -> None:
    evidence = recall(tmp_path, "a", ("0.tar", ONE))
    recall(tmp_path, "b", ("0.tar", TWO))
    assert found(tmp_path, [evidence], shard="0.tar") == ["a", "b"]
    assert found(tmp_path, [evidence], shard="0.tar", sha256=ONE) == ["a"]


def test_datasets_tell_shards_of_one_name_apart(tmp_path: Path) -> None:
    cats = recall(tmp_path / "cats", "a", ("0.tar", ONE))
    dogs = recall(tmp_path / "dogs", "b", ("0.tar", TWO))
    both = [cats, dogs]
    assert found(tmp_path, both, shard="0.tar") == ["a", "b"]
    assert found(tmp_path, both, shard="0.tar", dataset="dogs/admitted") == ["b"]
    assert found(tmp_path, both, shard="0.tar", dataset=str(tmp_path / "cats/admitted/")) == ["a"]
    # Rather a run too many: who calls it something else has read one of them.
    assert found(tmp_path, both, shard="0.tar", dataset="pets") == ["a", "b"]


def test_a_dataset_without_recalls_is_another(tmp_path: Path) -> None:
    cats = recall(tmp_path / "cats", "a", ("0.tar", ONE))
    dogs = tmp_path / "dogs" / "evidence"
    dogs.mkdir(parents=True)
    said: dict[str, Any] = {"paths": {"output": str(tmp_path / "dogs" / "admitted")}}
    (dogs / "report.json").write_text(json.dumps(said))
    assert found(tmp_path, [cats, str(dogs)], shard="0.tar", dataset="dogs/admitted") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("run,shard\nr," + "x" * 200_000, "2: not CSV: field larger than field limit"),
        ('{"run": ' + "[" * 200_000, "1: not a JSON object"),
    ],
    ids=["csv", "json"],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "runs"
    path.write_text(content)
    with pytest.raises(UsageError, match=reason):
        list(read_consumers(str(path)))


def test_only_line_ends_end_a_record(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    for content in ('run,shard\r\nr,"a\u2028b"\r\n', '{"run": "r", "shard": "a\u2028b"}\r\n'):
        path.write_bytes(content.encode())
        (record,) = read_consumers(str(path))
        assert (record["run"], record["shard"]) == ("r", "a\u2028b")


def test_a_name_that_utf8_cannot_hold_is_made_readable(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    path.write_text('{"run": "\\ud800", "shard": "0.tar"}')
    (record,) = read_consumers(str(path))
    assert record["run"] == "\\ud800"
