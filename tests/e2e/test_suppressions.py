"""False positives, from what two people decide to what later runs let pass, and say so."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import Result

from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.blocklists.suppressions import read_suppression
from ingestgate.pipeline import run
from tests.archives import make_tar
from tests.e2e.conftest import EXACT, NEAR, SOURCE, Job, content, write_webdataset
from tests.e2e.rescan.conftest import compiled, md5_of, pdq_of, rescan
from tests.pictures import jpeg

MakeJob = Callable[..., Job]


def entries(*more: tuple[str, str]) -> dict[str, list[tuple[str, str]]]:
    return {
        "md5": [("e-md5", md5_of(content(EXACT))), *more],
        "pdq": [("e-pdq", pdq_of(NEAR))],
        "domain": [("e-domain", "listed.example")],
    }


@dataclass
class Team:
    """A run's people and their suppression."""

    job: Job
    root: Path
    keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lines = {}
        for name in ("ann", "rob", "eve"):
            self.keys[name] = str(self.root / f"{name}.pem")
            lines[name] = generate_signing_key(self.keys[name])
        self.policy = self.root / "policy.yaml"
        trusted = {name: lines[name] for name in ("ann", "rob")}
        self.policy.write_text(json.dumps({"trust": {"suppression_keys": trusted}}))
        for name, role in (("ann", "administrator"), ("rob", "reviewer")):
            person = ("--name", name, "--public", lines[name], "--role", role)
            self.done("reviewers", "add", "--key", self.keys["ann"], *person)

    @property
    def folder(self) -> Path:
        return self.root / "suppressions"

    @property
    def honouring(self) -> tuple[str, ...]:
        return "--policy", str(self.policy), "--suppressions", str(self.folder)

    def __call__(self, *words: str) -> Result:
        cut = 2 if words[0] == "reviewers" else 1
        where = ("--quarantine", str(self.job.quarantine))
        return self.job.invoke("quarantine", *words[:cut], *where, *words[cut:])

    def done(self, *words: str) -> str:
        result = self(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def release(self, sample: str) -> str:
        """Two people release an asset; returns the request's number."""
        rows = [row for row in self.job.manifest() if row["sample"] == sample]
        asset = rows[-1]["asset_id"]
        by_rob = ("--key", self.keys["rob"])
        called = ("--decision", "false_positive", "--reason", "a beach", asset)
        self.done("decide", *by_rob, *called)
        asked = self.done("release", *by_rob, "--reason", "a beach", asset)
        number = asked.split()[-1]
        self.done("release", "--key", self.keys["ann"], "--approve", number)
        return number

    def sign(self, number: str, *names: str, to: str = "one.json", until: str = "") -> str:
        more = ("--until", until) if until else ()
        for name in names:
            by = ("--key", self.keys[name], "--release", number)
            said = self.done("suppress", *by, "--to", str(self.folder / to), *more)
        return said

    def suppress(self, sample: str, **options: Any) -> None:
        self.sign(self.release(sample), "rob", "ann", **options)


@pytest.fixture
def team(job: MakeJob, tmp_path: Path) -> Team:
    """A run that has caught three, without suppressions."""
    made = job(write_webdataset(tmp_path / "landing"))
    made.lists = compiled(tmp_path, 1, entries())
    team = Team(made, tmp_path)
    assert made.report("--policy", str(team.policy))["counts"]["quarantined"] == 3
    return team


def verdicts(job: Job) -> dict[str, str]:
    return {row["sample"]: row["verdict"] for row in job.ledger()}


def test_what_two_people_call_harmless_is_admitted_by_the_next_run(
    team: Team, tmp_path: Path
) -> None:
    job = team.job
    number = team.release(f"k{NEAR:02d}")
    assert "no run honours it before somebody else signs" in team.sign(number, "rob")
    refused = job.run(*team.honouring)
    assert (refused.exit_code, "signed by 1 of the 2" in refused.stderr) == (3, True)
    assert "confidential" in team.sign(number, "ann")

    key = str(tmp_path / "certificate.pem")
    public = tmp_path / "certificate.pub"
    public.write_text(generate_signing_key(key) + "\n")
    (tmp_path / "near.jpg").write_bytes(content(NEAR))
    asked = ("lists", "match", "--lists", job.lists, str(tmp_path / "near.jpg"), "--json")
    said = [json.loads(job.invoke(*asked, *more).stdout) for more in ((), team.honouring)]
    assert [each["verdict"] for each in said] == ["quarantined", "admitted"]
    assert [bool(each["findings"][0]["suppression"]) for each in said] == [False, True]
    assert "let pass by the suppression" in job.invoke(*asked[:-1], *team.honouring).stdout

    report = job.report(*team.honouring, "--certificate-key", key)
    found = verdicts(job)
    assert found[f"k{NEAR:02d}"] == "admitted"
    assert found[f"k{EXACT:02d}"] == found[f"k{SOURCE:02d}"] == "quarantined"
    read = read_suppression(str(team.folder / "one.json"))
    assert read
    (said,) = report["suppressions"]["in_force"]
    assert (said["id"], said["assets"], said["decided_by"]) == (read[1].id, 1, ["rob", "ann"])
    assert said["signed_by"] == ["ann", "rob"]
    assert report["suppressions"]["assets"] == {"admitted": 1}
    assert report["since_last_report"]["suppressed"] == {"admitted": 1}
    assert report["counts"]["quarantined"] == 2
    (row,) = (row for row in job.ledger() if row["sample"] == f"k{NEAR:02d}")
    assert (row["reason"], row["tier"]) == ("clean", None)
    assert {f["suppression"] for f in row["findings"]} == {read[1].id}

    census = job.census()
    assert (census["exact"], census["suppressed"]) == (True, 1)
    page = (job.evidence / "report.html").read_text()
    assert read[1].id in page
    envelope = json.loads((job.output / "_ingestgate" / "certificate.dsse.json").read_text())
    screenings = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["screenings"]
    ((one,),) = [screening["suppressions"] for screening in screenings]
    assert (one["id"], one["assets"], one["signedBy"]) == (read[1].id, 1, ["ann", "rob"])
    for text in (page, json.dumps(report), json.dumps(screenings)):
        assert row["sha256"] not in text
    assert job.invoke("verify", str(job.output), "--key", str(public)).exit_code == 0
    card = ("--output", str(job.output), "--name", "photos", "--to", str(tmp_path / "card"))
    assert job.invoke("report", "croissant", *card).exit_code == 0
    statement = (tmp_path / "card" / "data-statement.md").read_text()
    assert f"1 asset admitted by signed suppression `{read[1].id}`" in statement
    fragment = (tmp_path / "card" / "croissant.json").read_text()
    assert "1 were admitted though they matched, by signed suppressions" in fragment
    again = job.invoke(
        *("certify", "--output", str(job.output), "--evidence", str(job.evidence)),
        *("--lists", job.lists, "--key", key, *team.honouring),
    )
    assert again.exit_code == 0, again.output

    figures = job.invoke(
        *("report", "transparency", "--year", report["ended_at"][:4], "--json"),
        *("--evidence", str(job.evidence), "--quarantine", str(job.quarantine)),
        *("--to", str(tmp_path / "figures")),
    )
    assert figures.exit_code == 0, figures.output
    counted = json.loads(figures.stdout)
    assert counted["let_pass_by_suppressions"] == 1
    assert counted["decisions"]["suppressions_signed"] == 1
    assert job.report(*team.honouring)["shards"]["done"] == 0, "the same rules: it resumes"
    assert job.report("--policy", str(team.policy))["counts"]["quarantined"] == 3


def test_a_new_entry_for_the_same_bytes_still_quarantines(team: Team, tmp_path: Path) -> None:
    team.suppress(f"k{EXACT:02d}")
    assert team.job.report(*team.honouring)["counts"]["quarantined"] == 2
    sha1 = hashlib.sha1(content(EXACT), usedforsecurity=False).hexdigest()
    compiled(tmp_path, 2, entries() | {"sha1": [("new", sha1)]})
    report = team.job.report(*team.honouring)
    assert report["counts"]["quarantined"] == 3
    (row,) = (row for row in team.job.ledger() if row["sample"] == f"k{EXACT:02d}")
    assert {f["entry_id"]: bool(f["suppression"]) for f in row["findings"]} == {
        "e-md5": True,
        "new": False,
    }
    assert report["suppressions"]["assets"] == {"quarantined": 1}
    assert team.job.census()["suppressed"] == 0


def test_what_only_looks_the_same_is_caught(team: Team, tmp_path: Path) -> None:
    team.suppress(f"k{NEAR:02d}")
    alike = make_tar([("twin.jpg", jpeg(NEAR)), ("twin.json", b"{}")])
    both = [("pair.0.jpg", content(NEAR)), ("pair.1.jpg", jpeg(NEAR)), ("pair.json", b"{}")]
    (tmp_path / "landing" / "00002.tar").write_bytes(alike)
    (tmp_path / "landing" / "00003.tar").write_bytes(make_tar(both))
    team.job.report(*team.honouring)
    rows = {row["member"]: (row["verdict"], row["reason"]) for row in team.job.ledger()}
    assert rows["twin.jpg"] == ("quarantined", "matched")
    assert rows["pair.1.jpg"] == ("quarantined", "matched")
    assert rows["pair.0.jpg"] == ("quarantined", "companion_matched")
    assert rows[f"k{NEAR:02d}.jpg"] == ("admitted", "clean")


def test_a_tampered_foreign_or_ended_one_is_refused_or_not_honoured(team: Team) -> None:
    number = team.release(f"k{NEAR:02d}")
    team.sign(number, "rob", "ann", to="ends.json", until="2999-01-01")
    whole = json.loads((team.folder / "ends.json").read_text())
    broken = {**whole, "signatures": whole["signatures"][:1] * 2}
    before = team.job.state()
    for changed, reason in (
        (broken, "signed by 1 of the 2 keys"),
        ({**whole, "payload": whole["payload"][:-8] + "AAAA" + whole["payload"][-4:]}, ""),
        ({}, "not a DSSE envelope"),
    ):
        (team.folder / "ends.json").write_text(json.dumps(changed))
        refused = team.job.run(*team.honouring)
        assert (refused.exit_code, reason in refused.stderr) == (3, True), refused.output
    (team.folder / "ends.json").write_text(json.dumps(whole))
    unnamed = team.job.run("--suppressions", str(team.folder))
    assert (unnamed.exit_code, "name the keys of those who may sign" in unnamed.stderr) == (3, True)
    assert team.job.state() == before, "nothing was read or written"
    inside = team.job.evidence / "suppressions"
    team.folder.rename(inside)
    refused = team.job.run("--policy", str(team.policy), "--suppressions", str(inside))
    assert (refused.exit_code, "folders of their own" in refused.stderr) == (2, True)
    landing = Path(team.job.inputs[0]).parent / "suppressions.tar"
    (inside / "ends.json").rename(landing)
    refused = team.job.run("--policy", str(team.policy), "--suppressions", str(landing))
    assert (refused.exit_code, "the suppressions" in refused.stderr) == (2, True)


def test_one_that_has_ended_is_not_honoured_and_named(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = team.release(f"k{NEAR:02d}")
    team.sign(number, "rob", "ann", until="2999-01-01")
    assert team.job.report(*team.honouring)["counts"]["quarantined"] == 2

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(2999, 1, 2, tzinfo=UTC)

    monkeypatch.setattr(run, "datetime", Later)
    report = team.job.report(*team.honouring)
    assert report["counts"]["quarantined"] == 3
    assert report["suppressions"]["in_force"] == []
    assert [one["until"] for one in report["suppressions"]["expired"]] == [
        "2999-01-01T23:59:59+00:00"
    ]
    shown = team.job.invoke(
        *("run", "--input", *team.job.inputs, *team.job.folders, "--lists", team.job.lists),
        *("--recipient", team.job.recipient, "--workers", "1", *team.honouring),
    )
    assert "it is not honoured" in " ".join(shown.stdout.split())


def test_a_rescan_honours_them_and_finds_what_they_release(team: Team, tmp_path: Path) -> None:
    job = team.job
    team.suppress(f"k{NEAR:02d}")
    found = rescan(job, *team.honouring)
    assert (found["matched"], found["released"], found["recalled"]) == (0, 1, [])
    report = job.report(*team.honouring)
    assert report["shards"]["done"] == 1, "only the shard that it lies in is judged anew"
    assert report["counts"]["quarantined"] == 2

    found = rescan(job, *team.honouring)
    assert (found["matched"], found["suppressed"], found["recalled"]) == (0, 1, [])
    compiled(tmp_path, 2, entries(("new", md5_of(content(NEAR)))))
    found = rescan(job, *team.honouring)
    assert (found["matched"], found["suppressed"]) == (1, 1)


def test_a_rescan_without_them_recalls_what_they_let_pass(team: Team, tmp_path: Path) -> None:
    team.suppress(f"k{NEAR:02d}")
    team.job.report(*team.honouring)
    compiled(tmp_path, 2, entries(("harmless", "0123456789abcdef" * 2)))
    found = rescan(team.job, "--policy", str(team.policy), "--since", "1")
    assert (found["to_judge_again"], found["recalled"]) == (1, ["00000.tar"])
    team.job.report("--policy", str(team.policy), "--recall")
    assert verdicts(team.job)[f"k{NEAR:02d}"] == "quarantined"
