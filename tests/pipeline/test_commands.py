"""The small commands, and what they print."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ingestgate.pipeline.cli import cli
from ingestgate.pipeline.commands.values import spread
from ingestgate.quarantine.audit_writing import append_machine
from tests.commands import every_command


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--i", "a", "b"], ["--i", "a", "--i", "b"]),
        (["--i", "a", "--x", "b", "c"], ["--i", "a", "--x", "b", "c"]),
        (["--i", "a", "b", "--", "--i", "c", "d"], ["--i", "a", "--i", "b", "--", "--i", "c", "d"]),
        (["--i=a", "b"], ["--i=a", "b"]),
        (["--i", "a", "--i", "b", "c"], ["--i", "a", "--i", "b", "--i", "c"]),
        ([], []),
    ],
)
def test_several_values_after_one_flag(given: list[str], expected: list[str]) -> None:
    assert spread(given, {"--i"}) == expected


def test_keys_recipient_prints_the_public_half_only(tmp_path: Path) -> None:
    path = tmp_path / "key.txt"
    result = invoke("keys", "recipient", "--to", str(path))
    assert result.exit_code == 0
    assert result.stdout.startswith("age1")
    assert "SECRET" not in result.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    again = invoke("keys", "recipient", "--to", str(path))
    assert again.exit_code == 2
    assert "AGE-SECRET-KEY" in path.read_text()


def compiled(tmp_path: Path, *extra: str, values: str = "ab" * 16) -> Result:
    (tmp_path / "md5.txt").write_text(values + "\n")
    return invoke(
        *("lists", "compile", "--id", "p", "--list-version", "2"),
        *("--to", str(tmp_path / "lists"), *extra, f"md5={tmp_path}/md5.txt"),
    )


def test_compile_and_inspect(tmp_path: Path) -> None:
    result = compiled(tmp_path, "--expires", "2999-01-31", "--partner", "P")
    assert (result.exit_code, result.stdout) == (0, "p version 2: 1 md5\n")
    table = invoke("lists", "inspect", "--lists", str(tmp_path / "lists"))
    assert "2999-01-31" in table.stdout
    found = json.loads(
        invoke("lists", "inspect", "--lists", str(tmp_path / "lists"), "--json").stdout
    )
    (entry,) = found["lists"]
    assert (entry["id"], entry["version"], entry["entries"]) == ("p", 2, {"md5": 1})


def test_a_value_that_is_none_is_refused_by_line_and_not_shown(tmp_path: Path) -> None:
    result = compiled(tmp_path, values="ab" * 16 + "\n" + "confidential")
    assert result.exit_code == 3
    assert "md5.txt" in result.stderr
    assert "2" in result.stderr
    assert "confidential" not in result.output


@pytest.mark.parametrize("source", ["md5", "=x", "md5="])
def test_sources_are_type_and_file(tmp_path: Path, source: str) -> None:
    result = invoke(
        *("lists", "compile", "--id", "p", "--list-version", "1"),
        *("--to", str(tmp_path / "lists"), source),
    )
    assert result.exit_code == 2
    assert "TYPE=FILE" in result.stderr


def test_inspect_refuses_an_empty_folder(tmp_path: Path) -> None:
    result = invoke("lists", "inspect", "--lists", str(tmp_path), "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["exit_code"] == 3


def test_an_error_of_ledger_is_json_too(tmp_path: Path) -> None:
    result = invoke("ledger", "--evidence", str(tmp_path), "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["exit_code"]) == (2, 2)
    assert "no evidence of a run there; give the --evidence of a run" in said["error"]


def options_of(command: click.Command) -> Iterator[click.Parameter]:
    yield from command.params
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from options_of(each)


def test_errors_are_json_wherever_output_is() -> None:
    flags = [option for option in options_of(cli) if option.name == "as_json"]
    assert len(flags) > 20
    assert {tuple(flag.opts) for flag in flags} == {("--json",)}, "what errors go by"


def test_quarantine_of_nothing(tmp_path: Path) -> None:
    append_machine(str(tmp_path), "run.begun", {})
    result = invoke("quarantine", "show", "--quarantine", str(tmp_path), "abc")
    assert result.exit_code == 2
    assert "no asset" in result.stderr
    listed = invoke("quarantine", "list", "--quarantine", str(tmp_path))
    assert (listed.exit_code, listed.stderr) == (0, "no asset matches\n")


@pytest.mark.parametrize(("path", "command"), list(every_command()))
def test_every_option_has_help(path: str, command: click.Command) -> None:
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.opts for each in options if not each.help] == []


def test_the_help_of_a_signing_key_says_all_that_it_is_for() -> None:
    said = " ".join(invoke("keys", "signing", "--help").stdout.split())
    for use in ("trust.keys", "trust.suppression_keys", "reviewers add", "verify --key"):
        assert use in said
    for use in ("certificate", "purges", "recall notices", "checkpoints"):
        assert use in said


@pytest.mark.parametrize("arguments", [["run"], ["census"], ["lists"], ["quarantine"], ["keys"]])
def test_every_command_has_help(arguments: list[str]) -> None:
    result = invoke(*arguments, "--help")
    assert result.exit_code == 0
    assert len(result.stdout) > 200
