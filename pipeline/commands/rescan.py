"""``ingestgate rescan``: ledgers against newer lists."""

import json
import os
import time
from datetime import UTC, datetime
from typing import Any

import click

from ingestgate.assets.errors import GateError
from ingestgate.assets.printable import counted, printable
from ingestgate.pipeline.commands.options import FILE, JSON, policy, suppressions
from ingestgate.pipeline.commands.progress_bar import progress_bar
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several
from ingestgate.pipeline.exit_codes import ExitCode, exit_code


@click.command(cls=SeveralValuesCommand)
@several("--evidence", "evidence", required=True, metavar="DIR...", help="Evidence of runs.")
@click.option("--lists", required=True, type=click.Path(), metavar="DIR", help="Compiled lists.")
@several(
    "--since",
    metavar="[ID=]VERSION",
    help="Only look for what came to a list (or all) since that version, which has to lie in "
    "--lists as well; a list that has not come as far has not changed. Default: for everything.",
)
@click.option(
    "--list-state",
    type=click.Path(),
    metavar="FILE",
    help="Remember there which lists were seen, and refuse older, missing or much changed ones.",
)
@policy("The runs' policy.")
@suppressions("Signed suppressions: what they let pass is not recalled.")
@click.option(
    "--key",
    "key_file",
    type=FILE,
    metavar="FILE",
    help="Private key that signs recall notices (see: ingestgate keys signing).",
)
@click.option(
    "--output", type=click.Path(), metavar="DIR", help="Default: as the last run's report says."
)
@click.option(
    "--quarantine",
    type=click.Path(),
    metavar="DIR",
    help="Whose audit log has to say it. Default: as the run's report says.",
)
@click.option(
    "--withdrawn",
    "withdrawals",
    is_flag=True,
    help="Also put quarantined assets up for review that only withdrawn entries had matched.",
)
@click.option(
    "--consumers",
    type=FILE,
    metavar="FILE",
    help="Recorded training runs, CSV or JSONL: run, dataset, shard, sha256, time. Says which of "
    "them read a recalled shard.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=len(os.sched_getaffinity(0)),
    show_default="one per core",
    help="Local worker processes.",
)
@click.option("--exit-on-match", is_flag=True, help="End with code 10 if anything is recalled.")
@JSON
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM OPTIONS]")
@click.pass_context
def rescan(ctx: click.Context, /, **options: Any) -> None:
    """Hold what was judged before against newer lists, without touching an asset.

    Reads the fingerprints in the ledgers. Admitted shards in which something matches now are
    recalled: a notice lies with the output and in the evidence until `ingestgate run --recall` has
    judged them anew. A hash that comes so near that only the picture can tell recalls its shard as
    well. Ends with 1, and names what is missing, if the lists need a fingerprint that the ledger
    lacks. If the output lacks some of what is recalled, all of it is recalled and the code is 2. Of
    several folders, one that fails keeps none of the others from it: the code is then the highest
    of those that failed.

    \b
    Example:
      ingestgate rescan --evidence evidence --lists lists --since 6 \\
        --key certificate-key.pem
      ingestgate run --recall --input 'landing/*.tar' --output admitted --quarantine vault \\
        --evidence evidence --lists lists --recipient recipients.txt
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets import storage
    from ingestgate.assets.evidence import require_evidence
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.blocklists.suppressions import Suppressions
    from ingestgate.pipeline.consumers import consumers_of, read_consumers
    from ingestgate.pipeline.list_opening import open_lists
    from ingestgate.pipeline.rescan.job import rescan as rescan_ledger
    from ingestgate.pipeline.rescan.request import RescanRequest
    from ingestgate.pipeline.rescan.since import parse_since
    from ingestgate.pipeline.run_policy import policy_of
    from ingestgate.pipeline.runners import check_beam_options

    as_json = options["as_json"]
    check_beam_options(options["beam_options"])
    if options["beam_options"]:
        storage.use_beam_options(options["beam_options"])
    for folder in options["evidence"]:
        require_evidence(folder)
    key = options["key_file"]
    policy = policy_of(options["policy_file"])
    since, state = parse_since(options["since"]), options["list_state"]
    lists = open_lists(options["lists"], policy, datetime.now(UTC), state)
    suppressions = Suppressions.open(
        options["suppressions"], policy.trust.for_suppressions(), now=datetime.now(UTC)
    )
    if options["consumers"]:
        list(read_consumers(options["consumers"]))  # refused before anything is recalled
    request = RescanRequest(
        lists=options["lists"],
        policy=policy,
        since=since,
        list_state=state,
        key=read_signing_key(key) if key else None,
        workers=options["workers"],
        output=options["output"],
        quarantine=options["quarantine"],
        withdrawals=options["withdrawals"],
        suppressions=suppressions,
        beam_options=options["beam_options"],
    )
    started = time.monotonic()
    reports, failed = [], []
    for folder in options["evidence"]:
        try:
            with progress_bar(folder, quiet=as_json) as tell:
                reports.append(rescan_ledger(request, folder, lists, tell))
        except GateError as error:
            if len(options["evidence"]) == 1:
                raise
            # What was recalled in the others has to be told all the same.
            code = int(exit_code(error))
            failed.append({"evidence": folder, "error": str(error), "exit_code": code})
            continue
        if missing := reports[-1]["missing"]:
            many = counted(len(missing), "file")
            said = f"rescanned, but the output lacks {many} that it should hold: {missing[0]}"
            failed.append({"evidence": folder, "error": said, "exit_code": int(ExitCode.USAGE)})
        if not as_json:
            _show(reports[-1])
    seconds = time.monotonic() - started
    used = []
    if options["consumers"]:
        used = consumers_of(options["consumers"], [r["evidence"] for r in reports])
    recalled = sum(len(report["recalled"]) for report in reports)
    if as_json:
        found = {
            "rescans": reports,
            "failed": failed,
            "consumers": used,
            "seconds": round(seconds, 3),
        }
        click.echo(json.dumps(found))
    else:
        _show_end(used, seconds)
    for one in failed:
        click.echo(printable(f"ingestgate: {one['evidence']}: {one['error']}"), err=True)
    if failed:
        ctx.exit(max(one["exit_code"] for one in failed))
    ctx.exit(int(ExitCode.DONE_WITH_MATCHES if recalled and options["exit_on_match"] else 0))


def _show(report: dict[str, Any]) -> None:
    click.echo(
        f"{report['evidence']}: {counted(report['compared'], 'asset')} of "
        f"{counted(report['shards'], 'shard')} held against "
        f"{counted(len(report['lists']), 'list')}: {report['matched']:,} admitted ones match, "
        f"{report['to_judge_again']:,} have to be judged again, "
        f"{report['withdrawn']:,} quarantined ones matched withdrawn entries only"
    )
    if report["suppressed"] or report["released"]:
        click.echo(
            f"let pass by suppressions: {report['suppressed']:,} that match, and "
            f"{report['released']:,} quarantined ones, which the next run judges anew"
        )
    for one in report["exceptions"]:
        click.echo(
            f"list {one['list_id']} has expired, and is used until {one['until']} by an "
            f"exception: {one['reason']}"
        )
    for name in report["suppressions_expired"]:
        click.echo(f"suppression {name} has ended; it is not honoured")
    if left_out := report["left_out"]:
        click.echo(
            f"left out: {counted(len(left_out), 'shard')} of which nothing is admitted, "
            f"{printable(left_out[0])} among them"
        )
    for name in report["recalled"]:
        click.echo(printable(f"recalled: {name}"))
    for path in report["notices"]:
        click.echo(f"notice: {path}")


def _show_end(used: list[dict[str, Any]], seconds: float) -> None:
    for one in used:
        what = ", ".join(one[name] for name in ("shard", "sha256", "time") if one[name])
        click.echo(f"read by: {one['run']} ({what})")
    click.echo(f"{seconds:.1f} s")
