"""The command line ends as its exit codes say, whenever it is told to."""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest
from apache_beam.utils.retry import with_exponential_backoff
from click.testing import CliRunner

from ingestgate.assets import storage
from ingestgate.pipeline.cli import cli

# Files stay empty, as on a full disk; stdout is one.
_FULL = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
_FULL += "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
_MAIN = "from ingestgate.pipeline.cli import main; main()"


_LINE = f"ed25519:{'A' * 43}="
_RUN = "--input a --output b --quarantine c --evidence d --lists lists --recipient age1"
_RUN += "6nyhhw7t4gnrav0h869sewxay52anmwjdmxkttvgvar2m7qdrpxqfj6y9c"


def _unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_job_runs_ends_a_run_with_1(tmp_path: Path, number: int) -> None:
    policy, writer = os.pipe()  # whoever reads it waits for more
    os.write(writer, b"#")
    folders = ("input", "output", "quarantine", "evidence", "lists")
    options = [part for name in folders for part in (f"--{name}", str(tmp_path / name))]
    command = [sys.executable, "-c", _MAIN, "run", *options]
    process = subprocess.Popen(
        [*command, "--recipient", "age1", "--policy", f"/dev/fd/{policy}"],
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[policy],
        # Ignored where tests are run in the background, and inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while _unread(policy) and process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    os.close(policy)
    os.close(writer)
    assert said == "ingestgate: interrupted; the same command takes it up again\n"
    assert process.returncode == 1


@pytest.mark.parametrize(
    "command",
    [
        "lists compile --id a --list-version 1 --to lists md5=typo.yaml",
        "lists diff typo.yaml other",
        "lists fetch --exchange folder --from=typo.yaml --to fetched",
        "lists import --partner p --store store --map typo.yaml a.csv",
        f"run {_RUN} --certificate-key typo.yaml",
    ],
)
def test_a_named_path_that_is_not_there_is_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.md5").write_text("d3" * 16)
    compiling = "lists compile --id a --list-version 1 --to lists md5=a.md5"
    assert CliRunner().invoke(cli, compiling.split()).exit_code == 0
    found = CliRunner().invoke(cli, command.split())
    said = "ingestgate: typo.yaml: there is nothing of that name; check the path\n"
    assert (found.exit_code, found.stderr) == (2, said)


_COMPILE = "lists compile --id b --list-version 1 md5=a.md5 --to"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("lists match --lists lists folder", "folder: is a folder; name a file"),
        (f"run {_RUN} --list-state folder", "folder: is a folder; name a file"),
        ("keys signing --to file/below", "file: is a file; move it away, or name a folder"),
        (f"{_COMPILE} file/below", "file: is a file; move it away, or name a folder"),
        (f"run {_RUN} --evidence file/below", "file: is a file; move it away, or name a folder"),
        (f"verify folder/none --key {_LINE}", "folder/none: no such folder; check the path"),
        (f"verify file --key {_LINE}", "file: no such folder; check the path"),
        ("report croissant --output none --name n --to b", "none: no such folder; check the path"),
        (
            "certify --output none --evidence evidence --lists lists --key key.pem",
            "none: no such folder; check the path",
        ),
    ],
)
def test_a_file_where_a_folder_is_wanted_or_the_other_way_round_is_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    Path("a.md5").write_text("d3" * 16)
    Path("evidence/reports").mkdir(parents=True)
    Path("evidence/report.json").write_text("{}")
    compiling = "lists compile --id a --list-version 1 --to lists md5=a.md5"
    assert CliRunner().invoke(cli, compiling.split()).exit_code == 0
    before = sorted(tmp_path.rglob("*"))
    found = CliRunner().invoke(cli, command.split())
    assert found.exit_code == 2, found.stderr
    assert found.stderr.replace(f"{tmp_path}/", "") == f"ingestgate: {said}\n"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("word", ["~/admitted", "~", "--to=~/admitted", "md5=~/a"])
def test_a_home_directory_that_no_shell_has_put_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(cli, ["keys", "recipient", "--to", word])
    assert found.exit_code == 2
    assert "the shell has not put your home directory in the place of the ~" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_beams_options_and_names_with_a_tilde_are_their_own_matter() -> None:
    for words in (["--input", "a~/b"], ["--", "--temp_location=~/x"]):
        found = CliRunner().invoke(cli, ["run", *_RUN.split(), *words])
        assert found.stderr.startswith("ingestgate: lists: no compiled list there")


@pytest.mark.parametrize("command", ["run --json --input x", "verify --json", "lists lnt --json"])
def test_what_is_wrong_with_the_options_is_said_in_json_too(command: str) -> None:
    found = CliRunner().invoke(cli, command.split())
    told = json.loads(found.stdout)
    assert (found.exit_code, told["exit_code"]) == (2, 2)
    assert found.stderr.endswith(f"Error: {told['error']}\n")


def test_what_vanished_while_a_command_was_at_work_may_be_tried_again(tmp_path: Path) -> None:
    lost = tmp_path / "lists" / "lost"
    (tmp_path / "lists").mkdir()
    lost.symlink_to(tmp_path / "nowhere")
    found = CliRunner().invoke(cli, ["lists", "diff", str(tmp_path / "lists"), "b"])
    assert (found.exit_code, "No such file or directory" in found.stderr) == (1, True)


def test_what_vanished_of_what_a_command_has_made_is_no_mistyped_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"

    def open_version(path: str) -> None:
        made.mkdir()
        storage.read_bytes(f"{path}/lost")

    monkeypatch.setattr("ingestgate.blocklists.changes.open_version", open_version)
    found = CliRunner().invoke(cli, ["lists", "diff", str(made), "b"])
    assert found.stderr == f"ingestgate: {made}/lost: No such file or directory\n"
    assert found.exit_code == 1


def test_an_error_cannot_move_the_cursor(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["fingerprint", str(tmp_path / "a\x1b[2Ab.jpg")])
    assert found.exit_code != 0
    assert r"a\x1b[2Ab.jpg" in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["lists", "inspect", "--lists", "nowhere", "--json"], ["verify", "--help"]],
    ids=["group", "refusal in JSON", "command"],
)
def test_a_full_disk_under_standard_output_is_one_sentence(
    tmp_path: Path, arguments: list[str]
) -> None:
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-B", "-c", _FULL + _MAIN, *arguments],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == "ingestgate: cannot write to standard output: File too large\n"
    assert done.returncode == 1


def test_closed_standard_output_is_no_fault() -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", _MAIN, "--help"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: os.close(1),
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_whoever_waits_for_a_store_is_told_why_without_a_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    CliRunner().invoke(cli, ["audit", "verify", "--quarantine", "nowhere"])
    monkeypatch.setattr(logging.getLogger("apache_beam.utils.retry"), "handlers", [caplog.handler])
    retried = with_exponential_backoff(
        num_retries=1, initial_delay_secs=0.001, retry_filter=lambda _: True
    )
    with pytest.raises(OSError, match="no answer"):
        retried(_refuse)()
    (record,) = caplog.records
    assert record.getMessage() == "OSError: no answer; asking again in 0 s"


def _refuse() -> None:
    raise OSError("no answer")
