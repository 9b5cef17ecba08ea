"""``ingestgate quarantine``: looking at what was caught, for people."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from ingestgate.assets.printable import printable_json
from ingestgate.assets.verdict import Tier
from ingestgate.pipeline.commands import quarantine_vault, reviewing
from ingestgate.pipeline.commands.on_record import put_on_record
from ingestgate.pipeline.commands.options import FILE, QUARANTINE, json_flag
from ingestgate.pipeline.commands.tables import show_table

if TYPE_CHECKING:
    from ingestgate.quarantine.selecting import Selection

_KEY = click.option(
    "--key",
    type=FILE,
    metavar="FILE",
    help="Your private signing key: puts in the audit log that you looked. Needed once it knows "
    "people.",
)
_STATES = ("open", "confirmed", "false_positive", "escalate", "release_requested", "released")
_CHOICES = (
    click.option(
        "--tier",
        type=click.Choice([tier.value for tier in Tier]),
        help="Only this tier of evidence.",
    ),
    click.option("--list-id", help="Only what this list matched."),
    click.option("--category", help="Only what an entry of this category matched."),
    click.option(
        "--source",
        metavar="TEXT",
        help="Only what has this text in its provenance: a host, a part of a URL. The audit log "
        "says that one was given, not which.",
    ),
    click.option(
        "--since", metavar="DATE", help="Only what was sealed on that day (UTC) or after."
    ),
    click.option("--until", metavar="DATE", help="Only what was sealed before that day (UTC)."),
    click.option("--state", type=click.Choice(_STATES), help="Only what review says this of."),
    click.option(
        "--up-for-review",
        is_flag=True,
        help="Only what a run or a rescan put up for review (no entry in force matches it) and "
        "nobody has decided about since.",
    ),
    click.option(
        "--cluster", metavar="ID", help="Only this cluster (the start of its id will do)."
    ),
)


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_CHOICES):
        command = option(command)
    return command


@click.group()
def quarantine() -> None:
    """List, show and keep what was sealed. Metadata first: only `open` shows an asset."""


for _command in (
    quarantine_vault.open_,
    quarantine_vault.check,
    quarantine_vault.rewrap,
    quarantine_vault.destroy,
    reviewing.reviewers,
    reviewing.decide,
    reviewing.release,
    reviewing.suppress,
):
    quarantine.add_command(_command)


@dataclass(slots=True)
class _Case:
    """What a line of the list says of one cluster; an asset may have been sealed more than once."""

    shard: str
    member: str
    assets: set[str] = field(default_factory=set)
    tiers: dict[str, set[str]] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    states: dict[str, set[str]] = field(default_factory=dict)


@quarantine.command(name="list")
@QUARANTINE
@_choosing
@_KEY
@json_flag("Print a JSON object per asset, a line each.")
def list_(root: str, as_json: bool, key: str | None, **choice: Any) -> None:
    """List what was quarantined: where it was, by which list, on what evidence.

    A line per cluster, so that you meet the same picture once: assets with the same bytes, or that
    matched the same entry by digest or look. --cluster with --json gives the assets of one.

    Only what is on record is listed: what a run that is at work has sealed, once it ends. A
    manifest that is not what was sealed is refused (exit 5).

    The table shows no digest, no source and no caption of an asset, and needs no key. --json shows
    everything the manifest says: with --key it is on record that you looked, and once the audit log
    knows people it takes one.
    """
    from ingestgate.quarantine.selecting import select

    rows = select(root, _selection(choice))
    if as_json:
        put_on_record(root, "manifest.listed", {"choice": _wanted(choice)}, key)
        for row in _or_none(rows):
            click.echo(json.dumps(row))
        return
    show_table(
        ("cluster", "assets", "the first lay in", "tier", "list", "state"),
        (
            (
                cluster,
                str(len(case.assets)),
                f"{case.shard}\n{case.member}",
                _counted(case.tiers),
                "\n".join(sorted(case.lists)),
                _counted(case.states),
            )
            for cluster, case in _cases(_or_none(rows)).items()
        ),
    )
    _tell_what_is_left_out(root)


def _tell_what_is_left_out(root: str) -> None:
    from ingestgate.quarantine.audit import read_log
    from ingestgate.quarantine.manifest_reading import not_on_record
    from ingestgate.quarantine.sealed_manifests import sealed_manifests

    if strange := not_on_record(root, sealed_manifests(read_log(root))):
        click.echo(
            f"{len(strange)} manifests are left out, {strange[0]} among them: a run that is at "
            "work, or was killed, has not put them on record; see `quarantine check`",
            err=True,
        )


def _or_none(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields rows; if there are none, says so where it is in nobody's way."""
    row = None
    for row in rows:
        yield row
    if row is None:
        click.echo("no asset matches", err=True)


