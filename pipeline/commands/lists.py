"""``ingestgate lists``: compiled lists."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.commands import list_fetch, list_lint, list_match, list_trust
from ingestgate.pipeline.commands.options import FILE, JSON, LISTS, policy
from ingestgate.pipeline.commands.tables import show_table

if TYPE_CHECKING:
    from ingestgate.blocklists.public_suffixes import PublicSuffixes


_public_suffixes = click.option(
    "--public-suffixes",
    "suffix_file",
    type=FILE,
    metavar="FILE",
    help="public_suffix_list.dat of publicsuffix.org, names that no list may hold; without it, a "
    "few are known.",
)


def _suffixes(file: str | None) -> "PublicSuffixes | None":
    from ingestgate.blocklists.public_suffixes import PublicSuffixes

    return PublicSuffixes.read(file) if file else None


@click.group()
def lists() -> None:
    """Compile partners' lists, and look at compiled ones. Never prints a listed value."""


for _command in (
    list_fetch.fetch,
    list_trust.sign,
    list_trust.verify,
    list_trust.accept,
    list_trust.except_,
    list_lint.lint,
    list_match.match,
):
    lists.add_command(_command)


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
    "--store",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Compile what 'lists import' stored of the partner.",
)
@click.option(
    "--issued",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="When the partner issued this version (UTC). [default: now, or what it says already]",
)
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="From when on the list is refused (UTC); without it, a list cannot be signed.",
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
@_public_suffixes
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of compiled lists.",
)
@click.argument("sources", nargs=-1, metavar="[TYPE=FILE]...")
def compile_(
    list_id: str,
    version: int,
    partner: str,
    store: str | None,
    issued: datetime | None,
    expires: datetime | None,
    action: str,
    thresholds: tuple[str, ...],
    scope: Literal["subdomains", "exact"],
    suffix_file: str | None,
    to: str,
    sources: tuple[str, ...],
) -> None:
    """Compile one list into the memory-mapped form that `run --lists` takes.

    From what is stored of a partner (--store and --partner), or from files. TYPE is one of md5,
    sha1, sha256, sha512, pdq, phash, domain, url, expression and the other hashes that a run can
    compute. FILE has a value per line, or is CSV with the columns value[,entry_id,category].

    The same entries, options, date of issue and version before give the same bytes. To compile
    a version that is there again changes nothing; with other content it is refused.

    \b
    Example:
      ingestgate lists compile --id partner-a --list-version 7 --expires 2027-01-31 \\
        md5=md5.txt pdq=pdq.csv domain=domains.txt --to lists
      ingestgate lists compile --id partner-b --list-version 8 --store store \\
        --partner partner-b --to lists
    """  # noqa: D301 - \b is click's own
    from ingestgate.blocklists.compiling import compile_list

    info = compile_list(
        id=list_id,
        version=version,
        partner=partner,
        store=store,
        sources=[_pair(source, "TYPE=FILE") for source in sources],
        to=to,
        issued=None if issued is None else issued.replace(tzinfo=UTC),
        expires=None if expires is None else expires.replace(tzinfo=UTC),
        thresholds={
            name: _bits(value)
            for name, value in (_pair(threshold, "TYPE=BITS") for threshold in thresholds)
        },
        action=action,
        domain_scope=scope,
        suffixes=_suffixes(suffix_file),
    )
    entries = ", ".join(f"{count:,} {name}" for name, count in info.listed.items())
    click.echo(f"{info.id} version {info.version}: {entries}")
    if info.expires is None:
        click.echo("no expiry: it cannot be signed, nor used where a policy names trusted keys")
    if info.changes:
        since, added, removed, changed = info.changes.model_dump().values()
        click.echo(
            f"since version {since}: {added:,} entries added, {removed:,} removed, "
            f"{changed:,} changed"
        )


