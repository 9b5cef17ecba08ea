"""A recipient that is missing, wrong, or changed between two runs: nothing is sealed to nobody."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.quarantine.keys import generate_identity
from tests.e2e.conftest import Job, write_webdataset

MakeJob = Callable[..., Job]


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path) -> Job:
    made = job(write_webdataset(tmp_path / "landing"))
    made.report("--dry-run")  # all is judged
    return made


def opened(gate: Job, identity: str) -> int:
    """How many sealed objects an identity opens."""
    vault = ("--quarantine", str(gate.quarantine), "--identity", identity, "--json")
    found = json.loads(gate.invoke("quarantine", "check", *vault).stdout)
    return int(found["objects"]["opened"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is neither age1... nor a readable file"),
        ("# nobody any more\n", "recipient"),
        ("age1notakey\n", "not an age recipient"),
        ("AGE-SECRET-KEY-1QQQQ\n", "secret"),
    ],
    ids=["missing", "empty", "wrong", "secret"],
)
def test_a_file_that_names_nobody(
    gate: Job, tmp_path: Path, content: str | None, said: str
) -> None:
    true, gate.recipient = gate.recipient, str(tmp_path / "recipients.txt")
    if content is not None:
        (tmp_path / "recipients.txt").write_text(content)
    tried = gate.run()
    assert tried.exit_code == 2, tried.output
    assert said in tried.output
    assert "AGE-SECRET-KEY" not in tried.output
    assert not gate.output.exists()
    assert not gate.quarantine.exists()
    gate.recipient = true
    gate.report()
    assert gate.census()["exact"]
    assert opened(gate, gate.identity) == 3


def test_a_rotation_between_judging_and_committing(gate: Job, tmp_path: Path) -> None:
    """What is sealed is sealed to who is named when it is."""
    new = str(tmp_path / "new.txt")
    gate.recipient = generate_identity(new)
    assert gate.report()["recipients"] == [gate.recipient]
    assert gate.census()["exact"]
    assert opened(gate, new) == 3
    assert opened(gate, gate.identity) == 0


def test_a_rotation_between_two_commits(job: MakeJob, tmp_path: Path) -> None:
    """Each shard is sealed to its own run's; a rewrap gives all of it to the new one."""
    gate = job(write_webdataset(tmp_path / "landing"))
    later = tmp_path / "landing" / "00001.tar"
    later.rename(tmp_path / "later")
    gate.report()
    new = str(tmp_path / "new.txt")
    old, gate.recipient = gate.recipient, generate_identity(new)
    (tmp_path / "later").rename(later)
    gate.report()
    assert gate.census()["exact"]
    assert (opened(gate, gate.identity), opened(gate, new)) == (2, 1)
    given = ("--identity", gate.identity, "--recipient", gate.recipient)
    vault = ("--quarantine", str(gate.quarantine))
    rewrapped = gate.invoke("quarantine", "rewrap", *vault, *given, "--json")
    # The one that is sealed to the new one is none of the old one's: it stays, and is named.
    assert rewrapped.exit_code == 1, rewrapped.output
    done = json.loads(rewrapped.stdout)
    assert (done["rewrapped"], len(done["unopened"])) == (2, 1)
    assert opened(gate, new) == 3
    # The retired one can open nothing, and no run may seal to it again.
    assert opened(gate, gate.identity) == 0
    gate.recipient = old
    refused = gate.run("--no-resume")
    assert refused.exit_code == 2, refused.output
    assert "can no longer open this quarantine" in refused.output
    # Whatever is written, or gone: the audit log has it.
    statement = gate.quarantine / "recipients.json"
    whole = statement.read_bytes()
    statement.unlink()
    assert "can no longer open this quarantine" in gate.run("--no-resume").output
    assert json.loads(gate.invoke("quarantine", "check", *vault, "--json").stdout)["sound"] is False
    statement.write_bytes(whole)
    assert gate.census()["exact"]
