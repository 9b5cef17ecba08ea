"""The vault through the command line: check, rewrap, destroy, open."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.pipeline.lock import run_lock
from ingestgate.quarantine import locking
from ingestgate.quarantine.audit import log_path, read_log
from ingestgate.quarantine.keys import generate_identity
from ingestgate.quarantine.locking import quarantine_lock
from ingestgate.quarantine.reviewers import Role, add_reviewer, registry, remove_reviewer
from tests.e2e.conftest import WRITERS, Job, content, url

MakeJob = Callable[..., Job]


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path) -> Job:
    made = job(WRITERS["webdataset"](tmp_path / "landing"))
    made.report()
    return made


def quarantine(gate: Job, command: str, *extra: str) -> Result:
    return gate.invoke("quarantine", command, "--quarantine", str(gate.quarantine), *extra)


def said(result: Result, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def asset(gate: Job, key: str = "k03") -> str:
    (row,) = (row for row in gate.manifest() if row["sample"] == key)
    return str(row["asset_id"])


def opens(gate: Job, to: Path, identity: str, key: str = "k03") -> Result:
    return quarantine(gate, "open", "--identity", identity, "--to", str(to), asset(gate, key)[:9])


def test_check_names_what_is_wrong(gate: Job) -> None:
    found = said(quarantine(gate, "check", "--identity", gate.identity, "--json"))
    assert found["objects"] == {"named": 3, "sound": 3, "destroyed": 0, "opened": 3}
    assert "3 objects named: 3 sound" in quarantine(gate, "check").stdout
    path = gate.quarantine / gate.manifest()[0]["sealed_object"]
    path.write_bytes(path.read_bytes()[:-1])
    found = said(quarantine(gate, "check", "--json"), code=5)
    assert (found["problems"]["changed"], found["sound"]) == (1, False)
    shown = quarantine(gate, "check")
    assert shown.exit_code == 5
    assert f"asset {gate.manifest()[0]['asset_id']}" in shown.stdout
    with quarantine_lock(str(gate.quarantine), alone=True):
        shown = quarantine(gate, "check")
        assert shown.exit_code == 1
        assert "; 1 problem\nsomebody is at work on it, who may be why" in shown.stdout
        assert said(quarantine(gate, "check", "--json"), code=1)["at_work"]


def test_check_removes_what_no_manifest_names(gate: Job, tmp_path: Path) -> None:
    before = gate.state()
    sealed = gate.quarantine / gate.manifest()[0]["sealed_key"]
    stray = sealed.with_name("0" * 64 + ".age")
    stray.write_bytes(sealed.read_bytes())
    assert said(quarantine(gate, "check", "--json"), code=5)["problems"]["unnamed"] == 1
    with quarantine_lock(str(gate.quarantine), alone=False):  # as a job does
        refused = quarantine(gate, "check", "--remove-unnamed")
    assert refused.exit_code == 1
    assert "a job or another command is at work" in refused.stderr
    found = said(quarantine(gate, "check", "--remove-unnamed", "--json"))
    assert found["removed"] == [str(stray.relative_to(gate.quarantine))]
    assert events(gate) == [("vault.removing_unnamed", "")]
    assert gate.state() == before


def test_nothing_is_removed_while_a_manifest_is_gone(gate: Job, tmp_path: Path) -> None:
    sealed = files_of(gate)
    for path in (gate.quarantine / "manifest").glob("00000*"):
        path.rename(tmp_path / path.name)
    refused = quarantine(gate, "check", "--remove-unnamed")
    assert refused.exit_code == 5
    assert "is not there; it was removed. Nothing is removed" in refused.stderr
    assert files_of(gate) == sealed
    assert events(gate) == []


def test_it_takes_an_approver_to_remove_or_to_accept(
    gate: Job, people: dict[str, list[str]]
) -> None:
    sealed = gate.quarantine / gate.manifest()[0]["sealed_key"]
    stray = sealed.with_name("0" * 64 + ".age")
    stray.write_bytes(sealed.read_bytes())
    manifest = next((gate.quarantine / "manifest").glob("00000*.jsonl"))
    for suffix in (".jsonl", ".parquet"):
        path = manifest.with_suffix(suffix)
        path.with_name(f"another{suffix}").write_bytes(path.read_bytes())
    for what in ("--remove-unnamed", "--accept-manifests"):
        nameless = quarantine(gate, "check", what)
        assert (nameless.exit_code, "name your signing key" in nameless.stderr) == (2, True)
        refused = quarantine(gate, "check", what, *people["carol"])
        assert (refused.exit_code, "takes the role approver" in refused.stderr) == (2, True)
    assert stray.exists()
    done = quarantine(gate, "check", "--accept-manifests", "--remove-unnamed", *people["bob"])
    assert done.exit_code == 0, done.output
    assert not stray.exists()
    assert events(gate)[4:] == [("manifests.accepted", "bob"), ("vault.removing_unnamed", "bob")]


def test_a_forged_receipt_does_not_keep_a_sample_from_being_opened(
    gate: Job, tmp_path: Path
) -> None:
    from tests.e2e.purge.conftest import forge_receipt

    (row,) = (row for row in gate.manifest() if row["sample"] == "k03")
    forge_receipt(gate, row)
    assert opens(gate, tmp_path / "opened", gate.identity).exit_code == 0


def files_of(gate: Job) -> set[str]:
    return {str(path) for path in gate.quarantine.rglob("*.age")}


def test_a_run_that_judges_again_by_the_same_rules_leaves_the_first_copies(gate: Job) -> None:
    first = files_of(gate)
    gate.report("--no-resume")
    shown = quarantine(gate, "check")
    assert (shown.exit_code, "3 objects named: 3 sound" in shown.stdout) == (5, True)
    assert "or one that judged its shard again by the same rules" in shown.stdout
    removed = said(quarantine(gate, "check", "--remove-unnamed", "--json"))["removed"]
    assert {str(gate.quarantine / path) for path in removed} == first


def test_a_sample_that_was_sealed_twice_is_sound_and_the_surplus_is_named(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the sealing, and run again: the first copy is named by no manifest."""
    from ingestgate.quarantine.manifest import ManifestWriter

    made = job(WRITERS["webdataset"](tmp_path / "landing"))

    def killed(self: ManifestWriter) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ManifestWriter, "publish", killed)
        assert made.run().exit_code != 0
    made.report()
    found = said(quarantine(made, "check", "--identity", made.identity, "--json"), code=5)
    assert found["objects"]["sound"] == 3
    assert {kind for kind, count in found["problems"].items() if count} == {"unnamed"}
    assert said(quarantine(made, "check", "--remove-unnamed", "--json"))["removed"]
    assert made.census()["exact"]


