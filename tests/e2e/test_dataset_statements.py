"""Croissant metadata, data statements and transparency reports, through the command line."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.signing_keys import generate_signing_key, public_line
from ingestgate.pipeline.certificate.statements import current_certificate
from ingestgate.pipeline.rescan.records import RescanRecord, write_rescan
from ingestgate.quarantine.audit import head_after, read_log
from ingestgate.quarantine.decisions import Decision, approve_release, decide, request_release
from ingestgate.quarantine.looking import looked_at
from ingestgate.quarantine.reviewers import Role, add_reviewer
from tests.e2e.conftest import LISTED_HOST, LISTED_MD5, WRITERS, Job

MakeJob = Callable[..., Job]


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path) -> Job:
    made = job(WRITERS["webdataset"](tmp_path / "landing"))
    generate_signing_key(str(tmp_path / "key.pem"))
    made.report("--certificate-key", str(tmp_path / "key.pem"))
    return made


def figures(gate: Job, *evidence: Path, year: str = "") -> dict[str, Any]:
    (kept, *_) = sorted((gate.evidence / "reports").iterdir())
    to = gate.root.parent / "published"
    folders = [str(path) for path in evidence or (gate.evidence,)]
    result = gate.invoke(
        *("report", "transparency", "--year", year or kept.name[:4], "--to", str(to)),
        *("--evidence", *folders, "--quarantine", str(gate.quarantine), "--json"),
    )
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    (page,) = to.glob(f"transparency-{found['year']}.html")
    assert json.loads(page.with_suffix(".json").read_text()) == found
    return found


def test_croissant_has_the_digest_of_each_shard(gate: Job, tmp_path: Path) -> None:
    import hashlib

    result = gate.invoke(
        *("report", "croissant", "--output", str(gate.output), "--name", "photos"),
        *("--to", str(tmp_path / "card")),
    )
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "card/croissant.json").read_text())
    assert card["@type"] == "sc:Dataset"
    assert "http://mlcommons.org/croissant/1.1" in card["conformsTo"]
    for item in card["distribution"]:
        content = (gate.output / item["contentUrl"]).read_bytes()
        assert item["@type"] == "cr:FileObject"
        assert item["sha256"] == hashlib.sha256(content).hexdigest()
        assert item["contentSize"] == f"{len(content)} B"
        assert item["encodingFormat"] == "application/x-tar"
    # Every term is of a vocabulary that the context names, or of its default.
    names = set(_terms(card)) - {"distribution", "@context"}
    prefixes = {name.partition(":")[0] for name in names if ":" in name}
    assert prefixes <= set(card["@context"])
    (activity,) = card["prov:wasGeneratedBy"]
    assert activity["prov:used"][0]["prov:label"] == "list partner, version 3"
    statement = (tmp_path / "card/data-statement.md").read_text()
    means = "by cryptographic digests (md5), perceptual hashes (pdq) and sources (domain)"
    assert means in card["rai:dataPreprocessingProtocol"][0]
    assert means in statement
    assert "| quarantined | 3 |" in statement
    assert "list `partner`, version 3" in statement
    assert LISTED_MD5 not in statement + json.dumps(card)


def _terms(value: Any) -> list[str]:
    if isinstance(value, list):
        return [term for item in value for term in _terms(item)]
    if not isinstance(value, dict):
        return []
    own = [key for key in value if not key.startswith("@")]
    own += [value["@type"]] if isinstance(value.get("@type"), str) else []
    return own + [t for k, v in value.items() if k != "@context" for t in _terms(v)]


def test_no_croissant_without_a_certificate(gate: Job, tmp_path: Path) -> None:
    shutil.rmtree(gate.output / "_ingestgate")
    result = gate.invoke(
        *("report", "croissant", "--output", str(gate.output), "--name", "photos"),
        *("--to", str(tmp_path / "card")),
    )
    assert result.exit_code == 5
    assert "no certificate" in result.stderr


def test_a_year_of_runs(gate: Job, tmp_path: Path) -> None:
    found = figures(gate)
    assert found["assets"] == {
        "screened": 12,
        "admitted": 9,
        "quarantined": 3,
        "unscannable": 0,
    }
    assert found["matched"]["by_tier"] == {"exact": 1, "near": 1, "source": 1}
    assert found["matched"]["by_category"] == {"A1": 3}
    assert found["matched"]["by_partner"] == {"list partner": 3}
    assert sum(month["quarantined"] for month in found["by_month"]) == 3
    assert found["decisions"]["false_positive_share"] is None
    assert figures(gate, year="2001")["assets"]["screened"] == 0


def test_what_was_counted_is_not_counted_again(gate: Job, tmp_path: Path) -> None:
    first = figures(gate)
    gate.report()  # nothing to do
    gate.run("--dry-run", "--no-resume")
    again = figures(gate)
    assert again["assets"] == first["assets"]
    assert again["runs"] == {"done": 2, "failed": 0}
    # A gate of its own, with the same input, has screened as much again.
    other = gate.elsewhere("other")
    other.report()
    assert figures(gate, gate.evidence, other.evidence)["assets"]["screened"] == 24
    (tmp_path / "link").symlink_to(gate.evidence)
    for name in (f"{gate.evidence}/", str(tmp_path / "link")):
        twice = gate.invoke(
            *("report", "transparency", "--year", "2026", "--to", str(tmp_path / "x")),
            *("--evidence", str(gate.evidence), name),
        )
        assert twice.exit_code == 2
        assert "a folder is named twice" in twice.stderr


def test_shards_of_a_run_that_left_no_report_count(gate: Job) -> None:
    shutil.rmtree(gate.evidence / "reports")  # as if killed before it could write one
    gate.report()
    assert figures(gate)["assets"]["screened"] == 12


def test_rescans(gate: Job) -> None:
    (kept,) = (gate.evidence / "reports").iterdir()
    ended = json.loads(kept.read_text())["ended_at"]
    record = RescanRecord(
        id="r1",
        lists=[{"id": "partner", "version": 4, "digest": "0" * 64, "issued": ended}],
        lists_digest="0" * 64,
        rows=12,
        matched=2,
        shards={},
        started_at=ended,
        ended_at=ended,
        tallies={"compared": 9},
    )
    write_rescan(str(gate.evidence), record)
    found = figures(gate)
    assert found["rescans"] == {
        "count": 1,
        "assets_held_against_newer_lists": 9,
        "matched": 2,
        "let_pass_by_suppressions": 0,
    }
    assert found["hours_from_list_update_to_use"]["count"] >= 1


def test_nothing_that_identifies_an_asset_is_published(gate: Job) -> None:
    figures(gate)
    text = "".join(path.read_text() for path in (gate.root.parent / "published").iterdir())
    for row in gate.ledger():
        for name in ("asset_id", "sha256", "md5", "member", "shard", "pdq"):
            assert row[name] not in text
    assert LISTED_HOST not in text
    assert "entry-md5" not in text
    assert "http" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert "<script" not in text


def _without_counts(report: dict[str, Any]) -> None:
    del report["since_last_report"]["counts"]


def _a_count_in_words(report: dict[str, Any]) -> None:
    report["since_last_report"]["tiers"] = {"exact": "one"}


def _without_issued(report: dict[str, Any]) -> None:
    del report["lists"][0]["issued"]


def _without_a_zone(report: dict[str, Any]) -> None:
    report["ended_at"] = "2026-01-01T00:00:00"


@pytest.mark.parametrize(
    "change",
    [dict.clear, _without_counts, _a_count_in_words, _without_issued, _without_a_zone],
    ids=lambda change: change.__name__,
)
def test_a_damaged_report_is_named(
    gate: Job, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    (kept,) = (gate.evidence / "reports").iterdir()
    report = json.loads(kept.read_text())
    change(report)
    kept.write_text(json.dumps(report))
    result = gate.invoke(
        *("report", "transparency", "--year", "2026", "--to", str(tmp_path / "x")),
        *("--evidence", str(gate.evidence)),
    )
    assert result.exit_code == 5
    assert f"{kept.name}: not a run's report" in result.stderr


def test_decisions_of_people_and_the_share_of_false_positives(gate: Job) -> None:
    keys = {name: Ed25519PrivateKey.generate() for name in ("alice", "bob")}
    root = str(gate.quarantine)
    for name, role in (("alice", Role.ADMINISTRATOR), ("bob", Role.REVIEWER)):
        public = public_line(keys[name].public_key())
        add_reviewer(root, name, public, role, keys["alice"])
    first, second, third = (row["asset_id"] for row in gate.manifest())
    decide(root, looked_at(root, [first, second, third]), Decision.CONFIRMED, "seen", keys["bob"])
    decide(
        root, looked_at(root, [first]), Decision.FALSE_POSITIVE, "on second thoughts", keys["bob"]
    )
    decide(root, looked_at(root, [second]), Decision.ESCALATE, "unsure", keys["bob"])
    # Of each asset the last counts; what is escalated is not settled.
    assert figures(gate)["decisions"] == {
        "confirmed": 1,
        "false_positive": 1,
        "escalate": 1,
        "released": 0,
        "suppressions_signed": 0,
        "false_positive_share": 0.5,
    }
    # A certificate made anew names the end of the log.
    shutil.rmtree(gate.output / "_ingestgate")
    shutil.rmtree(gate.evidence / "certificates")
    key = str(gate.root.parent / "key.pem")
    made = gate.invoke(
        *("certify", "--output", str(gate.output), "--evidence", str(gate.evidence)),
        *("--quarantine", root, "--lists", gate.lists, "--key", key),
    )
    assert made.exit_code == 0, made.output
    found = current_certificate(str(gate.output))
    assert found is not None
    named = found[1].predicate.evidence.audit_log
    assert named is not None
    lines = list(read_log(root))
    assert lines[-1].event == "output.certified", "says which certificate: it follows that end"
    end = head_after(lines[-2])
    assert (named.count, named.head) == (end.count, end.head)


def test_what_was_decided_again_since_it_was_released_is_not_released(
    gate: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: Ed25519PrivateKey.generate() for name in ("alice", "bob", "carol")}
    root = str(gate.quarantine)
    roles = (("alice", Role.ADMINISTRATOR), ("bob", Role.REVIEWER), ("carol", Role.APPROVER))
    for name, role in roles:
        add_reviewer(root, name, public_line(keys[name].public_key()), role, keys["alice"])
    both = sorted(row["asset_id"] for row in gate.manifest())[:2]
    seen = looked_at(root, both)
    decide(root, seen, Decision.FALSE_POSITIVE, "a beach", keys["bob"])
    approve_release(root, request_release(root, seen, "a beach", keys["bob"]).number, keys["carol"])
    assert figures(gate)["decisions"]["released"] == 2
    decide(root, looked_at(root, both[:1]), Decision.CONFIRMED, "no beach", keys["bob"])
    found = figures(gate)["decisions"]
    assert (found["released"], found["confirmed"], found["false_positive"]) == (1, 1, 1)
    # In a later year, too; what was decided in this one stays.
    later = "2999-01-01T00:00:00+00:00"
    monkeypatch.setattr("ingestgate.quarantine.audit_writing._now", lambda: later)
    decide(root, looked_at(root, both[1:]), Decision.CONFIRMED, "no beach", keys["bob"])
    found = figures(gate)["decisions"]
    assert (found["released"], found["confirmed"], found["false_positive"]) == (0, 1, 1)
    assert figures(gate, year="2999")["decisions"]["confirmed"] == 1
