"""``ingestgate lists match``: the same answers as a run's, without a landing zone."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ingestgate.assets.shard import Kind, Member, Sample
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.pipeline.cli import cli
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import open_judge
from tests.pictures import encoded, jpeg, picture

EXACT, NEAR, CLEAN = 1, 2, 3


def pdq(seed: int) -> str:
    views = Fingerprinter(["pdq"], DecodeLimits()).fingerprint(jpeg(seed)).perceptual["pdq"]
    return views[0].hashes[:32].hex()


@pytest.fixture
def lists(tmp_path: Path) -> str:
    values = {
        "md5": hashlib.md5(jpeg(EXACT), usedforsecurity=False).hexdigest(),
        "pdq": pdq(NEAR),
        "domain": "listed.example",
        "url": "https://some.example/listed/page",
    }
    sources = []
    for name, value in values.items():
        (tmp_path / name).write_text(f"value,entry_id,category\n{value},entry-{name},A1\n")
        sources.append(f"{name}={tmp_path / name}")
    to = str(tmp_path / "lists")
    made = invoke("lists", "compile", "--id", "p", "--list-version", "4", "--to", to, *sources)
    assert made.exit_code == 0, made.output
    return to


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def matched(lists: str, *subjects: str) -> list[dict[str, Any]]:
    result = invoke("lists", "match", "--lists", lists, "--json", *subjects)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_a_file_by_its_digest(lists: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", jpeg(EXACT))
    (answer,) = matched(lists, path)
    (found,) = answer.pop("findings")
    assert answer == {"file": path, "verdict": "quarantined", "reason": "matched"}
    assert found == {
        "list_id": "p",
        "list_version": 4,
        "entry_id": "entry-md5",
        "category": "A1",
        "signal_type": "md5",
        "kind": "digest",
        "view": "content",
        "distance": 0,
        "threshold": 0,
        "action": "quarantine",
        "feedback": "",
        "suppression": "",
    }


def test_a_file_by_what_it_looks_like_turned_and_recompressed(lists: str, tmp_path: Path) -> None:
    turned = picture(NEAR).transpose(Image.Transpose.ROTATE_90)
    path = write(tmp_path / "a.jpg", encoded(turned, quality=60))
    (answer,) = matched(lists, path)
    assert answer["verdict"] == "quarantined"
    (found,) = answer["findings"]
    assert (found["signal_type"], found["view"]) == ("pdq", "full/r270")
    assert 0 < found["distance"] <= found["threshold"] == 31


def test_the_policy_decides(lists: str, tmp_path: Path) -> None:
    turned = picture(NEAR).transpose(Image.Transpose.ROTATE_90)
    path = write(tmp_path / "a.jpg", encoded(turned, quality=60))
    policy = write(tmp_path / "policy.yaml", b"lists: {p: {thresholds: {pdq: 0}}}\n")
    (answer,) = matched(lists, "--policy", policy, path)
    assert (answer["verdict"], answer["reason"]) == ("admitted", "clean")
    policy = write(tmp_path / "policy.yaml", b"lists: {p: {action: observe}}\n")
    (answer,) = matched(lists, "--policy", policy, path)
    assert (answer["verdict"], len(answer["findings"])) == ("admitted", 1)


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://LISTED.example/x.jpg", "entry-domain"),
        ("http:\\\\img.listed.example.\\x", "entry-domain"),
        ("http://some.example/listed/page?x=1", "entry-url"),
    ],
)
def test_a_source(lists: str, url: str, entry: str) -> None:
    (answer,) = matched(lists, url)
    assert (answer["url"], answer["verdict"]) == (url, "quarantined")
    assert [found["entry_id"] for found in answer["findings"]] == [entry]


def test_a_source_without_a_scheme_has_to_be_called_one(lists: str) -> None:
    result = invoke("lists", "match", "--lists", lists, "img.listed.example/x")
    assert result.exit_code == 2
    assert "there is no such file; a source without a scheme needs --url" in result.output
    (answer,) = matched(lists, "--url", "img.listed.example/x")
    assert answer["verdict"] == "quarantined"


def test_what_cannot_be_checked_is_not_clean(lists: str, tmp_path: Path) -> None:
    cut = write(tmp_path / "cut.jpg", jpeg(CLEAN)[:-200])
    flat = io.BytesIO()
    Image.new("RGB", (200, 200), (9, 9, 9)).save(flat, "JPEG")
    blank = write(tmp_path / "flat.jpg", flat.getvalue())
    answers = matched(lists, cut, blank)
    assert [(one["verdict"], one["reason"]) for one in answers] == [
        ("unscannable", "truncated"),
        ("unscannable", "low_quality"),
    ]
    (bad,) = matched(lists, "http://[::bad")
    assert (bad["verdict"], bad["reason"]) == ("unscannable", "bad_source")


def test_a_listed_host_is_caught_though_its_path_cannot_be_decoded(
    lists: str, tmp_path: Path
) -> None:
    (tmp_path / "urls").write_text("https://pages.listed.example/page\n")
    command = ("lists", "compile", "--id", "q", "--list-version", "1", "--to", lists)
    assert invoke(*command, f"url={tmp_path / 'urls'}").exit_code == 0
    path = "%" + "25" * 40
    url = f"http://pages.listed.example/{path}"
    caught, held = matched(lists, url, f"http://some.example/{path}")
    assert (caught["verdict"], caught["reason"]) == ("quarantined", "matched")
    assert [found["entry_id"] for found in caught["findings"]] == ["entry-domain"]
    assert (held["verdict"], held["reason"]) == ("unscannable", "bad_source")
    member = Member("a.jpg", 0, jpeg(CLEAN), Kind.PICTURE)
    (row,) = open_judge(Policy(), lists).judge("shard", Sample("key", (member,), {"url": url}))
    assert (row.verdict, row.reason, row.tier) == ("quarantined", "matched", "source")


def test_for_people_it_names_entries_and_never_values(lists: str, tmp_path: Path) -> None:
    near = write(tmp_path / "a.jpg", encoded(picture(NEAR), quality=60))
    clean = write(tmp_path / "b.jpg", jpeg(CLEAN))
    result = invoke("lists", "match", "--lists", lists, near, clean, "https://listed.example/")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"{near}: quarantined (matched)"
    assert lines[1].startswith("  p version 4, entry entry-pdq, category A1: pdq, full/upright, ")
    assert lines[1].endswith(" of 31, quarantine")
    assert lines[2] == f"{clean}: admitted (clean)"
    assert lines[4] == "  p version 4, entry entry-domain, category A1: domain, source, quarantine"
    assert pdq(NEAR) not in result.output


def test_refused_lists_are_refused(lists: str, tmp_path: Path) -> None:
    (tmp_path / "lists" / "p-4" / "list.json").write_text("{}")
    path = write(tmp_path / "a.jpg", jpeg(EXACT))
    assert invoke("lists", "match", "--lists", lists, path).exit_code == 3
