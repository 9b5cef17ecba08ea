"""Dry runs over what a real run has committed: evidence stays as it is."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from ingestgate.assets.signing_keys import generate_signing_key
from tests.e2e.conftest import WRITERS, Job, write_webdataset

MakeJob = Callable[..., Job]
OTHER_RULES = "lists: {partner: {action: observe}}\n"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    key, public = str(tmp_path / "key"), tmp_path / "key.pub"
    public.write_text(generate_signing_key(key) + "\n")
    return key, str(public)


def on_record(gate: Job) -> dict[str, bytes]:
    """What a real run has left: all but reports, which every run writes, and a dry run's own."""
    apart = {gate.evidence / name for name in ("report.json", "report.html", "reports", "dry-run")}
    apart.add(gate.evidence / "contexts")  # those of a dry run come to them
    return {
        str(path.relative_to(gate.root)): path.read_bytes()
        for path in gate.root.rglob("*")
        if path.is_file() and not apart & {path, *path.parents}
    }


@pytest.mark.parametrize("rules", ["same", "other"])
@pytest.mark.parametrize("format", sorted(WRITERS))
def test_what_is_on_record_stays(
    job: MakeJob, tmp_path: Path, keys: tuple[str, str], format: str, rules: str
) -> None:
    gate = job(WRITERS[format](tmp_path / "landing"))
    gate.report("--certificate-key", keys[0])
    before = on_record(gate)
    (tmp_path / "policy.yaml").write_text(OTHER_RULES)
    other = ("--policy", str(tmp_path / "policy.yaml")) if rules == "other" else ()
    report = gate.report("--dry-run", "--no-resume", *other)
    assert report["shards"]["done"] == report["shards"]["total"]
    caught = 3 if rules == "same" else 0
    assert report["counts"] == {"admitted": 12 - caught, "quarantined": caught, "unscannable": 0}
    assert on_record(gate) == before
    verified = verify(gate, keys[1])
    assert verified.exit_code == 0, verified.output
    # What it judged can be read as any ledger.
    apart = gate.invoke("ledger", "--evidence", str(gate.evidence / "dry-run"), "--json")
    assert len(apart.stdout.splitlines()) == 12
    assert apart.stdout.count('"quarantined"') == caught


def verify(gate: Job, public: str) -> Result:
    evidence = ("--evidence", str(gate.evidence), "--quarantine", str(gate.quarantine))
    return gate.invoke("verify", str(gate.output), "--key", public, *evidence)


def test_a_real_run_takes_over_what_a_dry_run_judged_apart(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    (tmp_path / "policy.yaml").write_text(OTHER_RULES)
    other = ("--policy", str(tmp_path / "policy.yaml"))
    assert gate.report("--dry-run", *other)["counts"]["admitted"] == 12
    assert {row["verdict"] for row in gate.ledger()} == {"admitted", "quarantined"}
    fresh = gate.elsewhere("fresh")
    fresh.report(*other)

    from ingestgate.transforms import judge

    def nothing(*arguments: object) -> None:
        raise AssertionError("judged again")

    monkeypatch.setattr(judge, "_judge", nothing)
    assert gate.report(*other)["counts"]["admitted"] == 12
    assert gate.ledger() == fresh.ledger()
    assert gate.state()["output"] == fresh.state()["output"]
    assert not (gate.evidence / "dry-run").exists()
    assert gate.census()["exact"]


def test_finished_shards_count_in_a_dry_run(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    report = gate.report("--dry-run")
    assert report["shards"]["finished_before"] == 2
    assert report["counts"] == {"admitted": 9, "quarantined": 3, "unscannable": 0}
    assert not (gate.evidence / "dry-run").exists()


def test_why_a_shard_failed_outlives_a_dry_run(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    shard = tmp_path / "landing" / "00001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:1000])
    gate.report(code=1)
    shard.write_bytes(whole)
    assert gate.report("--dry-run")["shards"]["failed"] == []
    assert (gate.evidence / "failures" / "00001.tar.json").exists()
    gate.report()
    assert not (gate.evidence / "failures" / "00001.tar.json").exists()
