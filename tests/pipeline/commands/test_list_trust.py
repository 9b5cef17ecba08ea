"""``ingestgate lists sign``, ``verify`` and ``accept``."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

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
    assert signed.stdout.startswith("list p version 1: signed, 1 signatures\n")
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
    assert entry == {"id": "p", "version": 1, "signed_by": ["alice", "bob"]}


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
