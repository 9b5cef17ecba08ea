"""``ingestgate run``: the job."""

import json
import os
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ingestgate.assets.printable import counted, printable
from ingestgate.pipeline.commands.options import json_flag, policy, suppressions
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several
from ingestgate.pipeline.exit_codes import ExitCode

_FOLDER = click.Path(path_type=str)


@click.command(cls=SeveralValuesCommand)
@several(
    "--input",
    "inputs",
    required=True,
    metavar="GLOB...",
    help="Landing zone: paths, patterns or folders, local or with a scheme (gs://, s3://).",
)
@click.option(
    "--output",
    required=True,
    type=_FOLDER,
    metavar="DIR",
    help="Where admitted shards go; mirrors the input below its common root.",
)
@click.option(
    "--quarantine",
    required=True,
    type=_FOLDER,
    metavar="DIR",
    help="Where matches are sealed, with their manifest.",
)
@click.option(
    "--evidence",
    required=True,
    type=_FOLDER,
    metavar="DIR",
    help="Ledger, receipts and report; also what a later run resumes from. Confidential.",
)
@click.option(
    "--lists",
    required=True,
    type=_FOLDER,
    metavar="DIR",
    help="Folder of compiled lists (see: ingestgate lists compile).",
)
@click.option(
    "--list-state",
    type=_FOLDER,
    metavar="FILE",
    help="Remember there which lists were seen, and refuse older, missing or much changed ones.",
)
@suppressions(
    "Signed suppressions to honour, of false positives (see: ingestgate quarantine suppress)."
)
@several(
    "--recipient",
    "recipients",
    metavar="FILE|age1...",
    help="Public age key that matches are sealed to, or a file of them; each recipient can "
    "open them. Only a dry run does without.",
)
@click.option(
    "--format",
    "format_",
    metavar="F",
    help="Format of every input: webdataset, "
    "img2dataset, parquet, folder, url-manifest. Default: told from the input.",
)
@policy("Policy in YAML; default: everything that fails closed.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=len(os.sched_getaffinity(0)),
    show_default="one per core",
    help="Local worker processes.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Judge and report; write neither output nor "
    "quarantine. A real run later takes over what was judged.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Keep what an earlier run finished under the same policy and lists.  [default: resume]",
)
@click.option(
    "--recall",
    is_flag=True,
    help="Judge only the shards anew that 'ingestgate rescan' has recalled, and close the "
    "notices. All else as in the run that admitted them, with the newer lists.",
)
@several(
    "--certificate-key",
    "certificate_keys",
    metavar="FILE",
    help="Private key to sign a certificate of the output with, if the run ends well "
    "(see: ingestgate certify). Only the driver reads it.",
)
@click.option("--exit-on-match", is_flag=True, help="End with code 10 if anything was quarantined.")
@json_flag("Print the report as JSON on standard output; no progress.")
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM OPTIONS]")
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Judge a landing zone and commit what is clean.

    Running the same command again resumes: finished shards are not looked at, judged ranges
    not judged again. Nothing is admitted before everything that matched in its shard is sealed.

    \b
    Example:
      ingestgate run --input 'landing/*.tar' --output admitted --quarantine vault \\
        --evidence evidence --lists lists --recipient recipients.txt

    Any Beam runner: options after `--` are Beam's own, such as `-- --runner=FlinkRunner`.
    """  # noqa: D301 - \b is click's own
    from ingestgate.pipeline.progress import ProgressDisplay
    from ingestgate.pipeline.run import RunRequest
    from ingestgate.pipeline.run import run as run_gate

    as_json = options.pop("as_json")
    exit_on_match = options.pop("exit_on_match")
    options["format"] = options.pop("format_")
    report = run_gate(RunRequest(**options), ProgressDisplay(quiet=as_json))
    if as_json:
        click.echo(json.dumps(report))
    else:
        show(report)
    code = report["exit_code"]
    if code == ExitCode.DONE and exit_on_match and report["counts"]["quarantined"]:
        code = ExitCode.DONE_WITH_MATCHES
    ctx.exit(int(code))


def show(report: dict[str, Any]) -> None:
    """Prints a report for people."""
    shards = report["shards"]
    if shards["finished_before"] == shards["total"] and not report["error"]:
        click.echo(f"Nothing to do, all is finished: {counted(shards['total'], 'shard')}.")
    table = Table(title="Verdicts" + (" (dry run)" if report["dry_run"] else ""))
    table.add_column("verdict")
    table.add_column("assets", justify="right")
    table.add_column("of which")
    reasons = report["reasons"]
    for verdict, count in report["counts"].items():
        table.add_row(verdict, f"{count:,}", _of_which(verdict, reasons, report["tiers"]))
    Console(highlight=False).print(table)
    rate = report["throughput"]
    click.echo(
        f"{counted(shards['total'], 'shard')}, {shards['finished_before']} finished before, "
        f"{shards['done']} done now in {rate['seconds']:.1f} s "
        f"({rate['assets_per_second']:.0f} assets/s)"
    )
    for used in report["lists"]:
        if exception := used["exception"]:
            click.echo(
                f"list {used['id']} has expired, and is used until {exception['until']} by an "
                f"exception: {exception['reason']}"
            )
    for name, signals in report["not_searched"].items():
        click.echo(
            f"list {name}: nothing was held against its {', '.join(signals)} entries, as the "
            "policy names no url_columns"
        )
    suppressed = report["suppressions"]
    if count := suppressed["assets"].get("admitted"):
        click.echo(f"matched, and admitted by signed suppressions: {counted(count, 'asset')}")
    for one in suppressed["expired"]:
        click.echo(f"suppression {one['id']} ended on {one['until']}; it is not honoured")
    for failure in shards["failed"]:
        click.echo(printable(f"failed: {failure['shard']}: {failure['problem']}"))
    if shards["replaced"]:
        replaced = printable(", ".join(shards["replaced"]))
        click.echo(
            "replaced in the output, as the landing zone has other content under the name: "
            f"{replaced}"
        )
    if report["input"]["left_behind"]:
        left = printable(", ".join(report["input"]["left_behind"]))
        click.echo(f"part of no shard, not let through: {left}")
    click.echo(f"report: {report['paths']['evidence']}/report.html")
    if report["certificate"]:
        click.echo(f"certificate: {report['certificate']['path']}")
    if report["error"]:
        click.echo(printable(f"ingestgate: {report['error']}"), err=True)


def _of_which(verdict: str, reasons: dict[str, int], tiers: dict[str, int]) -> str:
    from ingestgate.assets.verdict import REASONS, Reason, Verdict

    known = REASONS[Verdict(verdict)]
    parts = {name: count for name, count in reasons.items() if Reason(name) in known}
    if verdict == Verdict.QUARANTINED:
        parts.pop(Reason.MATCHED, None)
        parts = {f"{tier} evidence": count for tier, count in tiers.items()} | parts
    elif verdict == Verdict.ADMITTED:
        return ""
    return ", ".join(f"{count:,} {name}" for name, count in parts.items())
