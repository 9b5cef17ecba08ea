"""What people decided about stays decided, and nothing else takes its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingestgate.quarantine.layout import id_of
from tests.archives import make_tar
from tests.e2e.conftest import EXACT, NEAR, content, write_webdataset
from tests.e2e.rescan.conftest import compiled, md5_of
from tests.e2e.test_suppressions import MakeJob, Team, entries
from tests.pictures import encoded, picture


@pytest.fixture
def team(job: MakeJob, tmp_path: Path) -> Team:
    """A run that has caught three, of which two people have released the one listed by digest."""
    made = job(write_webdataset(tmp_path / "landing"))
    made.lists = compiled(tmp_path, 1, entries())
    team = Team(made, tmp_path)
    made.report()
    team.release(f"k{EXACT:02d}")
    return team


def write_another(path: Path) -> None:
    """Writes a shard with another picture in that place, which looks like a listed one."""
    items = []
    for seed in range(6):
        new = encoded(picture(NEAR), quality=60) if seed == EXACT else content(seed)
        items += [(f"k{seed:02d}.jpg", new), (f"k{seed:02d}.json", b"{}")]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(make_tar(items))


def listed(team: Team, *choice: str) -> list[dict[str, Any]]:
    shown = team.done("list", "--key", team.keys["rob"], "--json", *choice)
    return [json.loads(line) for line in shown.splitlines()]


def in_its_place(team: Team) -> dict[str, str]:
    """The states of what was sealed from its place, by the tier of the evidence."""
    found = [row for row in listed(team) if row["sample"] == f"k{EXACT:02d}"]
    return {row["tier"]: row["state"] for row in sorted(found, key=lambda row: row["sealed_at"])}


def test_what_is_sealed_again_stays_released(team: Team, tmp_path: Path) -> None:
    compiled(tmp_path, 2, entries(("harmless", "0123456789abcdef" * 2)))
    team.job.report()
    rows = [row for row in listed(team) if row["sample"] == f"k{EXACT:02d}"]
    assert [(row["tier"], row["state"]) for row in rows] == [("exact", "released")] * 2
    (near, source) = {row["sample"] for row in listed(team, "--state", "open")}
    assert f"k{EXACT:02d}" not in {near, source}


def test_another_picture_in_the_place_of_a_released_one_is_open(team: Team, tmp_path: Path) -> None:
    write_another(tmp_path / "landing" / "00000.tar")
    team.job.report()
    assert in_its_place(team) == {"exact": "released", "near": "open"}
    (row,) = (row for row in listed(team, "--state", "open") if row["sample"] == f"k{EXACT:02d}")
    assert row["tier"] == "near"
    assert "1 released" in team.done("list")

    by = ("--key", team.keys["rob"], "--decision", "confirmed", "--reason", "seen")
    unclear = team("decide", *by, row["asset_id"])
    assert (unclear.exit_code, "say by --sample which" in unclear.stderr) == (2, True)
    assert row["sha256"] not in unclear.output
    sample = id_of(row["sealed_object"])
    assert sample in unclear.stderr
    team.done("decide", *by, "--sample", sample, row["asset_id"])
    assert in_its_place(team) == {"exact": "released", "near": "confirmed"}
    refused = team("decide", *by, "--sample", sample, "--cluster", row["cluster"])
    assert (refused.exit_code, "--sample goes with assets" in refused.stderr) == (2, True)
    refused = team("release", "--key", team.keys["ann"], "--sample", sample, "--approve", "4")
    assert (refused.exit_code, "a request is about what was" in refused.stderr) == (2, True)
    team.done("decide", *by, "--cluster", row["cluster"])
    assert set(in_its_place(team).values()) == {"confirmed"}


def test_the_same_bytes_listed_by_another_partner_are_open(team: Team, tmp_path: Path) -> None:
    compiled(tmp_path, 2, entries(("by-another", md5_of(content(EXACT)))))
    team.job.report()
    rows = [row for row in listed(team) if row["sample"] == f"k{EXACT:02d}"]
    states = {len(row["findings"]): row["state"] for row in rows}
    assert states == {1: "released", 2: "open"}
    by = ("--key", team.keys["rob"], "--reason", "a beach")
    asked = team("release", *by, "--cluster", rows[0]["cluster"])
    assert (asked.exit_code, "only a false_positive" in asked.stderr) == (2, True)
    team.done("decide", *by, "--decision", "false_positive", rows[0]["asset_id"])
    assert set(in_its_place(team).values()) == {"false_positive"}


def test_two_data_sets_whose_shards_are_called_alike_share_a_quarantine(
    team: Team, tmp_path: Path
) -> None:
    other = team.job.elsewhere("other")
    other.inputs = [str(tmp_path / "elsewhere" / "*.tar")]
    write_another(tmp_path / "elsewhere" / "00000.tar")
    other.root.mkdir()
    (other.root / "quarantine").symlink_to(team.job.quarantine)
    other.report()
    assert in_its_place(team) == {"exact": "released", "near": "open"}
    rows = [row for row in listed(team) if row["sample"] == f"k{EXACT:02d}"]
    assert len({row["dataset"] for row in rows}) == 2
    assert len({row["asset_id"] for row in rows}) == 1
