"""The steps of `make demo-review`, through the command line, on the tests' own pictures."""

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestgate.assets.errors import SelfTestError
from ingestgate.pipeline import demo_review
from ingestgate.pipeline.cli import cli
from ingestgate.pipeline.demo_review import Answer, Call, walk
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.reviewers import registry
from tests.e2e.conftest import (
    EXACT,
    LISTED_HOST,
    LISTED_MD5,
    NEAR,
    SAMPLES,
    SOURCE,
    listed_pdq,
    write_webdataset,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_webdataset(tmp_path / "landing")
    (tmp_path / "partner").mkdir()
    for name, value in (("md5", LISTED_MD5), ("pdq", listed_pdq()), ("domain", LISTED_HOST)):
        lines = f"value,entry_id,category\n{value},entry-{name},A1\n"
        (tmp_path / "partner" / f"{name}.csv").write_text(lines)
    (tmp_path / "review").mkdir()
    monkeypatch.chdir(tmp_path / "review")
    return tmp_path / "review"


def call(arguments: Sequence[str]) -> Answer:
    result = CliRunner().invoke(cli, list(arguments))
    return Answer(result.exit_code, result.stdout, result.stderr)


def go(call: Call, said: list[str]) -> None:
    walk(["../landing/*.tar"], Path("../partner"), call, said.append, ("--workers", "1"))


def test_the_whole_way(folder: Path) -> None:
    said: list[str] = []
    go(call, said)
    text = "\n".join(said)
    assert text.count("(ended with 2, as it has to)") == 2, "nobody approves what they asked for"
    assert text.count("(ended with 5, as it has to)") == 1, "recalled: not to be trained on"
    assert "recalled: 00000.tar" in text
    assert "admitted: verified" in text
    assert LISTED_MD5 not in text
    # What later steps use comes from a step that was shown.
    for name, source in (("recipients.txt", "reviewers-secret.txt"), ("gate.pub", "gate.pem")):
        assert f" --to {source} > {name}\n" in text + "\n"
        assert (folder / name).read_text() in text
    assert "partner-2 is a copy of the partner's files" in text
    vault = str(folder / "vault")
    events = [line.event for line in read_log(vault)]
    names = dict(zip(range(len(events)), registry(vault).names, strict=True))
    by = [(event, names[number]) for number, event in enumerate(events) if names[number]]
    assert by == [
        ("reviewer.added", "ann"),
        ("reviewer.added", "ann"),
        ("asset.viewed", "rob"),
        ("asset.decided", "rob"),
        ("asset.decided", "rob"),
        ("release.requested", "rob"),
        ("release.approved", "ann"),
        ("manifest.listed", "rob"),
        ("asset.decided", "rob"),
        ("manifest.listed", "rob"),
        ("destroy.requested", "rob"),
        ("destroy.begun", "ann"),
        ("destroy.done", "ann"),
    ]
    machines = [event for number, event in enumerate(events) if not names[number]]
    run = ["run.begun", "manifests.sealed", "output.certified", "run.ended"]
    recall = [*run[:2], "recall.closed", *run[2:]]
    assert machines == [*run, "assets.put_up_for_review", "rescan.ended", *recall]
    listed = call(
        ("quarantine", "list", "--quarantine", "vault", "--key", "rob.pem", "--json")
    ).said
    rows = [json.loads(line) for line in listed.splitlines()]
    states = {row["sample"]: row["state"] for row in rows}
    assert (states["k03"], states["k05"], states["k07"]) == ("escalate", "confirmed", "released")
    assert sorted(states)[0] == "k00", "what the newer list names is sealed"
    assert {row["reason"] for row in rows if row["sample"] == "k03"} == {
        "matched",
        "matched_before",
    }
    admitted: list[str] = []
    for path in sorted((folder / "admitted").glob("*.tar")):
        with tarfile.open(path) as tar:
            admitted += [name.removesuffix(".jpg") for name in tar.getnames() if ".jpg" in name]
    assert admitted == [f"k{n:02d}" for n in range(SAMPLES) if n not in (0, EXACT, NEAR, SOURCE)]


def test_a_step_that_does_not_end_as_it_has_to_ends_the_walk(folder: Path) -> None:
    def wrong(arguments: Sequence[str]) -> Answer:
        answer = call(arguments)
        return answer._replace(code=0) if "--approve" in arguments else answer

    with pytest.raises(SelfTestError, match="ended with 0, not 2"):
        go(wrong, [])


def test_the_script_needs_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["demo_review", "--demo", str(tmp_path)])
    with pytest.raises(SystemExit, match="no demo there"):
        demo_review.main()
