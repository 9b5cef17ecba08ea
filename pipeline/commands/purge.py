"""``ingestgate purge``: what matched leaves the landing zone, once the vault has it."""

import json
from collections import Counter
from typing import Any

import click

from ingestgate.assets.printable import counted, printable
from ingestgate.pipeline.commands.options import FILE, JSON, policy, run_folders
from ingestgate.pipeline.commands.progress_bar import progress_bar
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several
from ingestgate.pipeline.exit_codes import ExitCode


@click.command(cls=SeveralValuesCommand)
@several("--input", "inputs", required=True, metavar="GLOB...", help="The run's input.")
@run_folders
@click.option("--format", "format_", metavar="F", help="The run's --format.")
@policy("The run's policy (it decides how shards are read).")
@click.option(
    "--key",
    type=FILE,
    metavar="FILE",
    help="Private key that signs the receipts (see: ingestgate keys signing).",
)
@click.option(
    "--dry-run", is_flag=True, help="Verify everything, say what would go; change nothing."
)
@JSON
@click.pass_context
def purge(ctx: click.Context, /, **options: Any) -> None:
    """Take matched originals out of the landing zone, once they are verifiably sealed.

    Shards are written again without the matched samples, files of folders deleted, rows of
    Parquet files and URL manifests dropped. Only what was judged and committed is touched: every
    sample is compared with the ledger, every sealed object with the manifest; a shard where
    anything differs is left as it is. What could not be scanned stays.

    Each shard leaves a receipt in the evidence (purged/), so that the census still adds up and a
    later run has nothing to do. The quarantine's audit log has it, too; what cannot be logged is
    refused. Interrupted, the same command completes it; until then, a run
    refuses the landing zone. Ends with 5 if a shard was refused.

    \b
    Example:
      ingestgate purge --input 'landing/*.tar' --output admitted --quarantine vault \\
        --evidence evidence --dry-run
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets import storage
    from ingestgate.assets.evidence import require_evidence
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.pipeline.audit_events import begin_purge, end_purge
    from ingestgate.pipeline.lock import run_lock
    from ingestgate.pipeline.purge.preparing import PurgeSettings
    from ingestgate.pipeline.purge.purging import Outcome, Purger
    from ingestgate.pipeline.run_policy import policy_of
    from ingestgate.quarantine.locking import quarantine_lock
    from ingestgate.quarantine.presence import require_log

    as_json = options["as_json"]
    require_evidence(options["evidence"])
    require_log(options["quarantine"])
    policy = policy_of(options["policy_file"])
    output, quarantine, evidence = (
        storage.absolute(options[name]) for name in ("output", "quarantine", "evidence")
    )
    settings = PurgeSettings(
        output,
        quarantine,
        evidence,
        policy.read_options(),
        key=read_signing_key(options["key"]) if options["key"] else None,
        dry_run=options["dry_run"],
    )
    with (
        run_lock(evidence),
        quarantine_lock(quarantine, alone=False),
        progress_bar("purge", quiet=as_json) as progress,
    ):
        if not settings.dry_run:
            begin_purge(quarantine, evidence, options["inputs"], settings.key)
        done = list(Purger(settings).purge(options["inputs"], options["format_"], progress))
        if not settings.dry_run:
            gone = [e.shard for e in done if e.outcome in (Outcome.PURGED, Outcome.BEFORE)]
            end_purge(quarantine, evidence, gone, settings.key)
    refused = [each for each in done if each.outcome is Outcome.REFUSED]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "dry_run": options["dry_run"],
                    "shards": [each.as_dict() for each in done],
                    "assets": sum(each.assets for each in done),
                }
            )
        )
    else:
        counts = Counter(each.outcome for each in done)
        for outcome in Outcome:
            if counts[outcome]:
                some = [each for each in done if each.outcome is outcome]
                assets = sum(each.assets for each in some)
                freed = sum(each.freed for each in some)
                click.echo(
                    f"{outcome.value.replace('_', ' ')}: "
                    f"{counted(len(some), 'shard')}, {counted(assets, 'asset')}, {freed:,} bytes"
                )
        for each in refused:
            click.echo(printable(f"refused: {each.shard}: {each.problem}"))
    ctx.exit(int(ExitCode.EVIDENCE_REFUSED if refused else ExitCode.DONE))
