"""A run that misses a canary ends with 4, and admits nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import SelfTestError
from ingestgate.blocklists.matching import Matcher
from ingestgate.fingerprints.canary import canary_picture
from ingestgate.transforms import judge as judge_step
from ingestgate.transforms import settings
from tests.archives import make_tar
from tests.e2e.conftest import WRITERS, Job

MakeJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def _judges_are_opened_anew() -> Any:
    settings._open_judge.cache_clear()
    yield
    settings._open_judge.cache_clear()


def test_they_are_in_no_output_and_no_count(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    report = gate.report()
    (used,) = report["lists"]
    assert used["canaries"] == ["domain", "md5", "pdq"]
    assert used["entries"] == {"domain": 1, "md5": 1, "pdq": 1}
    assert sum(report["counts"].values()) == 12
    assert not [row for row in gate.ledger() if "canary" in json.dumps(row, default=repr)]
    assert "canary" not in json.dumps(gate.manifest())
    assert gate.census()["exact"]


def test_what_the_policy_keeps_from_being_looked_for_is_said(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    assert gate.report()["not_searched"] == {}
    (tmp_path / "policy.yaml").write_text("url_columns: []\n")
    report = gate.report("--policy", str(tmp_path / "policy.yaml"))
    assert report["not_searched"] == {"partner": ["domain"]}
    assert "List partner holds domain entries" in (gate.evidence / "report.html").read_text()


def test_the_canary_picture_itself_is_no_match(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    made = make_tar([("a.png", canary_picture()), ("a.txt", b"a bird")])
    (tmp_path / "landing" / "0.tar").write_bytes(made)
    gate = job(str(tmp_path / "landing" / "*.tar"))
    assert gate.report()["counts"] == {"admitted": 1, "quarantined": 0, "unscannable": 0}
    assert gate.ledger()[0]["findings"] == []


@pytest.mark.parametrize("matcher", ["match_digest", "match_perceptual", "match_source"])
def test_a_matcher_that_misses_is_a_failed_run(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matcher: str
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    monkeypatch.setattr(Matcher, matcher, lambda *arguments, **more: [])
    monkeypatch.setattr(settings, "lists_self_test", lambda: None)
    result = gate.run()
    assert result.exit_code == 4
    assert "canary was not caught" in result.stderr
    assert not gate.root.exists()


def test_a_worker_that_misses_is_a_failed_run(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))

    def opened(*arguments: Any) -> Any:
        """The driver has opened its own; this is what a worker calls."""
        raise SelfTestError("list partner version 3: its md5 canary was not caught")

    monkeypatch.setattr(judge_step, "open_judge", opened)
    result = gate.run()
    assert result.exit_code == 4
    assert "its md5 canary was not caught" in json.loads(result.stdout)["error"]
    assert not [path for path in gate.output.rglob("*") if path.is_file()]
    assert not gate.ledger()


def test_a_list_without_canaries_is_used_and_said_to_have_none(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    shutil.copytree(gate.lists, tmp_path / "own")
    gate.lists = str(tmp_path / "own")
    path = tmp_path / "own" / "partner-3" / "list.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "canaries": {}}))
    assert gate.report()["lists"][0]["canaries"] == []
    assert "no canaries" in (gate.evidence / "report.html").read_text()
    inspected = gate.invoke("lists", "inspect", "--lists", gate.lists)
    assert "partner: no canaries for domain, md5, pdq" in inspected.stdout
