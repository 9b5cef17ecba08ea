"""``ingestgate quarantine reviewers``, ``decide`` ...: what people do, by their keys."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ingestgate.assets.errors import UsageError
from ingestgate.assets.printable import counted
from ingestgate.pipeline.commands.options import FILE, JSON, QUARANTINE, SAMPLES

if TYPE_CHECKING:
    from ingestgate.quarantine.looking import LookedAt

_KEY = click.option(
    "--key",
    required=True,
    type=FILE,
    metavar="FILE",
    help="Your private signing key; who you are follows from it.",
)
_CLUSTER = click.option(
    "--cluster",
    metavar="ID",
    help="All assets of this cluster (the start of its id will do), instead of naming each.",
)
_ROLES = ("viewer", "reviewer", "approver", "administrator")


@click.group()
def reviewers() -> None:
    """Who may do what here. Each change is a line of the audit log, signed by an administrator."""


@reviewers.command()
@QUARANTINE
@_KEY
@click.option("--name", required=True, help="The person's name, theirs alone.")
@click.option(
    "--public",
    "line",
    required=True,
    metavar="FILE|ed25519:...",
    help="Their public key: the line that 'ingestgate keys signing' prints, or a file of it.",
)
@click.option("--role", required=True, type=click.Choice(_ROLES), help="What they may do.")
def add(root: str, key: str, name: str, line: str, role: str) -> None:
    """Add a person. The first is an administrator, who adds themself with their own key.

    Where no quarantine is yet, the first person begins it with a new audit log, before its first
    run; it is said that they did.

    A viewer sees metadata; a reviewer also opens, decides, asks for release or destruction, and
    signs suppressions; an approver also approves what somebody else asked for, and tidies up after
    killed runs; an administrator also adds and removes people, and changes who can open the
    quarantine.
    """
    from ingestgate.assets.signing_keys import one_public_line, read_signing_key
    from ingestgate.quarantine.presence import may_begin, require_log
    from ingestgate.quarantine.reviewers import Role, add_reviewer, require_first

    private, begins, line = read_signing_key(key), may_begin(root), one_public_line(line)
    if begins:
        require_first(line, Role[role.upper()], private)  # before anything is made there
    else:
        require_log(root)
    added = add_reviewer(root, name, line, Role[role.upper()], private)
    click.echo(f"{added.name}: {role}")
    if begins:
        click.echo(f"{root}: there was no quarantine; it begins with this line of its audit log")


@reviewers.command()
@QUARANTINE
@_KEY
@click.option("--name", required=True, help="Whom.")
def remove(root: str, key: str, name: str) -> None:
    """Remove a person. What they signed stays; their key is good for nothing from now on."""
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.presence import require_log
    from ingestgate.quarantine.reviewers import remove_reviewer

    require_log(root)
    remove_reviewer(root, name, read_signing_key(key))
    click.echo(f"{name}: removed")


@reviewers.command(name="list")
@QUARANTINE
@JSON
def list_(root: str, as_json: bool) -> None:
    """List the people, with their roles and public lines."""
    from ingestgate.quarantine.presence import require_log
    from ingestgate.quarantine.reviewers import registry

    require_log(root)
    for person in registry(root).people:
        role = person.role.name.lower()
        if as_json:
            click.echo(json.dumps({"name": person.name, "role": role, "key": person.key}))
        else:
            click.echo(f"{person.name}  {role}  {person.key}")


@click.command()
@QUARANTINE
@_KEY
@click.option(
    "--decision",
    required=True,
    type=click.Choice(("confirmed", "false_positive", "escalate")),
    help="What you make of them.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; stays on record.")
@_CLUSTER
@SAMPLES
@click.argument("assets", nargs=-1)
def decide(
    root: str,
    key: str,
    decision: str,
    reason: str,
    cluster: str | None,
    samples: Sequence[str],
    assets: Sequence[str],
) -> None:
    """Put on record what you make of assets (the starts of their ids will do), or of a cluster.

    A later decision replaces an earlier one; the log keeps both. It is about the bytes that are
    sealed now, held by the entries that they matched: what else is sealed from the same place
    later, or matches another entry, is open. Of a cluster, the log names each asset that is in it
    now; what joins it later is open.

    \b
    Example:
      ingestgate quarantine decide --quarantine vault --key rob.pem \\
        --decision false_positive --reason 'a beach' 75fa4bfe
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.audit_writing import per_line, require_sound_log
    from ingestgate.quarantine.decisions import Decision
    from ingestgate.quarantine.decisions import decide as put_on_record

    if bool(assets) == bool(cluster):
        raise UsageError("name either assets or a --cluster")
    require_sound_log(root)
    private, found = read_signing_key(key), _chosen(root, assets, cluster, samples)
    for names in per_line(sorted(found)):
        part = {asset: found[asset] for asset in names}
        line = put_on_record(root, part, Decision(decision), reason, private)
        for asset in part:
            click.echo(f"{asset}: {decision} (line {line.number})")