def test_rewrap_changes_who_opens_it(gate: Job, tmp_path: Path) -> None:
    new = str(tmp_path / "new.txt")
    recipient = generate_identity(new)
    assert opens(gate, tmp_path / "refused", new).exit_code == 2
    wrong = quarantine(gate, "rewrap", "--identity", new, "--recipient", recipient)
    assert wrong.exit_code == 2
    assert "nothing was changed" in wrong.stderr
    done = said(
        quarantine(gate, "rewrap", "--identity", gate.identity, "--recipient", recipient, "--json")
    )
    assert (done["rewrapped"], done["unopened"]) == (3, [])
    assert opens(gate, tmp_path / "opened", new).exit_code == 0
    assert (tmp_path / "opened" / asset(gate) / "k03.jpg").read_bytes() == content(3)
    assert opens(gate, tmp_path / "old", gate.identity).exit_code == 2
    assert gate.census()["exact"]
    assert said(quarantine(gate, "check", "--identity", new, "--json"))["objects"]["opened"] == 3
    refused = gate.run("--no-resume")
    assert refused.exit_code == 2
    assert "can no longer open this quarantine" in refused.output
    gate.recipient = recipient
    gate.report("--no-resume")
    assert opens(gate, tmp_path / "again", new).exit_code == 0


def test_rewrap_lets_somebody_into_one_sample(gate: Job, tmp_path: Path) -> None:
    guest = str(tmp_path / "guest.txt")
    both = ("--recipient", gate.recipient, generate_identity(guest))
    named = ("--identity", gate.identity, *both, "--asset", asset(gate)[:9])
    assert "1 key sealed to 2 recipients" in quarantine(gate, "rewrap", *named).stdout
    assert opens(gate, tmp_path / "one", guest).exit_code == 0
    assert opens(gate, tmp_path / "two", guest, "k05").exit_code == 2
    assert opens(gate, tmp_path / "two", gate.identity, "k05").exit_code == 0


@pytest.fixture
def people(gate: Job, tmp_path: Path) -> dict[str, list[str]]:
    """How each calls a command: alice administers, bob approves, carol reviews, vic looks."""
    return known(gate, tmp_path)


def known(gate: Job, tmp_path: Path) -> dict[str, list[str]]:
    roles = {
        "alice": Role.ADMINISTRATOR,
        "bob": Role.APPROVER,
        "carol": Role.REVIEWER,
        "vic": Role.VIEWER,
    }
    for name, role in roles.items():
        line = generate_signing_key(str(tmp_path / f"{name}.pem"))
        administrator = read_signing_key(str(tmp_path / "alice.pem"))
        add_reviewer(str(gate.quarantine), name, line, role, administrator)
    return {name: ["--key", str(tmp_path / f"{name}.pem")] for name in roles}


