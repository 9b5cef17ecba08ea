"""Every command that is given a quarantine or evidence, where there is none."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestgate.assets.signing_keys import generate_signing_key, public_line, read_signing_key
from ingestgate.pipeline.cli import cli
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.keys import generate_identity
from tests.commands import every_command
from tests.object_store import ROOT_VARIABLE
from tests.quarantine.test_manifest import row, write

ASSET = f"{1:032x}"
KEY = ("--key", "key.pem")
LINE = f"ed25519:{'A' * 43}="
#: By command, what it wants beside ``--quarantine``.
OF_QUARANTINES: dict[str, tuple[str, ...]] = {
    "audit verify": (),
    "audit show": (),
    "audit repair": (),
    "audit checkpoint": (*KEY, "--to", "kept.json"),
    "quarantine list": (),
    "quarantine show": (ASSET,),
    "quarantine export": (*KEY, "--format", "csv", "--to", "out.csv"),
    "quarantine open": ("--identity", "identity.txt", "--to", "opened", ASSET),
    "quarantine check": ("--accept-manifests",),
    "quarantine rewrap": ("--identity", "identity.txt", "--recipient", "recipients.txt"),
    "quarantine destroy": (*KEY, "--reason", "x", ASSET),
    "quarantine decide": (*KEY, "--decision", "confirmed", "--reason", "x", ASSET),
    "quarantine release": (*KEY, "--approve", "3"),
    "quarantine suppress": (*KEY, "--release", "3", "--to", "4.json"),
    "quarantine reviewers list": (),
    "quarantine reviewers remove": (*KEY, "--name", "a"),
    "report transparency": ("--year", "2026", "--evidence", "evidence", "--to", "published"),
    "certify": ("--output", "out", "--evidence", "evidence", "--lists", "lists", *KEY),
    "purge": ("--input", "landing", "--output", "out", "--evidence", "evidence", "--dry-run"),
}
#: Likewise beside ``--evidence``.
OF_EVIDENCE: dict[str, tuple[str, ...]] = {
    "ledger": (),
    "rescan": ("--lists", "lists"),
    "certify": ("--output", "out", "--lists", "lists", *KEY),
    "purge": ("--input", "landing", "--output", "out", "--quarantine", "vault", "--dry-run"),
    "census": ("--input", "landing", "--output", "out", "--quarantine", "vault"),
    "quarantine check": ("--quarantine", "vault"),
    "report transparency": ("--year", "2026", "--to", "published"),
}
#: A run begins these, and so may the first person; verify says what is not there as a problem of
#: the whole, and so does a census of what is not in the quarantine (see below); a rescan's
#: quarantine is as a rule the one that the report names.
_OTHERS = {
    "--quarantine": {"run", "census", "verify", "rescan", "quarantine reviewers add"},
    "--evidence": {"run", "verify"},
}
PLACES = ["typo", "teststore://bucket/typo", "testtree://bucket/typo"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the commands want but the mistyped one; the vault has no log."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for store in ("testtree", "teststore"):
        (tmp_path / store).mkdir()
    generate_signing_key("key.pem")
    Path("recipients.txt").write_text(generate_identity("identity.txt"))
    for folder in ("evidence/contexts", "lists", "landing", "out"):
        Path(folder).mkdir(parents=True)
    Path("evidence/contexts/c.json").write_text("{}")
    write(Path("vault"), [row(1)])
    return tmp_path


def _told(command: str, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, [*command.split(), *words])
    return result.exit_code, result.stderr


def _there(root: Path) -> set[str]:
    return {os.path.join(folder, each) for folder, d, f in os.walk(root) for each in (*d, *f)}


@pytest.mark.parametrize(
    ("option", "known"), [("--quarantine", OF_QUARANTINES), ("--evidence", OF_EVIDENCE)]
)
def test_no_command_is_left_out(option: str, known: dict[str, tuple[str, ...]]) -> None:
    taking = {path for path, c in every_command() if any(option in p.opts for p in c.params)}
    assert taking - _OTHERS[option] == set(known)


@pytest.mark.parametrize("typo", PLACES)
@pytest.mark.parametrize("command", list(OF_QUARANTINES))
def test_a_quarantine_that_is_not_there(here: Path, command: str, typo: str) -> None:
    before = _there(here)
    code, said = _told(command, "--quarantine", typo, *OF_QUARANTINES[command])
    assert (code, f"{typo}: no quarantine there; give the --quarantine" in said) == (2, True), said
    assert _there(here) == before


@pytest.mark.parametrize("place", PLACES)
def test_the_first_person_may_come_before_the_first_run_and_is_told(here: Path, place: str) -> None:
    before = _there(here)
    adding = ("quarantine reviewers add", *KEY, "--name", "a", "--quarantine")
    code, said = _told(*adding, place, "--public", LINE, "--role", "administrator")
    assert (code, "nobody is known here yet" in said) == (2, True), said
    own = public_line(read_signing_key("key.pem").public_key())
    for folder, refusal in (("evidence", (2, "no quarantine there")), ("vault", (5, "is gone"))):
        code, said = _told(*adding, folder, "--public", own, "--role", "administrator")
        assert (code, refusal[1] in said) == (refusal[0], True), said
    assert _there(here) == before
    words = ("--quarantine", place, *KEY, "--name", "a", "--public", own)
    added = CliRunner().invoke(cli, [*adding[0].split(), *words, "--role", "administrator"])
    assert added.stdout.splitlines() == [
        "a: administrator",
        f"{place}: there was no quarantine; it begins with this line of its audit log",
    ]
    assert [line.event for line in read_log(place)] == ["reviewer.added"]


@pytest.mark.parametrize("typo", PLACES)
@pytest.mark.parametrize("command", list(OF_EVIDENCE))
def test_evidence_that_is_not_there(here: Path, command: str, typo: str) -> None:
    before = _there(here)
    code, said = _told(command, "--evidence", typo, *OF_EVIDENCE[command])
    missing = "no reports of runs" if command == "report transparency" else "no evidence of a run"
    assert (code, f"{typo}: " in said, missing in said) == (2, True, True), said
    assert _there(here) == before


@pytest.mark.parametrize("command", sorted({*OF_QUARANTINES} - {"quarantine check"}))
def test_a_quarantine_whose_log_is_gone(here: Path, command: str) -> None:
    """Else a new log would begin, and hold, as if nothing had been in the old one."""
    before = _there(here)
    code, said = _told(command, "--quarantine", "vault", *OF_QUARANTINES[command])
    assert (code, "vault/audit/log.jsonl: the audit log is gone" in said) == (5, True), said
    assert _there(here) == before


def test_a_census_of_a_quarantine_that_is_no_folder(here: Path) -> None:
    folders = ("--input", "landing", "--output", "out", "--evidence", "evidence")
    code, said = _told("census", *folders, "--quarantine", "typo")
    assert (code, "typo: no quarantine there; give the --quarantine" in said) == (2, True), said
    Path("landing/a.jpg").write_bytes(b"x")
    (here / "teststore" / "vault").mkdir()
    # One that is there is looked at; what a store has nothing of may be an empty folder.
    for there in ("lists", "teststore://bucket/vault"):
        code, said = _told("census", *folders, "--quarantine", there)
        assert (code, said.strip()) == (1, ""), said


def test_it_is_said_in_json_too() -> None:
    result = CliRunner().invoke(cli, ["audit", "verify", "--quarantine", "typo", "--json"])
    assert json.loads(result.stdout)["exit_code"] == 2
