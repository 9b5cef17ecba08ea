"""``ingestgate``: the command line."""

import io
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from ingestgate import __version__
from ingestgate.assets import storage
from ingestgate.assets.errors import GateError, StorageError, UsageError
from ingestgate.assets.printable import printable
from ingestgate.pipeline.commands.audit import audit
from ingestgate.pipeline.commands.benchmark import benchmark
from ingestgate.pipeline.commands.census import census
from ingestgate.pipeline.commands.certify import certify
from ingestgate.pipeline.commands.demo import demo
from ingestgate.pipeline.commands.fingerprint import fingerprint
from ingestgate.pipeline.commands.keys import keys
from ingestgate.pipeline.commands.ledger import ledger
from ingestgate.pipeline.commands.lists import lists
from ingestgate.pipeline.commands.purge import purge
from ingestgate.pipeline.commands.quarantine import quarantine
from ingestgate.pipeline.commands.report import report
from ingestgate.pipeline.commands.rescan import rescan
from ingestgate.pipeline.commands.run import run
from ingestgate.pipeline.commands.verify import verify
from ingestgate.pipeline.exit_codes import ExitCode, exit_code

_TYPED = "ingestgate.typed"


class _Group(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keeps what was typed and may be a local path, and whether that is there."""
        own = args[: args.index("--")] if "--" in args else args  # what follows is Beam's
        named = (path for one in own for path in (one, one.partition("=")[2]))  # TYPE=PATH
        ctx.meta[_TYPED] = {
            path: os.path.lexists(path) for path in named if path and not storage.is_remote(path)
        }
        ctx.obj = "json" if "--json" in own else None
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; an error of the gate's is one sentence and an exit code."""
        try:
            _refuse_unexpanded(ctx.meta[_TYPED])
            return super().invoke(ctx)
        except click.UsageError as refused:
            _say_in_json(ctx, refused.format_message(), ExitCode.USAGE)
            raise
        except GateError as raised:
            error = _mistyped(raised, ctx.meta[_TYPED]) or raised
            _say_in_json(ctx, str(error), exit_code(error))
            said = "\n".join(map(printable, str(error).split("\n")))  # it may name an asset
            click.echo(f"ingestgate: {said}", err=True)
            ctx.exit(int(exit_code(error)))
        except KeyboardInterrupt:
            click.echo("ingestgate: interrupted; the same command takes it up again", err=True)
            ctx.exit(int(ExitCode.FAILED))


def _say_in_json(ctx: click.Context, error: str, code: ExitCode) -> None:
    if ctx.obj == "json":
        click.echo(json.dumps({"error": error, "exit_code": code}))


def _refuse_unexpanded(typed: Iterable[str]) -> None:
    """Refuses a home directory that the shell was not asked for: a folder `~` would be made."""
    for path in typed:
        if path == "~" or path.startswith("~/"):
            raise UsageError(
                f"{path}: the shell has not put your home directory in the place of the ~, which "
                "it does only at the beginning of a word without quotes; write the whole path"
            )


def _mistyped(error: GateError, typed: Mapping[str, bool]) -> UsageError | None:
    """Returns the error of a local path that was named and cannot be meant, if it is that.

    What has appeared since is the command's own: what is missing below it was not mistyped.

    Args:
        error: What a command ends with.
        typed: By path, whether it was there when the command began.
    """
    if not isinstance(error, StorageError):
        return None
    at = storage.absolute(error.path)
    for path, was_there in typed.items():
        below = f"{at}/".startswith(f"{storage.absolute(path)}/")
        match error.__cause__:
            case FileNotFoundError() if below and not was_there and not os.path.lexists(path):
                return UsageError(f"{path}: there is nothing of that name; check the path")
            case IsADirectoryError() if at == storage.absolute(path):
                return UsageError(f"{path}: is a folder; name a file")
            case NotADirectoryError() | FileExistsError():
                file = storage.file_in_the_way(at)
                if file and f"{storage.absolute(path)}/".startswith(f"{file}/"):
                    return UsageError(f"{file}: is a file; move it away, or name a folder")
    return None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--verbose", is_flag=True, help="Log what Beam and the workers say.")
def cli(verbose: bool) -> None:
    """The gate between a landing zone of candidate training assets and a training set.

    Checks every asset's source and content against partners' lists, lets the clean ones
    through, seals matches in a quarantine that the job itself cannot open, and leaves evidence
    of both.

    \b
    First steps:
      ingestgate demo                     see it work on real pictures
      ingestgate keys recipient --to FILE make a key pair to try things out
      ingestgate lists compile --help     turn a partner's list into a compiled one
      ingestgate run --help               the job itself

    \b
    Exit codes:
       0  done
       1  the run failed, and running the same command again resumes it; or
          something does not add up (census) or was left undone
       2  usage or configuration
       3  the lists, or suppressions, were refused; nothing was read
       4  a self-test failed or a canary was missed; nothing was admitted
       5  a certificate, log, manifest or shard is not what was signed for
      10  done, and something was quarantined (only with --exit-on-match)
    """  # noqa: D301 - \b is click's own
    # What fails is said in one sentence at the end; Beam's own words are for --verbose.
    logging.basicConfig(
        level=logging.INFO if verbose else logging.CRITICAL,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.getLogger("ingestgate").setLevel(logging.INFO if verbose else logging.WARNING)
    # A store that does not answer is asked again for minutes: whoever waits is told.
    retries = logging.getLogger("apache_beam.utils.retry")
    retries.setLevel(logging.WARNING)
    retries.addFilter(_briefly)


def _briefly(record: logging.LogRecord) -> bool:
    """Says of a retry of Beam's how long it waits and why, without the traceback."""
    if isinstance(record.args, tuple) and len(record.args) > 2:
        why = str(record.args[2]).strip().rpartition("\n")[2]
        record.msg, record.args = "%s; asking again in %.0f s", (why, record.args[0])
    return True


for _command in (
    *(demo, run, certify, verify, rescan, ledger, census, purge, report),
    *(lists, quarantine, audit, keys, fingerprint, benchmark),
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code."""
    code: object = ExitCode.FAILED
    failure: OSError | None = None
    for stream in (sys.stdout, sys.stderr):  # which may have been closed, and are then None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may not be in its encoding
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's Ctrl-C
    try:
        cli.main(args=None if arguments is None else list(arguments), standalone_mode=True)
    except SystemExit as ending:
        code = ending.code
    except OSError as error:
        failure = error
    # What a failed write was of is lost, and only another one tells whether it was of this stream.
    if problem := _unwritten("" if failure is None else "\n"):
        # What a command has done stays done; who called it was not told, and must not take it so.
        code = ExitCode.FAILED
        with suppress(OSError):
            sys.stderr.write(f"ingestgate: cannot write to standard output: {problem}\n")
    elif failure is not None:
        raise failure
    with suppress(OSError):
        sys.stderr.flush()
    # Threads of a job whose worker died never end; nothing is left to be written.
    os._exit(code if isinstance(code, int) else ExitCode.FAILED)


def _unwritten(more: str) -> str:
    """Returns why standard output does not take what was said, and more; "" if it does."""
    try:
        if sys.stdout is not None:  # closed by who called
            sys.stdout.write(more)
            sys.stdout.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""
