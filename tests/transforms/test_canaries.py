"""Every run shows the canaries to each judge, and a judge that misses one judges nothing."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingestgate.assets.errors import SelfTestError
from ingestgate.assets.shard import Kind, Member
from ingestgate.assets.verdict import Verdict
from ingestgate.blocklists import canaries, tables
from ingestgate.blocklists.canaries import PICTURE
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.tables import SortedValues
from ingestgate.fingerprints.canary import canary_picture
from ingestgate.transforms import row_judging
from ingestgate.transforms.canaries import check_canaries
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Limits, Policy
from ingestgate.transforms.settings import open_judge
from tests.blocklists.conftest import to_ipc

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = {
    **{name: "01" * (len(value) // 2) for name, value in PICTURE.items()},
    "domain": "listed.example",
    "url": "http://other.example/listed",
    "expression": "23" * 32,
}


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A list with values of every signal type."""
    root = tmp_path_factory.mktemp("every")
    sources = []
    for name, value in VALUES.items():
        (root / name).write_text(value + "\n")
        sources.append((name, str(root / name)))
    compile_list(id="every", version=1, sources=sources, to=str(root / "lists"), issued=NOW)
    return str(root / "lists")


def judge(lists: str, policy: Policy | None = None) -> Judge:
    return Judge(policy or Policy(), ListSet.open(lists, now=NOW))


def test_all_are_caught_and_are_no_findings_outside(every: str) -> None:
    one = judge(every)
    check_canaries(one)
    checked = one.check(
        Member("x", 0, canary_picture(), Kind.PICTURE), {"url": "https://a.example"}
    )
    assert checked.evidence.findings == []
    assert checked.verdict is Verdict.ADMITTED


