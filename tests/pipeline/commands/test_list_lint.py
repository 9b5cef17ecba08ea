"""``ingestgate lists lint``."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.pipeline.cli import cli
from tests.pictures import encoded, jpeg, picture


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def pdq(seed: int, flip: int = 0) -> str:
    views = Fingerprinter(["pdq"], DecodeLimits()).fingerprint(jpeg(seed)).perceptual["pdq"]
    value = int.from_bytes(views[0].hashes[:32]) ^ ((1 << flip) - 1)
    return f"{value:064x}"


@pytest.fixture
def benign(tmp_path: Path) -> str:
    """Ten pictures, and a file that is none."""
    folder = tmp_path / "benign"
    folder.mkdir()
    for seed in range(10):
        (folder / f"{seed}.jpg").write_bytes(jpeg(seed))
    (folder / "notes.txt").write_text("no picture")
    return str(folder)


def lint(tmp_path: Path, *extra: str, **values: str) -> Result:
    sources = []
    for name, value in values.items():
        (tmp_path / name).write_text(value + "\n")
        sources.append(f"{name}={tmp_path}/{name}")
    lists = str(tmp_path / "lists")
    arguments = ("lists", "compile", "--id", "p", "--list-version", "1", "--to", lists)
    (tmp_path / "psl").write_text("com\n")
    given = ("--public-suffixes", str(tmp_path / "psl"), "--expires", "2999-01-01")
    made = invoke(*arguments, *given, *sources)
    assert made.exit_code == 0, made.output
    return invoke("lists", "lint", "--lists", lists, *extra)


def test_nothing_to_say(tmp_path: Path) -> None:
    result = lint(tmp_path, md5="01" * 16, pdq="5a" * 32)
    assert (result.exit_code, result.stdout) == (0, "1 list: 0 refused, 0 remarks\n")


def test_a_public_suffix_is_refused(tmp_path: Path) -> None:
    result = lint(tmp_path, domain="co.uk")
    assert result.exit_code == 3
    assert "refused: list p version 1: public-suffix: domain: 1 public suffixes" in result.stdout
    assert "1 problem;" in result.stderr
    assert "co.uk" not in result.output
    lists = str(tmp_path / "lists")
    given = ("--public-suffixes", str(tmp_path / "psl"))
    assert invoke("lists", "lint", "--lists", lists, *given).exit_code == 0


def test_a_threshold_that_matches_benign_pictures_is_refused(tmp_path: Path, benign: str) -> None:
    arguments = ("--benign", benign, "--json")
    result = lint(tmp_path, *arguments, pdq=f"{pdq(3, flip=20)}\n{'5a' * 32}")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert found["benign"] == {"matched": 10, "unreadable": 1}
    (problem,) = found["problems"]
    assert (problem["check"], problem["refused"]) == ("benign", True)
    assert "pdq: matches 1 of 10 benign pictures (10.00%, allowed 0.10%)" in problem["message"]
    assert "a threshold of 19 or less would do" in problem["message"]
    allowed = invoke(
        *("lists", "lint", "--lists", str(tmp_path / "lists")), *arguments, "--max-share", "0.1"
    )
    assert allowed.exit_code == 0
    assert json.loads(allowed.stdout)["problems"][0]["refused"] is False


def test_thresholds_are_those_of_the_policy(tmp_path: Path, benign: str) -> None:
    values = {"pdq": f"{pdq(3, flip=20)}\n{(1 << 40) - 1:064x}"}
    assert lint(tmp_path, **values).exit_code == 0
    policy = tmp_path / "policy.yaml"
    policy.write_text("lists: {p: {thresholds: {pdq: 40}}}\n")
    wide = invoke("lists", "lint", "--lists", str(tmp_path / "lists"), "--policy", str(policy))
    assert wide.exit_code == 3
    assert "never-match: pdq: 1 hashes as near as the threshold" in wide.stdout
    assert "pdq: threshold 40, wider than the usual 31" in wide.stdout
    policy.write_text("lists: {p: {thresholds: {pdq: 19}}}\n")
    arguments = ("lists", "lint", "--lists", str(tmp_path / "lists"), "--benign", benign)
    assert invoke(*arguments).exit_code == 3
    assert invoke(*arguments, "--policy", str(policy)).exit_code == 0


def test_a_listed_benign_picture_is_refused(tmp_path: Path, benign: str) -> None:
    digest = hashlib.md5(jpeg(4), usedforsecurity=False).hexdigest()
    result = lint(tmp_path, "--benign", benign, md5=digest)
    assert result.exit_code == 3
    assert "md5: matches 1 of 10 benign pictures" in result.stdout
    assert "entries are these very pictures" in result.stdout
    assert "benign sample: 10 pictures, 1 unreadable" in result.stdout
    assert digest not in result.output


def test_a_sample_without_pictures_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.png").write_bytes(encoded(picture(1), "PNG")[:100])
    result = lint(tmp_path, "--benign", str(tmp_path / "empty"), md5="01" * 16)
    assert result.exit_code == 2
    assert "holds no picture" in result.stderr