def events(gate: Job) -> list[tuple[str, str]]:
    """What the audit log says after the run's own lines, and by whom."""
    lines = list(read_log(str(gate.quarantine)))
    names = registry(str(gate.quarantine)).names
    runs = ["run.begun", "manifests.sealed", "run.ended"]
    said = [(line.event, name) for line, name in zip(lines, names, strict=True)]
    assert [event for event, _ in said[:3]] == runs
    return said[3:]


def test_destroy_takes_two_people(gate: Job, tmp_path: Path, people: dict[str, list[str]]) -> None:
    named = [*people["bob"], "--reason", "asked for", asset(gate)[:9], "--json"]
    order = said(quarantine(gate, "destroy", *named))
    assert order["requested_by"] == "bob"
    assert [sample["assets"] for sample in order["samples"]] == [[asset(gate)]]
    own = quarantine(gate, "destroy", *people["bob"], "--approve", order["order"])
    assert own.exit_code == 2
    assert "takes two people" in own.stderr
    done = quarantine(gate, "destroy", *people["alice"], "--approve", order["order"])
    assert done.exit_code == 0, done.output
    (receipt,) = gate.quarantine.glob("destroyed/*.dsse.json")
    assert receipt.name in done.stdout
    refused = opens(gate, tmp_path / "again", gate.identity)
    assert refused.exit_code == 1
    assert f"see destroyed/{receipt.name}" in refused.stderr
    assert events(gate)[4:] == [
        ("destroy.requested", "bob"),
        ("destroy.begun", "alice"),
        ("destroy.done", "alice"),
    ]
    remove_reviewer(str(gate.quarantine), "bob", read_signing_key(people["alice"][1]))
    found = said(quarantine(gate, "check", "--json"))
    assert found["objects"] == {"named": 3, "sound": 2, "destroyed": 1, "opened": 0}
    assert gate.census()["exact"], "what was destroyed by receipt is accounted for"
    # Its original can leave the landing zone, too.
    purge = gate.invoke("purge", "--input", *gate.inputs, *gate.folders, "--json")
    assert said(purge)["assets"] == 3
    assert gate.census()["exact"]


def test_a_torn_line_is_put_on_record_by_who_opens_rewraps_or_destroys(
    gate: Job, tmp_path: Path, people: dict[str, list[str]]
) -> None:
    recipients = tmp_path / "new.txt"
    recipients.write_text(generate_identity(str(tmp_path / "new-key.txt")) + "\n")
    identity, held = ("--identity", gate.identity), asset(gate)
    for command, *words in (
        ("open", *people["carol"], *identity, "--to", str(tmp_path / "opened"), held),
        ("destroy", *people["carol"], "--reason", "asked for", held),
        ("rewrap", *people["alice"], *identity, "--recipient", str(recipients)),
    ):
        with open(log_path(str(gate.quarantine)), "ab") as log:
            log.write(b'{"digest":')
        done = quarantine(gate, command, *words)
        assert done.exit_code == 0, done.output
    said = [event for event, _ in events(gate)[4:]]
    after = [said[n + 1] for n, event in enumerate(said) if event == "log.repaired"]
    assert after == ["asset.opened", "destroy.requested", "vault.rewrap_begun"]


def test_destroy_says_what_it_needs(
    gate: Job, tmp_path: Path, people: dict[str, list[str]]
) -> None:
    for extra, problem in (
        (["--reason", "x"], "name either assets"),
        (["--approve", "0" * 16, asset(gate)], "name either assets"),
        ([asset(gate)], "needs a --reason"),
        (["--reason", "x", "zz"], "no asset"),
        (["--approve", "0" * 16], "carol is reviewer; this takes the role approver"),
    ):
        result = quarantine(gate, "destroy", *people["carol"], *extra)
        assert (result.exit_code, problem in result.stderr) == (2, True), (problem, result.output)
    generate_signing_key(str(tmp_path / "eve.pem"))
    stranger = ("--key", str(tmp_path / "eve.pem"), "--reason", "x", asset(gate))
    assert "nobody of this quarantine has that key" in quarantine(gate, "destroy", *stranger).stderr


def test_what_cannot_be_logged_is_refused(
    gate: Job, tmp_path: Path, people: dict[str, list[str]]
) -> None:
    named = [*people["carol"], "--reason", "asked for", asset(gate), "--json"]
    order = said(quarantine(gate, "destroy", *named))["order"]
    log = gate.quarantine / "audit" / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"bob", b"rob"))
    for command, extra in (
        ("destroy", [*people["bob"], "--approve", order]),
        ("open", ["--identity", gate.identity, "--to", str(tmp_path / "x"), asset(gate)]),
        ("rewrap", ["--identity", gate.identity, "--recipient", gate.recipient]),
    ):
        result = quarantine(gate, command, *extra)
        assert (result.exit_code, "it was edited" in result.stderr) == (5, True), result.output
    assert not (tmp_path / "x").exists()
    assert len(list((gate.quarantine / "keys").rglob("*.age"))) == 3