def _chosen(
    root: str, assets: Sequence[str], cluster: str | None, samples: Sequence[str]
) -> "LookedAt":
    """Returns what a person is about to act on, as it is now.

    Who names a cluster means all that is in it; an asset's id, one thing.
    """
    from ingestgate.quarantine.decisions import whole_ids
    from ingestgate.quarantine.looking import looked_at
    from ingestgate.quarantine.selecting import assets_of_cluster

    if cluster is None:
        return looked_at(root, whole_ids(root, assets), samples, one_picture=True)
    if samples:
        raise UsageError("--sample goes with assets; of a cluster, it is about all that is in it")
    return looked_at(root, assets_of_cluster(root, cluster))


@click.command()
@QUARANTINE
@_KEY
@click.option(
    "--release",
    "number",
    required=True,
    type=int,
    metavar="N",
    help="The approved request for release, by its number.",
)
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Last day of it (UTC). Default: until the file is taken away.",
)
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="Where it goes. Confidential: it holds digests of what partners listed.",
)
def suppress(root: str, key: str, number: int, until: datetime | None, to: str) -> None:
    """Sign a suppression of what two people released, so that later runs let it pass.

    It names the SHA-256 of the assets' bytes and the list entries that they matched: other bytes,
    however alike, and other entries still count. Takes two signatures at the least, so somebody
    else has to give the same command. A run honours it by --suppressions, if its policy names
    the signers' keys.

    \b
    Example:
      ingestgate quarantine suppress --quarantine vault --key rob.pem \\
        --release 4 --to suppressions/4.dsse.json
      ingestgate quarantine suppress --quarantine vault --key ann.pem \\
        --release 4 --to suppressions/4.dsse.json
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.blocklists.suppressions import LEAST_SIGNERS
    from ingestgate.quarantine.presence import require_log
    from ingestgate.quarantine.suppressing import suppress as sign

    require_log(root)
    end = None if until is None else until.replace(hour=23, minute=59, second=59, tzinfo=UTC)
    private = read_signing_key(key)
    made, count = sign(root, number, to, private, until=end, now=datetime.now(UTC))
    still = "" if count >= LEAST_SIGNERS else "; no run honours it before somebody else signs"
    said = f"{counted(len(made.assets), 'asset')}, {counted(count, 'signature')}"
    click.echo(f"suppression {made.id}: {said}{still}")
    click.echo(f"{to}: confidential, as a list is")


@click.command()
@QUARANTINE
@_KEY
@click.option("--reason", metavar="TEXT", help="Why they are to be released; stays on record.")
@click.option("--approve", "number", type=int, metavar="N", help="Approve this request.")
@_CLUSTER
@SAMPLES
@click.argument("assets", nargs=-1)
def release(
    root: str,
    key: str,
    reason: str | None,
    number: int | None,
    cluster: str | None,
    samples: Sequence[str],
    assets: Sequence[str],
) -> None:
    """Release false positives. Takes two people: one asks, another approves.

    It puts on record that two people call them harmless. Nothing leaves the vault, and a later
    run seals them again, unless a suppression says otherwise (see: suppress).

    \b
    Example:
      ingestgate quarantine release --quarantine vault --key rob.pem \\
        --reason 'a beach' 75fa4bfe
      ingestgate quarantine release --quarantine vault --key ann.pem --approve 7
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.audit_writing import require_sound_log
    from ingestgate.quarantine.decisions import approve_release, request_release

    if [number is None, not assets, not cluster].count(False) != 1:
        raise UsageError("name either assets or a --cluster to ask for, or a request to --approve")
    if number is not None and samples:
        raise UsageError("--sample goes with assets; a request is about what was asked for")
    require_sound_log(root)
    private = read_signing_key(key)
    if number is not None:
        request = approve_release(root, number, private)
        for asset in request.assets:
            click.echo(f"{asset}: released")
        return
    if not reason:
        raise UsageError("asking for release needs a --reason; it stays on record")
    found = _chosen(root, assets, cluster, samples)
    line = request_release(root, found, reason, private)
    click.echo(f"nothing is released yet; somebody else has to --approve {line.number}")