def test_they_are_shown_to_the_process_that_decodes_for_this_judge(
    every: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another judge of the same process has had one by other limits made meanwhile."""
    one = judge(every)
    judge(every, Policy(limits=Limits(max_pixels=10**6)))
    asked: list[object] = []
    many = type(one.fingerprinter).fingerprint_many

    def noting(self: Any, *arguments: Any, **more: Any) -> Any:
        asked.append(self)
        return many(self, *arguments, **more)

    monkeypatch.setattr(type(one.fingerprinter), "fingerprint_many", noting)
    check_canaries(one)
    assert asked
    assert all(each is one.fingerprinter for each in asked)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(limits=Limits(formats=("JPEG",))),
        Policy(limits=Limits(max_bytes=1, max_pixels=1, max_frames=1)),
        Policy(url_columns=("page_??l",), digest_columns={"sha512": ("*512*",)}),
        Policy(url_columns=(), digest_columns={}),
        Policy(digest_columns={"md5": ("hash",), "sha1": ("hash",)}),
        Policy(require_source=True, perceptual=()),
    ],
)
def test_no_policy_makes_a_sound_gate_miss_them(every: str, policy: Policy) -> None:
    check_canaries(judge(every, policy))


@pytest.mark.parametrize("pattern", ["[ab]url", "[!x]*url", "[]x]?[!a-z]", "u[[]", "[é-ü]RL[!]"])
def test_sources_are_tried_by_every_pattern_that_a_name_can_match(
    every: str, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    one = judge(every, Policy(url_columns=(pattern,)))
    check_canaries(one)
    monkeypatch.setattr(Matcher, "match_source", lambda *arguments, **more: [])
    with pytest.raises(SelfTestError, match="canary was not caught by what an asset says"):
        check_canaries(one)


def test_a_canary_that_cannot_be_tried_is_no_canary_that_was_caught(every: str) -> None:
    with pytest.raises(SelfTestError, match="no way to try its domain canary under this policy"):
        check_canaries(judge(every, Policy(url_columns=("[z-a]",))))


@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_canary_that_is_missing_from_a_list_is_missed(
    every: str, tmp_path: Path, name: str
) -> None:
    shutil.copytree(every, tmp_path / "lists")
    remove_canary(tmp_path / "lists" / "every-1", name)
    with pytest.raises(SelfTestError, match=f"list every version 1: its {name} canary was not"):
        check_canaries(judge(str(tmp_path / "lists")))
    with pytest.raises(SelfTestError, match=f"its {name} canary"):
        open_judge(Policy(), str(tmp_path / "lists"))


@pytest.mark.parametrize("missing", ["another", "every"])
def test_the_canaries_of_each_list_have_to_be_caught(
    every: str, tmp_path: Path, missing: str
) -> None:
    """That of one is none of the other, though both have it for the same picture."""
    lists = tmp_path / "lists"
    shutil.copytree(every, lists)
    (tmp_path / "md5").write_text("01" * 16 + "\n" + "02" * 16 + "\n")
    sources = [("md5", str(tmp_path / "md5"))]
    compile_list(id="another", version=1, sources=sources, to=str(lists), issued=NOW)
    check_canaries(judge(str(lists)))
    remove_canary(lists / f"{missing}-1", "md5")
    with pytest.raises(SelfTestError, match=f"list {missing} version 1: its md5 canary was not"):
        check_canaries(judge(str(lists)))


def test_the_digest_of_the_bytes_is_what_catches_a_canary_by_content(
    every: str, tmp_path: Path
) -> None:
    shutil.copytree(every, tmp_path / "lists")
    remove_canary(tmp_path / "lists" / "every-1", "sha512")
    with pytest.raises(SelfTestError, match="its sha512 canary was not caught by content"):
        check_canaries(judge(str(tmp_path / "lists"), Policy(digest_columns={})))


def remove_canary(directory: Path, name: str) -> None:
    """Puts another value in a canary's place, and restates the list so that it verifies."""
    path = directory / f"{name}.arrow"
    with pa.memory_map(str(path)) as mapped:
        batch = pa.ipc.open_file(mapped).get_batch(0)
        values, entries = batch.column(0).to_pylist(), batch.column(1).to_pylist()
    ids = open_entries(directory)
    kept = [i for i, entry in enumerate(entries) if ids[entry] != f"canary:{name}"]
    rows = [values[i] for i in kept]
    array = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    table = SortedValues(array, np.array([entries[i] for i in kept], np.uint32))
    content = to_ipc([tables.sorted_batch(table)])
    path.write_bytes(content)
    fields: dict[str, Any] = json.loads((directory / "list.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    fields["files"][path.name] = {"sha256": digest, "size": len(content)}
    fields["counts"][name] = len(rows)
    if fields["files"].pop(f"{name}.screen.arrow", None):  # which would not fit any more
        (directory / f"{name}.screen.arrow").unlink()
    (directory / "list.json").write_text(json.dumps(fields))


def open_entries(directory: Path) -> list[str]:
    with pa.memory_map(str(directory / "entries.arrow")) as mapped:
        ids: list[str] = pa.ipc.open_file(mapped).get_batch(0).column(0).to_pylist()
        return ids


@pytest.mark.parametrize(
    ("method", "way"),
    [
        ("match_digest", "by what an asset says of itself"),
        ("match_digest_each", "by content"),
        ("match_perceptual", "by what an asset says of itself"),
        ("match_perceptual_each", "by content"),
        ("match_source", "by what an asset says of itself"),
    ],
)
def test_a_matcher_that_finds_nothing_is_noticed(
    every: str, monkeypatch: pytest.MonkeyPatch, method: str, way: str
) -> None:
    real = Matcher.match_digest_each

    def nothing(self: Matcher, name: str, asked: Any, *arguments: Any, **more: Any) -> Any:
        if method == "match_digest_each":  # what one says of itself goes by it too
            return {} if arguments == (["content"],) else real(self, name, asked, *arguments)
        return [[] for _ in asked] if method == "match_perceptual_each" else []

    one = judge(every)
    monkeypatch.setattr(Matcher, method, nothing)
    with pytest.raises(SelfTestError, match=f"canary was not caught {way}"):
        check_canaries(one)


@pytest.mark.parametrize("broken", ["_check_sources", "_check_declared"])
def test_rows_that_are_not_looked_at_are_noticed(
    every: str, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    one = judge(every)
    monkeypatch.setattr(row_judging, broken, lambda *arguments: None)
    with pytest.raises(SelfTestError, match="canary was not caught in a row of a manifest"):
        check_canaries(one)


def test_lists_without_canaries_are_not_checked(every: str, tmp_path: Path) -> None:
    shutil.copytree(every, tmp_path / "lists")
    path = tmp_path / "lists" / "every-1" / "list.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "canaries": {}}))
    check_canaries(judge(str(tmp_path / "lists")))


def test_an_unknown_canary_of_a_newer_version_is_left_alone(every: str, tmp_path: Path) -> None:
    shutil.copytree(every, tmp_path / "lists")
    path = tmp_path / "lists" / "every-1" / "list.json"
    fields = json.loads(path.read_text())
    newer = {name: [f"canary2:{name}"] for name in fields["canaries"]}
    path.write_text(json.dumps({**fields, "canaries": newer}))
    check_canaries(judge(str(tmp_path / "lists")))


def test_the_sources_stand_on_names_that_nobody_can_own() -> None:
    assert all(".invalid/" in url for url in canaries.SOURCES.values())
