"""``ingestgate lists``: compiled lists."""

import json
from datetime import UTC, datetime
from typing import Any, Literal

import click

from ingestgate.assets.errors import UsageError


@click.group()
def lists() -> None:
    """Compile partners' lists, and look at compiled ones. Never prints a listed value."""


@lists.command(name="compile")
@click.option("--id", "list_id", required=True, metavar="NAME", help="The list's identifier.")
@click.option(
    "--list-version",
    "version",
    required=True,
    type=click.IntRange(min=1),
    help="Its version; a version once compiled never changes.",
)
@click.option("--partner", default="", help="Who supplied it.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="From when on the list is refused (UTC).",
)
@click.option(
    "--action",
    type=click.Choice(["quarantine", "observe"]),
    default="quarantine",
    show_default=True,
    help="What a match does.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="TYPE=BITS",
    help="Largest Hamming distance that matches, where it is not the type's own.",
)
@click.option(
    "--domains",
    "scope",
    type=click.Choice(["subdomains", "exact"]),
    default="subdomains",
    show_default=True,
    help="What a listed domain covers.",
)
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of compiled lists.",
)
@click.argument("sources", nargs=-1, required=True, metavar="TYPE=FILE...")
def compile_(
    list_id: str,
    version: int,
    partner: str,
    expires: datetime | None,
    action: str,
    thresholds: tuple[str, ...],
    scope: Literal["subdomains", "exact"],
    to: str,
    sources: tuple[str, ...],
) -> None:
    """Compile files of one list into the memory-mapped form that `run --lists` takes.

    TYPE is one of md5, sha1, sha256, sha512, pdq, phash, domain, url. FILE has a value per
    line, or is CSV with the columns value[,entry_id,category].

    \b
    Example:
      ingestgate lists compile --id partner-a --list-version 7 --expires 2027-01-31 \\
        md5=md5.txt pdq=pdq.csv domain=domains.txt --to lists
    """  # noqa: D301 - \b is click's own
    from ingestgate.blocklists.compiling import compile_list

    info = compile_list(
        id=list_id,
        version=version,
        partner=partner,
        sources=[_pair(source, "TYPE=FILE") for source in sources],
        to=to,
        issued=datetime.now(UTC),
        expires=None if expires is None else expires.replace(tzinfo=UTC),
        thresholds={
            name: _bits(value)
            for name, value in (_pair(threshold, "TYPE=BITS") for threshold in thresholds)
        },
        action=action,
        domain_scope=scope,
    )
    entries = ", ".join(f"{count:,} {name}" for name, count in info.counts.items())
    click.echo(f"{info.id} version {info.version}: {entries}")


def _pair(text: str, shape: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise UsageError(f"{text!r} is not {shape}")
    return name, value


def _bits(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{text!r} is not a number of bits")
    return int(text)


@lists.command()
@click.option(
    "--lists",
    "directory",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder of compiled lists.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def inspect(ctx: click.Context, directory: str, as_json: bool) -> None:
    """Verify compiled lists as a run would, and say what they hold."""
    from rich.console import Console
    from rich.table import Table

    from ingestgate.blocklists.listset import ListSet
    from ingestgate.pipeline.summary import describe_lists

    ctx.find_root().obj = "json" if as_json else None
    opened = ListSet.open(directory, now=datetime.now(UTC))
    described: list[dict[str, Any]] = describe_lists(opened, {})
    for entry in described:
        del entry["assets_matched"]
    if as_json:
        click.echo(json.dumps({"digest": opened.digest, "lists": described}))
        return
    table = Table("list", "version", "partner", "issued", "expires", "entries", "action")
    for entry in described:
        entries = ", ".join(f"{count:,} {name}" for name, count in entry["entries"].items())
        table.add_row(
            entry["id"],
            str(entry["version"]),
            entry["partner"],
            entry["issued"],
            entry["expires"] or "not stated",
            entries,
            entry["action"],
        )
    Console(highlight=False).print(table)
