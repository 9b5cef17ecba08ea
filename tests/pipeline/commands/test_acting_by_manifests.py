"""People's commands on a quarantine that somebody changes for a moment, or sealed twice."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.pipeline.cli import cli
from ingestgate.quarantine.layout import id_of
from tests.quarantine.vaults import Sample, asset, files, fill, reader

SWAPPED = ("sealed_object", "sealed_key", "sealed_key_sha256", "sealed_sha256", "package_sha256")


class Vault:
    """A quarantine with two samples; ann administers, rob reviews."""

    def __init__(self, folder: Path) -> None:
        self.root, self.person = folder / "vault", reader()
        self.sealed = fill(
            self.root, [self.person.recipient], Sample("one", (b"1",)), Sample("two", (b"2",))
        )
        self.identity = str(folder / "identity.txt")
        Path(self.identity).write_text(str(self.person.identity))
        self.keys = {name: str(folder / f"{name}.pem") for name in ("ann", "rob")}
        for name, role in (("ann", "administrator"), ("rob", "reviewer")):
            public = generate_signing_key(self.keys[name])
            person = ("--name", name, "--public", public, "--role", role)
            done = self("reviewers", "add", "--key", self.keys["ann"], *person)
            assert done.exit_code == 0, done.output

    def __call__(self, *words: str) -> Result:
        cut = 2 if words[0] == "reviewers" else 1
        where = ("--quarantine", str(self.root))
        return CliRunner().invoke(cli, ["quarantine", *words[:cut], *where, *words[cut:]])

    def by(self, name: str, *words: str) -> Result:
        return self(words[0], "--key", self.keys[name], *words[1:])

    @property
    def manifest(self) -> Path:
        return next((self.root / "manifest").glob("*.jsonl"))

    def swap(self) -> None:
        """Lets each row point to what the other has sealed."""
        one, two = (json.loads(line) for line in self.manifest.read_bytes().splitlines())
        for name in SWAPPED:
            one[name], two[name] = two[name], one[name]
        self.manifest.write_text(f"{json.dumps(one)}\n{json.dumps(two)}\n")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def test_a_manifest_that_was_changed_ends_every_act_with_5(vault: Vault, tmp_path: Path) -> None:
    one, before = asset("one"), files(vault.root)
    order = vault.by("rob", "destroy", "--reason", "asked for", one).stdout.split()[-1]
    vault.swap()
    log = (vault.root / "audit" / "log.jsonl").read_bytes()
    reason = ("--reason", "a beach", one)
    secret = ("--identity", vault.identity)
    for done in (
        vault("list"),
        vault.by("rob", "show", one),
        vault.by("rob", "open", *secret, "--to", str(tmp_path / "opened"), one),
        vault.by("rob", "decide", "--decision", "false_positive", *reason),
        vault.by("rob", "release", *reason),
        vault.by("rob", "destroy", *reason),
        vault.by("ann", "destroy", "--approve", order),
        vault.by("ann", "rewrap", *secret, "--recipient", vault.person.recipient),
    ):
        assert done.exit_code == 5, done.output
        assert f"{vault.manifest.name}: is not what was sealed; it was changed" in done.stderr
        assert "restore the file" in done.stderr
    assert not (tmp_path / "opened").exists()
    assert files(vault.root) == before
    assert (vault.root / "audit" / "log.jsonl").read_bytes() == log, "nothing to look back on"


def test_other_files_under_its_names_are_not_opened(vault: Vault, tmp_path: Path) -> None:
    one, two = vault.sealed["one"], vault.sealed["two"]
    for there, other in ((one.path, two.path), (one.key_path, two.key_path)):
        (vault.root / there).write_bytes((vault.root / other).read_bytes())
    to = ("--identity", vault.identity, "--to", str(tmp_path / "opened"), asset("one"))
    done = vault.by("rob", "open", *to)
    assert (done.exit_code, "is not what was sealed there" in done.stderr) == (5, True)
    assert not (tmp_path / "opened").exists()


def test_the_list_says_what_it_leaves_out(vault: Vault) -> None:
    assert "left out" not in vault("list").stderr
    path = vault.manifest.with_name("zz-0-0.jsonl")
    path.write_bytes(vault.manifest.read_bytes())
    listed = vault("list")
    assert listed.exit_code == 0
    assert "1 manifests are left out, manifest/zz-0-0.jsonl among them" in listed.stderr


def test_who_has_something_destroyed_says_which_contents(vault: Vault) -> None:
    other = fill(vault.root, [vault.person.recipient], Sample("one", (b"other",)), context="c1")[
        "one"
    ]
    asking = ("destroy", "--reason", "asked for", asset("one"))
    refused = vault.by("rob", *asking)
    assert (refused.exit_code, id_of(other.path) in refused.stderr) == (2, True)
    assert "--sample" in refused.stderr
    order = vault.by("rob", *asking, "--sample", id_of(other.path)).stdout.split()[-1]
    before = files(vault.root)
    done = vault.by("ann", "destroy", "--approve", order)
    assert done.exit_code == 0, done.output
    assert before.keys() - files(vault.root).keys() == {other.path, other.key_path}
    again = vault.by("ann", "destroy", "--approve", order)
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert vault("check").exit_code == 0
