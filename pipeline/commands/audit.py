"""``ingestgate audit``: the log of who did what to a quarantine."""

import json
from typing import TYPE_CHECKING, Any

import click

from ingestgate.assets.errors import UsageError
from ingestgate.assets.printable import counted
from ingestgate.pipeline.commands.options import FILE, JSON, QUARANTINE

if TYPE_CHECKING:
    from ingestgate.quarantine.audit import AuditLine


@click.group()
def audit() -> None:
    """Check and read a quarantine's audit log, and keep its end elsewhere."""


@audit.command()
@QUARANTINE
@click.option(
    "--key", required=True, type=FILE, metavar="FILE", help="The private key that signs it."
)
@click.option(
    "--to",
    "path",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="Where it goes; an existing file is never overwritten.",
)
def checkpoint(root: str, key: str, path: str) -> None:
    """Write a signed statement of how long the log is, and what it ends with.

    Keep it where nobody who can write to the quarantine can: it is what shows that the log's end
    was cut off, or all of it written anew.
    """
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.audit_checkpoints import write_checkpoint
    from ingestgate.quarantine.presence import require_log

    require_log(root)
    end = write_checkpoint(root, read_signing_key(key), path)
    click.echo(f"{counted(end.count, 'line')}, the last {end.head}")


@audit.command()
@QUARANTINE
@click.option("--checkpoint", "path", type=FILE, metavar="FILE", help="A checkpoint that was kept.")
@click.option(
    "--key",
    metavar="FILE|ed25519:...",
    help="Public key that signed the checkpoint: its line, or a file of it.",
)
@JSON
def verify(root: str, path: str | None, key: str | None, as_json: bool) -> None:
    """Check that no line was edited, dropped, reordered or put in; ends with 5 and names it.

    So it does where the log is gone.
    Also that everybody who signed was known then and had the role for it. That the log's end is
    still there, only a checkpoint can tell.

    \b
    Example:
      ingestgate audit verify --quarantine vault --checkpoint kept/audit.json \\
        --key ed25519:...
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import one_public_line, parse_public_line
    from ingestgate.quarantine.audit import head, require_head
    from ingestgate.quarantine.audit_checkpoints import read_checkpoint
    from ingestgate.quarantine.decisions import decisions
    from ingestgate.quarantine.presence import require_log

    if (path is None) != (key is None):
        raise UsageError("a --checkpoint needs the --key that signed it, and the other way round")
    require_log(root)
    if path is not None and key is not None:
        try:
            public = parse_public_line(one_public_line(key))
        except ValueError as error:
            raise UsageError(f"--key: {error}") from None
        end = require_head(root, read_checkpoint(path, public), path)
    else:
        end = head(root)
    decisions(root)
    if as_json:
        said = {"sound": True, "count": end.count, "head": end.head, "checkpoint": path}
        click.echo(json.dumps(said))
        return
    click.echo(f"{counted(end.count, 'line')} checked, and the last is {end.head}")
    if path is None:
        click.echo("not checked: whether lines are missing at the end; give a --checkpoint")


@audit.command()
@QUARANTINE
def repair(root: str) -> None:
    """Replace a last line that a crash left incomplete by one that records it.

    So does each command that has something to log, before it begins. Commands that read alone
    refuse such a log.
    """
    from ingestgate.quarantine.audit_writing import repair as repair_log
    from ingestgate.quarantine.presence import require_log

    require_log(root)
    click.echo("a torn line was put on record" if repair_log(root) else "nothing to repair")


@audit.command()
@QUARANTINE
@click.option(
    "--event",
    help="Only this event, or those that start so: release.approved, or release. for all of those.",
)
@click.option("--asset", help="Only what names this asset (the start of its id will do).")
@click.option("--who", help="Only what this person did.")
@JSON
def show(
    root: str,
    event: str | None,
    asset: str | None,
    who: str | None,
    as_json: bool,
) -> None:
    """Print the log, checked. As confidential as the manifest: reasons are what people wrote.

    With --asset also the approval of a release that the asset was part of. Where nothing matches,
    standard error says so.
    """
    from ingestgate.quarantine.audit import read_log
    from ingestgate.quarantine.decisions import REQUESTED
    from ingestgate.quarantine.presence import require_log
    from ingestgate.quarantine.reviewers import Registry

    require_log(root)
    known = Registry()
    asked: dict[int, list[str]] = {}  # assets by request
    shown = 0
    for line in read_log(root):
        known.apply(line)
        name = known.names[-1]
        assets = _assets(line, asked)
        if line.event == REQUESTED:
            asked[line.number] = assets
        if event and not line.event.startswith(event):
            continue
        if asset and not any(each.startswith(asset) for each in assets):
            continue
        if who and name != who:
            continue
        shown += 1
        if as_json:
            said = {"number": line.number, "time": line.time, "event": line.event, "who": name}
            click.echo(json.dumps({**said, "key": line.key, "fields": dict(line.fields)}))
        else:
            fields = json.dumps(dict(line.fields))  # ASCII: no control character reaches a terminal
            click.echo(f"{line.number} {line.time} {line.event} {name or '-'} {fields}")
    if not shown:
        click.echo("no line matches", err=True)


def _assets(line: "AuditLine", asked: dict[int, list[str]]) -> list[str]:
    """Returns the assets that a line names, or those of the request that it names."""
    request = line.fields.get("request")
    found: list[Any] = [line.fields.get("asset")]
    several = line.fields.get("assets")
    found += several if isinstance(several, list) else []
    named = [each for each in found if isinstance(each, str)]
    return named or (asked.get(request, []) if isinstance(request, int) else [])
