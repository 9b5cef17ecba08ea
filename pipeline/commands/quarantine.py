"""``ingestgate quarantine``: looking at what was caught, for people."""

import json
from collections.abc import Iterator
from typing import Any

import click

from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.commands import quarantine_vault, reviewing

_ROOT = click.option(
    "--quarantine",
    "root",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="The quarantine of the run.",
)


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
):
    quarantine.add_command(_command)


@quarantine.command(name="list")
@_ROOT
@click.option("--tier", help="Only this tier of evidence: exact, near_several, near, source.")
@click.option("--list-id", help="Only what this list matched.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per line.")
def list_(root: str, tier: str | None, list_id: str | None, as_json: bool) -> None:
    """List the quarantined assets: where they were, by which list, on what evidence."""
    from rich.console import Console
    from rich.table import Table

    rows = _rows(root, tier, list_id)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    table = Table("asset", "shard", "member", "tier", "reason", "list", "signal", "distance")
    for row in rows:
        found = row["findings"]
        table.add_row(
            row["asset_id"],
            row["shard"],
            row["member"],
            row["tier"] or "",
            row["reason"],
            "\n".join(f"{f['list_id']} v{f['list_version']}" for f in found),
            "\n".join(f"{f['signal_type']} {f['view']}" for f in found),
            "\n".join(str(f["distance"]) for f in found),
        )
    Console(highlight=False, markup=False).print(table)


def _rows(root: str, tier: str | None, list_id: str | None) -> Iterator[dict[str, Any]]:
    from ingestgate.quarantine.manifest import read_manifest

    for row in read_manifest(root):
        if tier is not None and row["tier"] != tier:
            continue
        if list_id is not None and all(f["list_id"] != list_id for f in row["findings"]):
            continue
        yield row


def _find(root: str, asset_id: str) -> dict[str, Any]:
    found = [row for row in _rows(root, None, None) if row["asset_id"].startswith(asset_id)]
    identifiers = {row["asset_id"] for row in found}
    if len(identifiers) != 1:
        problem = "no asset" if not found else "several assets"
        raise UsageError(f"{problem} of this quarantine start with {asset_id}; see `list`")
    return found[-1]


@quarantine.command()
@_ROOT
@click.argument("asset_id")
def show(root: str, asset_id: str) -> None:
    """Show everything the manifest says of one asset (the start of its id will do)."""
    click.echo(json.dumps(_find(root, asset_id), indent=1, ensure_ascii=False))