def _selection(choice: dict[str, Any]) -> "Selection":
    from ingestgate.quarantine.selecting import Selection

    return Selection(**choice)


def _wanted(choice: dict[str, Any]) -> dict[str, Any]:
    """Returns what goes on record of a choice: not which source was asked for, it may be listed."""
    wanted = {name: value for name, value in choice.items() if value not in (None, False)}
    return {**wanted, "source": "given"} if "source" in wanted else wanted


def _cases(rows: Iterable[dict[str, Any]]) -> dict[str, _Case]:
    cases: dict[str, _Case] = {}
    for row in rows:
        case = cases.setdefault(row["cluster"], _Case(row["shard"], row["member"]))
        state = row["state"] + ("\nup for review" if row["up_for_review"] else "")
        case.states.setdefault(state, set()).add(row["asset_id"])
        case.tiers.setdefault(row["tier"] or row["reason"], set()).add(row["asset_id"])
        case.assets.add(row["asset_id"])
        case.lists.update(f"{f['list_id']} v{f['list_version']}" for f in row["findings"])
    return cases


def _counted(assets: dict[str, set[str]]) -> str:
    if len(assets) == 1:
        return next(iter(assets))
    return "\n".join(f"{len(each)} {name}" for name, each in sorted(assets.items()))


@quarantine.command()
@QUARANTINE
@_KEY
@json_flag("Print each on a line.")
@click.argument("asset_id")
def show(root: str, key: str | None, as_json: bool, asset_id: str) -> None:
    """Show everything the manifests say of one asset (the start of its id will do).

    A JSON object for each time it was sealed, the latest last. Also its cluster, and where its
    review stands. With --key it is on record that you looked; once the audit log knows people, it
    takes one.
    """
    from ingestgate.quarantine.selecting import select_asset

    found = select_asset(root, asset_id)
    put_on_record(root, "asset.viewed", {"assets": [found[0]["asset_id"]]}, key)
    for row in found:
        click.echo(json.dumps(row) if as_json else printable_json(row, indent=1))


@quarantine.command()
@QUARANTINE
@_choosing
@_KEY
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(("csv", "jsonl", "parquet")),
    help="csv is for spreadsheets, and made so that no cell is a formula.",
)
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="Where it goes (private), outside every quarantine; an existing file is never "
    "overwritten.",
)
def export(root: str, key: str | None, form: str, to: str, **choice: Any) -> None:
    """Write rows of the manifest, with cluster and state of review, to a new file.

    As confidential as the manifest. With --key it is on record that you took it; once the audit log
    knows people, it takes one.

    \b
    Example:
      ingestgate quarantine export --quarantine vault --state confirmed \\
        --format csv --to confirmed.csv
    """  # noqa: D301 - \b is click's own
    from ingestgate.quarantine.exporting import export as write
    from ingestgate.quarantine.exporting import require_new
    from ingestgate.quarantine.selecting import select

    require_new(root, to)
    said = {"format": form, "choice": _wanted(choice)}
    put_on_record(root, "manifest.exported", said, key)
    count = write(select(root, _selection(choice)), form, to)
    click.echo(f"{count:,} rows: {to}")