def _pair(text: str, shape: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise UsageError(f"{text!r} is not {shape}")
    return name, value


def _bits(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{text!r} is not a number of bits")
    return int(text)


@lists.command(name="import")
@click.option("--partner", required=True, metavar="NAME", help="Whose files they are.")
@click.option(
    "--store",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of partners' entries.",
)
@click.option(
    "--format",
    "format_name",
    metavar="NAME",
    help="Their format; found by content where that leaves no doubt.",
)
@click.option(
    "--map",
    "mapping",
    metavar="ROLE=COLUMN,...",
    help="Which column of a CSV, JSON Lines or Parquet file is what, or a YAML file of that.",
)
@click.option(
    "--type",
    "signal_type",
    default="",
    metavar="TYPE",
    help="Signal type of hashes where the files do not say.",
)
@click.option("--snapshot", is_flag=True, help="The files are all there is: remove the rest.")
@click.option(
    "--leave-out-never-match",
    is_flag=True,
    help="Leave values out that would match what nobody meant, rather than refuse the file; "
    "what is stored of them stays.",
)
@click.option(
    "--leave-out-malformed",
    "max_malformed",
    type=click.FloatRange(0, 0.1),
    default=0,
    metavar="SHARE",
    help="Leave values out that are not of their type, up to this share of each file's values "
    "(at most 0.1), rather than refuse the file; what is stored of them stays.",
)
@_public_suffixes
@JSON
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def import_(
    partner: str,
    store: str,
    format_name: str | None,
    mapping: str | None,
    signal_type: str,
    snapshot: bool,
    leave_out_never_match: bool,
    max_malformed: float,
    suffix_file: str | None,
    as_json: bool,
    files: tuple[str, ...],
) -> None:
    """Apply a partner's files to what is stored of the partner's entries.

    FILE is a file, a pattern or a folder; files are applied in their order. An entry replaces
    the one with its identifier, a withdrawal removes it, all others stay as they are. Nothing
    changes if any file is refused.

    \b
    Example:
      ingestgate lists import --partner partner-a --format ncmec pages/*.xml --store store
      ingestgate lists import --partner partner-b --store store hashes.csv \\
        --map value=Hash,type=HashType,id=Reference,category=Category
    """  # noqa: D301 - \b is click's own
    from ingestgate.blocklists.formats.mapping import parse_mapping
    from ingestgate.blocklists.importing import import_files

    imported = import_files(
        store,
        partner,
        files,
        format_name=format_name,
        mapping=None if mapping is None else parse_mapping(mapping, signal_type),
        signal_type=signal_type,
        snapshot=snapshot,
        leave_out_never_match=leave_out_never_match,
        max_malformed=max_malformed,
        suffixes=_suffixes(suffix_file),
    )
    changes = imported.changes
    if as_json:
        said = {"formats": imported.formats, **changes._asdict(), "skipped": imported.skipped}
        click.echo(json.dumps({"partner": partner, **said}))
        return
    click.echo(
        f"{partner} ({', '.join(imported.formats)}): {changes.added:,} entries added, "
        f"{changes.removed:,} removed, {changes.changed:,} changed; {changes.total:,} now"
    )
    if changes.values:
        values = ", ".join(f"{count:,} {name}" for name, count in changes.values.items())
        click.echo(f"values: {values}")
    if changes.older:
        click.echo(f"left as they were: {changes.older:,} that came older than what is stored")
    if imported.skipped:
        kept_out = ", ".join(f"{count:,} {what}" for what, count in imported.skipped.items())
        click.echo(f"skipped: {kept_out}")


@lists.command()
@JSON
@click.argument("old", type=click.Path(), metavar="OLD")
@click.argument("new", type=click.Path(), metavar="NEW")
def diff(old: str, new: str, as_json: bool) -> None:
    """Say which entries two compiled lists differ in, by their ids.

    OLD and NEW are the directories of two versions. Signatures and dates are not looked at.

    \b
    Example:
      ingestgate lists diff lists/partner-a-7 lists/partner-a-8
    """  # noqa: D301 - \b is click's own
    from ingestgate.blocklists.changes import compare, open_version

    compared = compare(open_version(old), open_version(new))
    ids = {"added": compared.added, "removed": compared.removed, "changed": compared.changed}
    if as_json:
        names = {"old": compared.old.name, "new": compared.new.name}
        click.echo(json.dumps({**names, "counts": {k: len(v) for k, v in ids.items()}, **ids}))
        return
    counts = ", ".join(f"{len(those):,} {what}" for what, those in ids.items())
    click.echo(f"{compared.old.name} to {compared.new.name}: {counts}")
    for sign, those in zip("+-~", ids.values(), strict=True):
        for entry_id in those:
            click.echo(f"{sign} {entry_id}")


@lists.command()
@LISTS
@policy("The run's policy: trusted keys, thresholds, actions. Default: no signature is asked for.")
@JSON
def inspect(directory: str, policy_file: str | None, as_json: bool) -> None:
    """Verify compiled lists as a run with that policy would, and say what they hold."""
    from ingestgate.pipeline.list_opening import open_lists
    from ingestgate.pipeline.run_policy import policy_of
    from ingestgate.pipeline.summary import describe_lists

    policy = policy_of(policy_file)
    opened = open_lists(directory, policy, datetime.now(UTC))
    described: list[dict[str, Any]] = describe_lists(opened, {})
    for entry in described:
        del entry["assets_matched"]
    if as_json:
        click.echo(json.dumps({"digest": opened.digest, "lists": described}))
        return
    show_table(
        ("list", "version", "partner", "issued", "expires", "entries", "action"),
        (
            (
                entry["id"],
                str(entry["version"]),
                entry["partner"],
                entry["issued"],
                entry["expires"] or "not stated",
                ", ".join(f"{count:,} {name}" for name, count in entry["entries"].items()),
                entry["action"],
            )
            for entry in described
        ),
    )
    for entry in described:
        if lacking := sorted(entry["entries"].keys() - set(entry["canaries"])):
            click.echo(f"{entry['id']}: no canaries for {', '.join(lacking)}; compile it again")
        if exception := entry["exception"]:
            click.echo(
                f"{entry['id']}: has expired, and is used until {exception['until']} by an "
                f"exception: {exception['reason']}"
            )
    if not policy.trust.keys:
        why = "the policy names no keys under trust.keys" if policy_file else "give --policy"
        click.echo(f"signatures: not checked, {why}; see 'ingestgate lists verify'")
