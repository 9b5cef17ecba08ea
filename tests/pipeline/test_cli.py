"""The command line ends as its exit codes say, whenever it is told to."""

import fcntl
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
