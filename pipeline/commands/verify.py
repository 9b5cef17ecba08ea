"""``ingestgate verify``: is a folder what was certified. What a training job runs first."""

import json
from typing import TYPE_CHECKING, Any

import click

from ingestgate.assets.errors import UsageError
from ingestgate.assets.printable import counted
from ingestgate.pipeline.commands.options import json_flag, policy
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several
from ingestgate.pipeline.exit_codes import ExitCode

if TYPE_CHECKING:
    from ingestgate.pipeline.dataset_verifying import Verification


@click.command(cls=SeveralValuesCommand)
@click.argument("directory", type=click.Path(path_type=str), metavar="DIR")
@several(
    "--key",
    "lines",
    metavar="FILE|ed25519:...",
    help="Public key of a signer, or a file of them, one a line.",
)
@click.option(
    "--threshold", type=click.IntRange(min=1), help="How many of the keys have to have signed.  [1]"
)
@click.option(
    "--max-age",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="How long ago any file may have been checked last, by the run or by a rescan.",
)
@several(
    "--require-list",
    "lists",
    metavar="ID>=VERSION",
    help="Version of a list that every file has to have been held against, and that kept out what "
    "matched: one that only observes does not count, nor one of which nothing was looked for.",
)
@policy(
    "These demands in YAML: keys, which it has to name, in place of --key; and threshold, "
    "max_age_days, lists."
)
@several(
    "--recalls",
    metavar="PATH",
    help="Further recall notices or newer certificates: files, or folders of them.",
)
@click.option(
    "--evidence",
    type=click.Path(),
    metavar="DIR",
    help="For operators: compare ledger and receipts, and read its recall notices, as well.",
)
@click.option(
    "--quarantine",
    type=click.Path(),
    metavar="DIR",
    help="For operators, with --evidence: compare manifests and audit log as well.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Files hashed at a time.  [one a core]")
@json_flag("Print JSON; no progress.")
@click.pass_context
def verify(ctx: click.Context, /, **options: Any) -> None:
    """Verify a dataset before it is trained on.

    Reads DIR/_ingestgate/certificate.dsse.json and hashes every file. Ends with 5, and names
    the file and why, if one is missing, extra, changed or recalled; if too few of the keys have
    signed; if its last check was too long ago or by lists too old; if the certificate is
    superseded. Otherwise with 0. Needs the folder and the public keys only.

    \b
    Example:
      ingestgate verify admitted --key certificate-key.pub \\
        --max-age 30 --require-list 'partner-a>=7' && python train.py
    """  # noqa: D301 - \b is click's own
    from datetime import UTC, datetime

    from ingestgate.assets import storage
    from ingestgate.pipeline.dataset_verifying import verify as verify_dataset
    from ingestgate.pipeline.dataset_verifying import verify_evidence
    from ingestgate.pipeline.hash_progress import HashProgress
    from ingestgate.pipeline.verify_policy import demands

    as_json = options["as_json"]
    if options["quarantine"] and not options["evidence"]:
        raise UsageError("--quarantine goes with --evidence")
    wanted = demands(
        options["policy_file"],
        lines=options["lines"],
        threshold=options["threshold"],
        max_age_days=options["max_age"],
        lists=options["lists"],
        recalls=options["recalls"],
    )
    storage.require_directory(options["directory"])
    found = verify_dataset(
        options["directory"],
        wanted,
        datetime.now(UTC),
        threads=options["threads"] or 0,
        show=None if as_json else HashProgress(),
    )
    if options["evidence"]:
        show = None if as_json else HashProgress()
        verify_evidence(found, options["evidence"], options["quarantine"], show=show)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        _show(found)
    ctx.exit(int(ExitCode.DONE if found.verified else ExitCode.EVIDENCE_REFUSED))


def _show(found: "Verification") -> None:
    for problem in found.problems:
        click.echo(f"ingestgate: {problem}", err=True)
    if found.problem_count > len(found.problems):
        click.echo(f"ingestgate: {counted(found.problem_count, 'problem')} in all", err=True)
    rate = found.bytes / 1e9 / max(found.seconds, 1e-9)
    hashed = f"{counted(found.files, 'file')}, {found.bytes / 1e9:.2f} GB at {rate:.2f} GB/s"
    if not found.verified:
        click.echo(f"{found.directory}: REFUSED ({hashed})")
        return
    lists = found.certificate.lists() if found.certificate else {}
    held = ", ".join(f"{name} version {version}" for name, version in lists.items())
    click.echo(
        f"{found.directory}: verified, {hashed}\n"
        f"certificate {found.digest}, signed by {', '.join(found.signed_by)}; "
        f"every file held against {held or 'no list in common'}"
    )