def test_who_opens_and_who_rewraps_is_on_record(
    gate: Job, tmp_path: Path, people: dict[str, list[str]]
) -> None:
    opening = ("open", "--identity", gate.identity, "--to", str(tmp_path / "x"), asset(gate))
    nameless = quarantine(gate, *opening)
    assert nameless.exit_code == 2
    assert "name your signing key with --key" in nameless.stderr
    assert not (tmp_path / "x").exists()
    refused = quarantine(gate, *opening, *people["vic"])
    assert "vic is viewer; this takes the role reviewer" in refused.stderr
    assert quarantine(gate, *opening, *people["carol"]).exit_code == 0
    rewrap = ("rewrap", "--identity", gate.identity, "--recipient", gate.recipient)
    sealed = {path: path.read_bytes() for path in gate.quarantine.rglob("*.age")}
    refused = quarantine(gate, *rewrap, *people["bob"])
    assert "bob is approver; this takes the role administrator" in refused.stderr
    assert {path: path.read_bytes() for path in sealed} == sealed
    assert quarantine(gate, *rewrap, *people["alice"]).exit_code == 0
    assert events(gate)[4:] == [
        ("asset.opened", "carol"),
        ("vault.rewrap_begun", "alice"),
        ("vault.rewrap_announced", "alice"),
        ("vault.rewrap_done", "alice"),
    ]


def test_what_was_opened_is_not_replaced_by_the_next(gate: Job, tmp_path: Path) -> None:
    to = tmp_path / "opened"
    assert opens(gate, to, gate.identity).exit_code == 0
    assert opens(gate, to, gate.identity, "k05").exit_code == 0
    assert (to / asset(gate) / "k03.jpg").read_bytes() == content(3)
    refused = opens(gate, to, gate.identity)
    assert (refused.exit_code, "never overwritten" in refused.stderr) == (2, True)
    to.chmod(0o755)
    refused = opens(gate, to, gate.identity, "k07")
    assert (refused.exit_code, "open to others" in refused.stderr) == (2, True)
    assert events(gate) == [("vault.opened", "")] * 2, "what is refused is not on record as opened"


def test_nothing_is_opened_into_a_folder_of_the_run(gate: Job, tmp_path: Path) -> None:
    for folder, what in (
        (gate.output, "output"),
        (gate.quarantine, "quarantine"),
        (gate.evidence, "evidence"),
        (tmp_path / "landing", "input"),
    ):
        before = {path for path in folder.rglob("*") if path.name != ".lock"}
        refused = opens(gate, folder / "sub", gate.identity)
        assert refused.exit_code == 2, refused.output
        assert f"{folder}/sub: lies in {folder}, the {what} of a run" in refused.stderr
        assert {path for path in folder.rglob("*") if path.name != ".lock"} == before
    assert events(gate) == [], "what is refused is not on record as opened"


def test_where_nobody_is_known_that_it_was_opened_is_on_record(gate: Job, tmp_path: Path) -> None:
    assert opens(gate, tmp_path / "opened", gate.identity).exit_code == 0
    assert events(gate) == [("vault.opened", "")]


def test_rows_of_one_range_fall_together(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "urls").mkdir()
    lines = [json.dumps({"url": url(seed), "n": seed}) + "\n" for seed in (7, 1, 7)]
    (tmp_path / "urls" / "a.jsonl").write_text("".join(lines))
    gate = job(str(tmp_path / "urls" / "a.jsonl"))
    gate.report()
    first, second = (row["asset_id"] for row in gate.manifest())
    named = [*known(gate, tmp_path)["carol"], "--reason", "asked for", first]
    refused = quarantine(gate, "destroy", *named)
    assert refused.exit_code == 2
    assert "1 other asset in the same sealed samples" in refused.stderr
    assert second[:12] in refused.stderr
    assert "--approve" in quarantine(gate, "destroy", *named, "--others-too").stdout


def test_a_run_and_a_change_of_the_vault_exclude_each_other(
    gate: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "WAIT_SECONDS", 0.0)
    with quarantine_lock(str(gate.quarantine), alone=True):
        report = gate.report("--no-resume", code=1)
    assert "is at work on it" in report["error"]
    assert (report["shards"]["done"], report["shards"]["failed"]) == (0, [])
    assert (report["throughput"]["assets"], report["throughput"]["bytes_per_second"]) == (0, 0)
    assert sum(report["since_last_report"]["counts"].values()) == 0
    with run_lock(str(gate.evidence)):
        purge = gate.invoke("purge", "--input", *gate.inputs, *gate.folders)
    assert purge.exit_code == 1
    assert "another run is at work" in purge.stderr
