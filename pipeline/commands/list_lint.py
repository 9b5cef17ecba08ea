"""``ingestgate lists lint``: values that nobody meant to list."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import click

from ingestgate.assets.errors import ListError
from ingestgate.assets.printable import counted
from ingestgate.pipeline.commands.options import FILE, JSON, LISTS, policy


@click.command()
@LISTS
@policy("The run's policy: its thresholds and actions instead of the lists' own.")
@click.option(
    "--public-suffixes",
    "suffix_file",
    type=FILE,
    metavar="FILE",
    help="public_suffix_list.dat of publicsuffix.org; without it, a few are known.",
)
@click.option(
    "--benign",
    type=click.Path(),
    metavar="DIR",
    help="Harmless pictures: refuse what matches more than a share of them.",
)
@click.option(
    "--max-share",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="That share.",
)
@JSON
@click.pass_context
def lint(
    ctx: click.Context,
    directory: str,
    policy_file: str | None,
    suffix_file: str | None,
    benign: str | None,
    max_share: float,
    as_json: bool,
) -> None:
    """Look for what should not be in a list, before it is signed.

    Refused, with exit code 3: values that match anything (digests of empty and placeholder
    files, flat pictures, placeholders), public suffixes, values listed under several types,
    thresholds that match too much of a benign sample. Remarked: no expiry, no canaries, wide
    thresholds, weak hashes. Names entries, never values. With --policy, thresholds and actions
    are those that a run with it has. Only exceptions for expired lists need signatures.

    \b
    Example:
      ingestgate lists lint --lists lists --benign photographs --max-share 0.0005
    """  # noqa: D301 - \b is click's own
    from ingestgate.blocklists import lint as checks
    from ingestgate.blocklists.listset import ListSet
    from ingestgate.blocklists.public_suffixes import PublicSuffixes
    from ingestgate.pipeline.run_policy import policy_of

    suffixes = PublicSuffixes.read(suffix_file) if suffix_file else PublicSuffixes.built_in()
    policy = policy_of(policy_file)
    opened = ListSet.open(
        directory,
        now=datetime.now(UTC),
        overrides=policy.list_overrides(),
        trust=replace(policy.trust.opened(), lists_signed=False),
    )
    problems = [problem for one in opened.lists for problem in checks.lint(one, suffixes)]
    pictures = None
    if benign is not None:
        from ingestgate.pipeline.benign import lint_sample, match_sample

        sample = match_sample(opened, benign, policy)
        pictures = {"matched": sample.pictures, "unreadable": sample.unreadable}
        problems += lint_sample(opened, sample, max_share)
    refused = [problem for problem in problems if problem.refused]
    if as_json:
        found = [problem._asdict() for problem in problems]
        click.echo(json.dumps({"refused": bool(refused), "problems": found, "benign": pictures}))
    else:
        for problem in problems:
            kind = "refused" if problem.refused else "remark"
            click.echo(f"{kind}: {problem.list}: {problem.check}: {problem.message}")
        if pictures:
            click.echo(
                "benign sample: {matched:,} pictures, {unreadable:,} unreadable".format(**pictures)
            )
        click.echo(
            f"{counted(len(opened.lists), 'list')}: {len(refused):,} refused, "
            f"{counted(len(problems) - len(refused), 'remark')}"
        )
    if refused:
        ctx.find_root().obj = None  # what is wrong is said
        raise ListError(
            f"{counted(len(refused), 'problem')}; have the entries taken out or the thresholds "
            "narrowed, and tell the partner"
        )
