"""``ingestgate lists sign``, ``verify``, ``accept`` and ``except``: who vouches for lists."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ingestgate.assets.errors import UsageError, first_problem
from ingestgate.assets.printable import counted
from ingestgate.pipeline.commands.options import FILE, JSON, LISTS, policy

if TYPE_CHECKING:
    from ingestgate.transforms.policy import Policy

_KEY = click.option(
    "--key",
    "key_file",
    required=True,
    type=FILE,
    metavar="FILE",
    help="Private key, see 'ingestgate keys signing'.",
)
_POLICY = policy("Policy whose trusted keys count.")
_STATE = "File that remembers which lists were seen."


@click.command()
@_KEY
@click.argument("directories", nargs=-1, required=True, type=click.Path(), metavar="DIR...")
def sign(key_file: str, directories: tuple[str, ...]) -> None:
    """Vouch for compiled lists; DIR is the directory of one version.

    Each list is verified first, and not signed if it would be refused or states no expiry.
    Several people sign one after another. A list that is changed afterwards has to be signed again.

    \b
    Example:
      ingestgate lists sign --key signing-key.pem lists/partner-a-7
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.blocklists.signing import sign_list

    key = read_signing_key(key_file)
    for directory in directories:
        info, count = sign_list(directory, key, now=datetime.now(UTC))
        click.echo(f"{info.name}: signed, {counted(count, 'signature')}")


@click.command()
@LISTS
@_POLICY
@click.option(
    "--trust",
    "lines",
    multiple=True,
    metavar="NAME=ed25519:...",
    help="A trusted public key, in place of a policy.",
)
@click.option("--list-state", type=click.Path(dir_okay=False), metavar="FILE", help=_STATE)
@JSON
def verify(
    directory: str,
    policy_file: str | None,
    lines: tuple[str, ...],
    list_state: str | None,
    as_json: bool,
) -> None:
    """Check compiled lists as a run would, signatures included, and say who signed them.

    Ends with 3 if a list is refused. Changes nothing, and remembers nothing.
    """
    from ingestgate.blocklists.listset import ListSet
    from ingestgate.blocklists.remembered import check_remembered

    policy = _policy(policy_file, lines)
    trust = policy.trust.opened()
    if not trust.keys:
        raise UsageError("no trusted key: give --policy with keys under trust.keys, or --trust")
    opened = ListSet.open(
        directory, now=datetime.now(UTC), overrides=policy.list_overrides(), trust=trust
    )
    if list_state is not None:
        check_remembered(list_state, opened.infos, trust.max_change)
    if as_json:
        signers = [
            {
                "id": info.id,
                "version": info.version,
                "signed_by": list(info.signed_by),
                "exception": one.described() if (one := opened.exemptions.get(info.id)) else None,
            }
            for info in opened.infos
        ]
        click.echo(json.dumps({"digest": opened.digest, "lists": signers}))
        return
    for info in opened.infos:
        click.echo(f"{info.name}: signed by {', '.join(info.signed_by)}")
        if exemption := opened.exemptions.get(info.id):
            click.echo(f"{info.name}: expired; exception until {exemption.until.isoformat()}")


@click.command()
@LISTS
@click.option(
    "--list-state",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help=_STATE,
)
@_POLICY
@click.argument("list_id", metavar="ID")
def accept(directory: str, list_state: str, policy_file: str | None, list_id: str) -> None:
    """Take one list as it is now, though it went back, vanished or changed much.

    Only after asking the partner. The list's signatures and expiry are checked all the same; a
    list that is no longer there is forgotten.
    """
    from ingestgate.blocklists import remembered
    from ingestgate.blocklists.listset import ListSet

    policy = _policy(policy_file, ())
    opened = ListSet.open(directory, now=datetime.now(UTC), trust=policy.trust.opened())
    info = remembered.accept(list_state, list_id, opened.infos)
    click.echo(f"list {list_id}: forgotten" if info is None else f"{info.name}: accepted")


@click.command(name="except")
@_KEY
@click.option(
    "--until",
    required=True,
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="When it ends (UTC): a time, or the start of a day; within 31 days.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the reports.")
@click.option(
    "--replace",
    is_flag=True,
    help="Put it in the place of one with another date or reason, whose signatures are lost.",
)
@click.argument("directory", type=click.Path(), metavar="DIR")
def except_(key_file: str, until: datetime, reason: str, replace: bool, directory: str) -> None:
    """Let one version of an expired list be used for a little longer.

    Writes a signed exception beside the list, or signs the one that is there if date and reason
    are the same; DIR is the directory of the version. It needs as many signatures as the list,
    and is in every report.

    \b
    Example:
      ingestgate lists except --key signing-key.pem --until 2027-02-14 \\
        --reason 'The partner moves its servers' lists/partner-a-7
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.blocklists.exemptions import except_list

    exemption, count = except_list(
        directory,
        read_signing_key(key_file),
        until=until.replace(tzinfo=UTC),
        reason=reason,
        now=datetime.now(UTC),
        replace=replace,
    )
    click.echo(
        f"list {exemption.list_id} version {exemption.version}: excepted until "
        f"{exemption.until.isoformat()}, {counted(count, 'signature')}"
    )


def _policy(policy_file: str | None, lines: tuple[str, ...]) -> "Policy":
    from pydantic import ValidationError

    from ingestgate.pipeline.run_policy import policy_of
    from ingestgate.transforms.policy import Policy

    policy = policy_of(policy_file)
    if not lines:
        return policy
    if policy_file:
        raise UsageError("give trusted keys by --policy or by --trust, not both")
    keys = {name: key for name, _, key in (line.partition("=") for line in lines)}
    try:
        return Policy.model_validate({"trust": {"keys": keys}})
    except ValidationError as error:
        raise UsageError(f"--trust: {first_problem(error)}") from None
