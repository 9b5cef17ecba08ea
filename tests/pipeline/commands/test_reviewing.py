"""Reviewing and the audit log through the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.pipeline.cli import cli
from ingestgate.quarantine.audit import log_path, read_log
from tests.quarantine.test_manifest import row, write
from tests.quarantine.vaults import log_manifests

ASSET = f"{1:032x}"


class Vault:
    """A quarantine with two assets and two people; ann administers, rob reviews."""

    def __init__(self, root: Path) -> None:
        self.root = root / "vault"
        self.keys = {name: str(root / f"{name}.pem") for name in ("ann", "rob")}
        self.lines = {name: generate_signing_key(path) for name, path in self.keys.items()}
        write(self.root, [row(1), row(2)])
        log_manifests(self.root)
        for name, role in (("ann", "administrator"), ("rob", "reviewer")):
            public = root / f"{name}.pub"
            public.write_text(f"{self.lines[name]}\n")
            given = str(public) if name == "ann" else self.lines[name]
            person = ("--name", name, "--public", given, "--role", role)
            assert self("reviewers", "add", *self.by("ann"), *person).exit_code == 0

    def by(self, name: str) -> tuple[str, str]:
        return "--key", self.keys[name]

    def __call__(self, *words: str, group: str = "quarantine") -> Result:
        cut = 2 if words[0] == "reviewers" else 1
        where = ("--quarantine", str(self.root))
        return CliRunner().invoke(cli, [group, *words[:cut], *where, *words[cut:]])

    def audit(self, *words: str) -> Result:
        return self(*words, group="audit")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def test_people_come_and_go(vault: Vault) -> None:
    told = [json.loads(line) for line in vault("reviewers", "list", "--json").stdout.splitlines()]
    assert [(p["name"], p["role"]) for p in told] == [("ann", "administrator"), ("rob", "reviewer")]
    refused = vault("reviewers", "remove", *vault.by("rob"), "--name", "ann")
    assert (refused.exit_code, "takes the role administrator" in refused.stderr) == (2, True)
    assert vault("reviewers", "remove", *vault.by("ann"), "--name", "rob").exit_code == 0
    assert vault("reviewers", "list").stdout == f"ann  administrator  {vault.lines['ann']}\n"


def test_a_release_from_beginning_to_end(vault: Vault) -> None:
    called = ("--decision", "false_positive", "--reason", "a beach", ASSET[:31])
    refused = vault("decide", *vault.by("rob"), *called)
    assert (refused.exit_code, "several assets" in refused.stderr) == (2, True)
    assert vault("decide", *vault.by("rob"), *called[:-1], ASSET).exit_code == 0
    asked = vault("release", *vault.by("rob"), "--reason", "a beach", ASSET)
    assert asked.stdout == "nothing is released yet; somebody else has to --approve 5\n"
    own = vault("release", *vault.by("rob"), "--approve", "5")
    assert (own.exit_code, "takes two people" in own.stderr) == (2, True)
    approved = vault("release", *vault.by("ann"), "--approve", "5")
    assert approved.stdout == f"{ASSET}: released\n"
    shown = vault.audit("show", "--event", "release.", "--json").stdout.splitlines()
    said = [json.loads(line) for line in shown]
    assert [(line["who"], line["event"]) for line in said] == [
        ("rob", "release.requested"),
        ("ann", "release.approved"),
    ]
    shown = vault.audit("show", "--asset", ASSET, "--json").stdout.splitlines()
    assert [json.loads(line)["event"] for line in shown] == [
        "asset.decided",
        "release.requested",
        "release.approved",  # which names its request, and no asset
    ]
    nothing = vault.audit("show", "--asset", f"{2:032x}")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "no line matches\n")
    assert len(vault.audit("show", "--who", "ann").stdout.splitlines()) == 3


@pytest.mark.parametrize("words", [(), (ASSET, "--approve", "5"), (ASSET,)], ids=len)
def test_a_release_is_asked_for_or_approved(vault: Vault, words: tuple[str, ...]) -> None:
    assert vault("release", *vault.by("rob"), *words).exit_code == 2


def test_a_changed_log_is_named_and_ends_with_5(vault: Vault, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept.json")
    stated = vault.audit("checkpoint", *vault.by("ann"), "--to", kept)
    assert stated.stdout.startswith("3 lines, the last ")
    checked = ("--checkpoint", kept, "--key", vault.lines["ann"])
    sound = json.loads(vault.audit("verify", *checked, "--json").stdout)
    assert (sound["sound"], sound["count"]) == (True, 3)
    assert "not checked: whether lines are missing" in vault.audit("verify").stdout

    path = Path(log_path(str(vault.root)))
    whole = path.read_bytes()
    path.write_bytes(whole.splitlines(keepends=True)[0])
    assert vault.audit("verify").exit_code == 0, "only the checkpoint can tell"
    refused = vault.audit("verify", *checked)
    assert (refused.exit_code, ":2: missing" in refused.stderr) == (5, True)
    path.write_bytes(whole.replace(b'"reviewer"', b'"approver"'))
    refused = vault.audit("verify", "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["exit_code"]) == (5, 5)
    assert ":3: not a line of the log as it was written" in refused.stderr
    decided = vault("decide", *vault.by("rob"), "--decision", "escalate", "--reason", "x", ASSET)
    assert decided.exit_code == 5
    assert path.read_bytes() == whole.replace(b'"reviewer"', b'"approver"')


def test_a_checkpoint_goes_with_its_key(vault: Vault, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept.json")
    vault.audit("checkpoint", *vault.by("ann"), "--to", kept)
    assert vault.audit("verify", "--checkpoint", kept).exit_code == 2
    assert vault.audit("verify", "--checkpoint", kept, "--key", "ann").exit_code == 2
    line = tmp_path / "ann.pub"
    line.write_text(f"# of Ann's\n{vault.lines['ann']}\n")
    assert vault.audit("verify", "--checkpoint", kept, "--key", str(line)).exit_code == 0
    line.write_text("\n".join(vault.lines.values()))
    several = vault.audit("verify", "--checkpoint", kept, "--key", str(line))
    assert (several.exit_code, "holds several public keys" in several.stderr) == (2, True)
    other = vault.audit("verify", "--checkpoint", kept, "--key", vault.lines["rob"])
    assert (other.exit_code, "not signed with the key" in other.stderr) == (5, True)


def test_a_torn_line_is_repaired(vault: Vault) -> None:
    with open(log_path(str(vault.root)), "ab") as log:
        log.write(b'{"digest":')
    refused = vault.audit("verify")
    assert (refused.exit_code, "ends in the middle of it" in refused.stderr) == (5, True)
    assert vault.audit("repair").stdout == "a torn line was put on record\n"
    assert vault.audit("repair").stdout == "nothing to repair\n"
    assert vault.audit("verify").exit_code == 0


def tear(vault: Vault) -> None:
    with open(log_path(str(vault.root)), "ab") as log:
        log.write(b'{"digest":')


def test_a_torn_line_is_put_on_record_by_who_decides_or_releases(vault: Vault) -> None:
    called = ("--decision", "false_positive", "--reason", "a beach", ASSET)
    for command, *words in (
        ("decide", *vault.by("rob"), *called),
        ("release", *vault.by("rob"), "--reason", "a beach", ASSET),
        ("release", *vault.by("ann"), "--approve", "7"),
    ):
        tear(vault)
        done = vault(command, *words)
        assert (done.exit_code, done.stderr) == (0, "")
    events = [line.event for line in read_log(str(vault.root))][3:]
    steps = ("asset.decided", "release.requested", "release.approved")
    assert events == [each for step in steps for each in ("log.repaired", step)]


def test_a_torn_line_is_left_by_who_only_reads(vault: Vault) -> None:
    tear(vault)
    torn = Path(log_path(str(vault.root))).read_bytes()
    for done in (vault("list"), vault("reviewers", "list"), vault.audit("show")):
        assert (done.exit_code, "ends in the middle of it" in done.stderr) == (5, True)
    assert Path(log_path(str(vault.root))).read_bytes() == torn


def test_the_list_has_a_line_per_cluster(vault: Vault) -> None:
    vault("decide", *vault.by("rob"), "--decision", "escalate", "--reason", "x", ASSET)
    shown = vault("list").stdout
    assert ASSET in shown, "whole, also where nobody looks: it is what `decide` takes"
    assert f"{2:032x}" not in shown, "the same bytes as the first"
    said = vault("list", *vault.by("rob"), "--json").stdout
    rows = [json.loads(line) for line in said.split("\n")[:-1]]
    assert [(row["cluster"], row["state"]) for row in rows] == [
        (ASSET, "escalate"),
        (ASSET, "open"),
    ]
    wanted = ("--state", "open", "--source", "example.org")
    chosen = vault("list", *vault.by("rob"), "--json", *wanted).stdout
    assert [json.loads(line)["asset_id"] for line in chosen.split("\n")[:-1]] == [f"{2:032x}"]
    assert vault("list", "--since", "soon").exit_code == 2


def test_a_filter_that_nothing_can_match_does_not_look_like_nothing(vault: Vault) -> None:
    wrong = vault("list", "--tier", "Exact")
    assert (wrong.exit_code, "'exact', 'near_several', 'near', 'source'" in wrong.stderr) == (
        2,
        True,
    )
    for words in ((), ("--json", *vault.by("rob"))):
        none = vault("list", "--cluster", "zzz", *words)
        assert (none.exit_code, "no cluster of this quarantine" in none.stderr) == (2, True)
        nothing = vault("list", "--list-id", "nope", *words)
        assert (nothing.exit_code, nothing.stderr) == (0, "no asset matches\n")
    assert vault("list", "--tier", "near").stderr == ""


def test_all_that_was_sealed_of_an_asset_is_shown_the_latest_last(vault: Vault) -> None:
    for context, month in (("00", 3), ("11", 2), ("ee", 1)):
        again = row(1, sealed_at=f"2027-0{month}-01T00:00:00Z")
        write(vault.root, [again], context=context * 32)
    log_manifests(vault.root)
    shown = vault("show", *vault.by("rob"), ASSET).stdout
    lines = vault("show", *vault.by("rob"), "--json", ASSET).stdout
    rows = [json.loads(line) for line in lines.split("\n")[:-1]]
    assert [each["sealed_at"][:7] for each in rows] == ["2026-01", "2027-01", "2027-02", "2027-03"]
    assert {(each["cluster"], each["state"]) for each in rows} == {(ASSET, "open")}
    indented = shown.replace("\n}\n{", "\n},\n{")
    assert json.loads(f"[{indented}]") == rows


@pytest.mark.parametrize("words", [("show", "--json", ASSET), ("show", ASSET), ("list", "--json")])
def test_what_is_shown_of_a_manifest_moves_no_cursor(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    hostile = "ü\x9b2J\x7f\u202egpj"
    write(tmp_path / "vault", [row(1, member=hostile, provenance={hostile: hostile})])
    log_manifests(tmp_path / "vault")
    where = ("--quarantine", str(tmp_path / "vault"))
    shown = CliRunner().invoke(cli, ["quarantine", *words, *where]).stdout
    assert all(line.isprintable() for line in shown.split("\n")), ascii(shown)
    assert r"\u009b2J\u007f\u202egpj" in shown
    said = json.loads(shown)
    assert (said["member"], said["provenance"]) == (hostile, {hostile: hostile})


def test_who_looked_is_on_record_first(vault: Vault, tmp_path: Path) -> None:
    assert json.loads(vault("show", *vault.by("rob"), ASSET).stdout)["state"] == "open"
    to = tmp_path / "out.csv"
    taken = ("--format", "csv", "--to", str(to), "--tier", "near")
    assert vault("export", *vault.by("rob"), *taken).stdout == f"2 rows: {to}\n"
    vault("list", *vault.by("rob"), "--json", "--state", "open")
    shown = vault.audit("show", "--who", "rob", "--json").stdout.splitlines()
    said = [(line["event"], line["fields"]) for line in map(json.loads, shown)]
    assert said == [
        ("asset.viewed", {"assets": [ASSET]}),
        ("manifest.exported", {"choice": {"tier": "near"}, "format": "csv"}),
        ("manifest.listed", {"choice": {"state": "open"}}),
    ]


def test_an_export_overwrites_nothing(vault: Vault, tmp_path: Path) -> None:
    log = Path(log_path(str(vault.root)))
    manifest = next((vault.root / "manifest").glob("*.jsonl"))
    (another := tmp_path / "another" / "audit").mkdir(parents=True)
    (another / "log.jsonl").touch()
    (tmp_path / "link").symlink_to(vault.root)
    inside = "lies in {}, the quarantine of a run;"
    for to, said in (
        (Path(vault.keys["ann"]), "exists; a file is never overwritten, give another name"),
        (tmp_path, "exists; a file is never overwritten"),
        (log, inside.format(vault.root)),
        (manifest, inside.format(vault.root)),
        (vault.root / "new" / "out.csv", inside.format(vault.root)),
        (tmp_path / "link" / "out.csv", inside.format(vault.root)),
        (another / "out.csv", inside.format(another.parent)),
    ):
        before = (log.read_bytes(), to.read_bytes() if to.is_file() else None)
        refused = vault("export", *vault.by("rob"), "--format", "csv", "--to", str(to))
        assert refused.exit_code == 2, refused.output
        assert f"{to}: {said}" in refused.stderr
        assert (log.read_bytes(), to.read_bytes() if to.is_file() else None) == before


def test_which_source_was_asked_for_is_not_on_record(vault: Vault, tmp_path: Path) -> None:
    to = str(tmp_path / "out.csv")
    of = ("--source", "example.org", "--tier", "near")
    assert vault("list", *vault.by("rob"), "--json", *of).stdout
    assert vault("export", *vault.by("rob"), "--format", "csv", "--to", to, *of).exit_code == 0
    shown = vault.audit("show", "--event", "manifest.", "--who", "rob", "--json").stdout
    said = [json.loads(line)["fields"]["choice"] for line in shown.splitlines()]
    assert said == [{"tier": "near", "source": "given"}] * 2
    assert "example.org" not in Path(log_path(str(vault.root))).read_text()


def test_nobody_looks_without_a_name_once_people_are_known(vault: Vault, tmp_path: Path) -> None:
    to = tmp_path / "out.csv"
    for words in (
        ("show", ASSET),
        ("list", "--json"),
        ("export", "--format", "csv", "--to", str(to)),
    ):
        refused = vault(*words)
        assert (refused.exit_code, ASSET in refused.output) == (2, False)
        assert "name your signing key with --key" in refused.stderr
    assert not to.exists()
    table = vault("list").stdout
    assert ASSET[:8] in table
    assert "2" * 16 not in table, "the table shows no digest"
    assert "example.org" not in table, "and no source"


def test_where_nobody_is_known_anybody_looks(tmp_path: Path) -> None:
    write(tmp_path / "vault", [row(1)])
    log = Path(log_path(str(tmp_path / "vault")))
    log_manifests(tmp_path / "vault")
    (log.parent / ".lock").unlink()
    before = log.read_bytes()
    where = ("--quarantine", str(tmp_path / "vault"))
    for words in (("show", *where, ASSET), ("list", *where, "--json")):
        assert CliRunner().invoke(cli, ["quarantine", *words]).exit_code == 0
    assert log.read_bytes() == before
    assert list(log.parent.iterdir()) == [log], "no lock either: also who may only read"


@pytest.mark.parametrize("start", [ASSET, ASSET[:31]], ids=["id", "start"])
def test_a_cluster_is_decided_about_at_once(vault: Vault, start: str) -> None:
    called = ("--decision", "escalate", "--reason", "a beach", "--cluster")
    decided = vault("decide", *vault.by("rob"), *called, start)
    assert decided.exit_code == 0, decided.output
    assert decided.stdout.splitlines() == [
        f"{asset}: escalate (line 4)" for asset in (ASSET, f"{2:032x}")
    ]
    none = vault("decide", *vault.by("rob"), *called, "f")
    assert (none.exit_code, "no cluster" in none.stderr) == (2, True)
    for words in (called[:-1], (*called, start, ASSET)):
        refused = vault("decide", *vault.by("rob"), *words)
        assert (refused.exit_code, "either assets or a --cluster" in refused.stderr) == (2, True)


def test_a_cluster_can_be_asked_to_be_released_at_once(vault: Vault) -> None:
    called = ("--decision", "false_positive", "--reason", "a beach", "--cluster", ASSET)
    assert vault("decide", *vault.by("rob"), *called).exit_code == 0
    asked = vault("release", *vault.by("rob"), *called[2:])
    assert asked.stdout == "nothing is released yet; somebody else has to --approve 5\n"
    assert vault("release", *vault.by("ann"), "--approve", "5").stdout.count(": released") == 2


def test_a_cluster_of_many_is_decided_about_in_several_lines(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestgate.quarantine.audit_writing.PER_LINE", 1)
    called = ("--decision", "escalate", "--reason", "a beach", "--cluster", ASSET)
    said = vault("decide", *vault.by("rob"), *called).stdout.splitlines()
    assert said == [f"{ASSET}: escalate (line 4)", f"{2:032x}: escalate (line 5)"]


def test_what_cannot_be_logged_is_not_shown(vault: Vault, tmp_path: Path) -> None:
    path = Path(log_path(str(vault.root)))
    path.write_bytes(path.read_bytes().replace(b'"reviewer"', b'"approver"'))
    refused = vault("show", *vault.by("rob"), ASSET)
    assert (refused.exit_code, refused.stdout) == (5, "")
    to = tmp_path / "out.csv"
    taken = ("--format", "csv", "--to", str(to))
    assert vault("export", *vault.by("rob"), *taken).exit_code == 5
    assert not to.exists()
