"""``ingestgate census``: does everything add up."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ingestgate.assets.errors import UsageError
from ingestgate.assets.printable import counted, printable
from ingestgate.pipeline.commands.options import JSON, policy, run_folders
from ingestgate.pipeline.commands.progress_bar import progress_bar
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several
from ingestgate.pipeline.exit_codes import ExitCode


@click.command(cls=SeveralValuesCommand)
@several("--input", "inputs", required=True, metavar="GLOB...", help="The run's input.")
@run_folders
@click.option("--format", "format_", metavar="F", help="The run's --format.")
@policy("The run's policy (its sidecars decide what a sample is).")
@JSON
@click.pass_context
def census(ctx: click.Context, /, **options: Any) -> None:
    """Prove that every input asset has exactly one verdict.

    Re-reads input, output, quarantine and evidence, independently of the run: inputs =
    admitted + quarantined + unscannable, asset by asset; the output holds exactly what was
    admitted, unchanged; everything quarantined is sealed. Ends with 0 if so, with 1 and what
    does not add up otherwise.
    """
    from ingestgate.assets import storage
    from ingestgate.assets.evidence import require_evidence
    from ingestgate.pipeline.census.taking import take_census
    from ingestgate.pipeline.run_policy import policy_of

    as_json, root = options["as_json"], options["quarantine"]
    require_evidence(options["evidence"])
    # One that is there and lacks what was sealed does not add up; a store knows no empty folder.
    if not storage.is_remote(root) and not storage.is_directory(root):
        raise UsageError(f"{root}: no quarantine there; give the --quarantine of the run")
    policy = policy_of(options["policy_file"])
    with progress_bar("census", quiet=as_json) as tell:
        found = take_census(
            options["inputs"],
            options["output"],
            options["quarantine"],
            options["evidence"],
            format=options["format_"],
            options=policy.read_options(),
            tell=tell,
        )
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        table = Table(title=f"Census of {counted(found.shards, 'shard')}")
        table.add_column("assets")
        table.add_column("", justify="right")
        table.add_row("in the input", f"{found.inputs:,}")
        if found.purged:
            table.add_row("purged from it", f"{found.purged:,}")
        if found.suppressed:
            table.add_row("matched, admitted by suppression", f"{found.suppressed:,}")
        for verdict, count in found.as_dict()["counts"].items():
            table.add_row(verdict, f"{count:,}")
        Console(highlight=False).print(table)
        if found.counted_once:
            click.echo(
                f"{found.counted_once} of the shards counted by the gate's own readers alone: no "
                "plain library reads their format, or them"
            )
        click.echo("exact" if found.exact else f"{counted(found.problem_count, 'problem')}:")
        for problem in found.problems:
            click.echo(f"  {printable(problem)}")
    ctx.exit(int(ExitCode.DONE if found.exact else ExitCode.FAILED))
