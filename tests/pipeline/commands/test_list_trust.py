"""``ingestgate lists sign``, ``verify`` and ``accept``."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingestgate.assets.signing_keys import read_signing_key
from ingestgate.blocklists.signing import sign_list
from ingestgate.pipeline.cli import cli


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def lists(tmp_path: Path) -> str:
    compile_(tmp_path, 1)
    return str(tmp_path / "lists")


def compile_(
    tmp_path: Path, version: int, values: int = 2, expires: str | None = "2100-01-01"
) -> str:
    (tmp_path / "md5.txt").write_text("".join(f"{n + 1:032x}\n" for n in range(values)))
    done = invoke(
        *("lists", "compile", "--id", "p", "--list-version", str(version)),
        *("--to", str(tmp_path / "lists"), f"md5={tmp_path}/md5.txt"),
        *(("--expires", expires) if expires else ()),
    )
    assert done.exit_code == 0
    return str(tmp_path / "lists" / f"p-{version}")


def key(tmp_path: Path, name: str) -> tuple[str, str]:
    path = str(tmp_path / f"{name}.pem")
    made = invoke("keys", "signing", "--to", path)
    assert made.exit_code == 0
    assert "PRIVATE" not in made.output
    return path, made.stdout.strip()


def test_sign_and_verify(tmp_path: Path, lists: str) -> None:
    alice, alices = key(tmp_path, "alice")
    bob, bobs = key(tmp_path, "bob")
    signed = invoke("lists", "sign", "--key", alice, f"{lists}/p-1")
    assert signed.stdout.startswith("list p version 1: signed, 1 signature\n")
    verified = invoke("lists", "verify", "--lists", lists, "--trust", f"alice={alices}")
    assert verified.stdout == "list p version 1: signed by alice\n"
    policy = tmp_path / "policy.yaml"
    keys = {"alice": alices, "bob": bobs}
    policy.write_text(json.dumps({"trust": {"keys": keys, "threshold": 2}}))
    arguments = ("lists", "verify", "--lists", lists, "--policy", str(policy), "--json")
    refused = invoke(*arguments)
    assert refused.exit_code == 3
    assert "signed by 1 of the 2 trusted keys (alice)" in json.loads(refused.stdout)["error"]
    assert invoke("lists", "sign", "--key", bob, f"{lists}/p-1").exit_code == 0
    (entry,) = json.loads(invoke(*arguments).stdout)["lists"]
    signed_by = ["alice", "bob"]
    assert entry == {"id": "p", "version": 1, "signed_by": signed_by, "exception": None}


def test_a_list_without_expiry_is_not_signed(tmp_path: Path) -> None:
    directory = compile_(tmp_path, 1, expires=None)
    signed = invoke("lists", "sign", "--key", key(tmp_path, "alice")[0], directory)
    assert signed.exit_code == 3
    assert "list p version 1 states no expiry" in signed.stderr
    assert "--expires" in signed.stderr
    assert not Path(directory, "list.dsse.json").exists()


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ((), "no trusted key"),
        (("--trust", "alice"), "not a public key"),
        (("--trust", "alice=ed25519:AA"), "not a public key"),
    ],
)
def test_verify_wants_a_key(lists: str, trust: tuple[str, ...], said: str) -> None:
    result = invoke("lists", "verify", "--lists", lists, *trust)
    assert result.exit_code == 2
    assert said in result.stderr


def test_verify_compares_with_what_was_seen_and_accept_takes_it(tmp_path: Path, lists: str) -> None:
    path, line = key(tmp_path, "alice")
    invoke("lists", "sign", "--key", path, f"{lists}/p-1")
    state = str(tmp_path / "seen.json")
    accept = ("lists", "accept", "--lists", lists, "--list-state", state, "p")
    verify = ("lists", "verify", "--lists", lists, "--trust", f"a={line}", "--list-state", state)
    assert invoke(*accept).stdout == "list p version 1: accepted\n"
    assert invoke(*verify).exit_code == 0
    invoke("lists", "sign", "--key", path, compile_(tmp_path, 2, values=9))
    refused = invoke(*verify)
    assert refused.exit_code == 3
    assert "grew from 2 values in version 1 to 9" in refused.stderr
    assert invoke(*accept).stdout == "list p version 2: accepted\n"
    assert invoke(*verify).exit_code == 0


def test_an_expired_list_that_is_used_by_exception_is_said_to_be(
    tmp_path: Path, lists: str
) -> None:
    path, line = key(tmp_path, "alice")
    old = ("--issued", "2020-01-01", "--expires", "2020-02-01", f"md5={tmp_path}/md5.txt")
    made = ("lists", "compile", "--id", "old", "--list-version", "1", "--to", lists, *old)
    assert invoke(*made).exit_code == 0
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"trust": {"keys": {"alice": line}}}))
    where = ("--lists", lists, "--policy", str(policy))
    until = datetime.now(UTC).date() + timedelta(days=9)
    excepting = ("lists", "except", "--key", path, "--until", str(until), "--reason", "moving")
    assert invoke(*excepting, f"{lists}/old-1").stdout.endswith(", 1 signature\n")
    # Whether lists are meant to hold what they hold is asked before they are signed.
    linted = invoke("lists", "lint", *where)
    assert (linted.exit_code, "2 lists: 0 refused" in linted.stdout) == (0, True), linted.output
    other = json.dumps({"trust": {"keys": {"bob": key(tmp_path, "bob")[1]}}})
    (tmp_path / "other.yaml").write_text(other)
    refused = invoke("lists", "lint", "--lists", lists, "--policy", str(tmp_path / "other.yaml"))
    assert (refused.exit_code, "signed by 0 of the 1 trusted keys" in refused.stderr) == (3, True)

    assert invoke("lists", "sign", "--key", path, f"{lists}/p-1").exit_code == 0
    sign_list(f"{lists}/old-1", read_signing_key(path), now=datetime(2020, 1, 2, tzinfo=UTC))
    said = f"old: has expired, and is used until {until}T00:00:00Z by an exception: moving\n"
    inspected = invoke("lists", "inspect", *where)
    assert said in inspected.stdout
    assert "signatures" not in inspected.stdout
    verified = invoke("lists", "verify", *where)
    assert f"list old version 1: expired; exception until {until}T" in verified.stdout
    used = json.loads(invoke("lists", "verify", *where, "--json").stdout)["lists"]
    assert [one["exception"] and one["exception"]["reason"] for one in used] == ["moving", None]


def test_inspect_says_why_signatures_are_not_looked_at(tmp_path: Path, lists: str) -> None:
    (tmp_path / "policy.yaml").write_text("url_columns: []\n")
    why = {(): "give --policy", ("--policy", str(tmp_path / "policy.yaml")): "trust.keys"}
    for arguments, reason in why.items():
        said = invoke("lists", "inspect", "--lists", lists, *arguments).stdout.splitlines()[-1]
        assert said.startswith("signatures: not checked, ")
        assert f"{reason}; see 'ingestgate lists verify'" in said
