"""``ingestgate lists fetch``: a partner's pages into a folder."""

import json
import os
from contextlib import ExitStack
from datetime import UTC, datetime

import click

from ingestgate.assets.errors import UsageError
from ingestgate.assets.printable import counted
from ingestgate.pipeline.commands.options import JSON


@click.command()
@click.option(
    "--exchange",
    "kind",
    required=True,
    type=click.Choice(["ncmec", "stopncii", "folder"]),
    help="Which exchange.",
)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL|DIR",
    help="Address of the exchange's API, or the folder that the partner puts files into.",
)
@click.option(
    "--to",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of its pages and its checkpoint; one for each exchange.",
)
@JSON
def fetch(kind: str, source: str, to: str, as_json: bool) -> None:
    """Fetch what is new from a partner's exchange into a dated folder.

    A fetch that was cut short goes on where it was when it is called again. Then `lists import`
    DIR/pages, all of it, whatever was fetched: an import that failed is made up for so, and what
    is there already changes nothing. Credentials come from the environment:
    INGESTGATE_NCMEC_USER and INGESTGATE_NCMEC_PASSWORD, INGESTGATE_STOPNCII_SUBSCRIPTION_KEY
    and INGESTGATE_STOPNCII_FUNCTION_KEY.

    \b
    Example:
      ingestgate lists fetch --exchange ncmec --to fetched/ncmec \\
        --from https://report.cybertip.org/hashsharing
    """  # noqa: D301 - \b is click's own
    from ingestgate.blocklists import exchange
    from ingestgate.blocklists.folder_exchange import FolderExchange, refuse_within
    from ingestgate.blocklists.http_exchanges import NcmecExchange, StopNciiExchange

    with ExitStack() as stack:
        one: exchange.Exchange
        if kind == "ncmec":
            user, password = _secrets("INGESTGATE_NCMEC_USER", "INGESTGATE_NCMEC_PASSWORD")
            one = stack.enter_context(NcmecExchange(source, user, password))
        elif kind == "stopncii":
            keys = _secrets(
                "INGESTGATE_STOPNCII_SUBSCRIPTION_KEY", "INGESTGATE_STOPNCII_FUNCTION_KEY"
            )
            one = stack.enter_context(StopNciiExchange(source, *keys))
        else:
            refuse_within(to, source)
            one = FolderExchange(source)
        fetched = exchange.fetch(one, to, now=datetime.now(UTC))
    if fetched.unsettled:
        files = counted(fetched.unsettled, "file")
        click.echo(f"{files} changed while being read: left for the next fetch", err=True)
    if as_json:
        click.echo(json.dumps(fetched._asdict()))
    elif fetched.folder is None:
        click.echo("nothing new")
    else:
        click.echo(f"{fetched.folder}: {counted(fetched.pages, 'page')}; import {fetched.every}")


def _secrets(first: str, second: str) -> tuple[str, str]:
    found = os.environ.get(first, ""), os.environ.get(second, "")
    if not all(found):
        raise UsageError(f"credentials are missing: set {first} and {second}")
    return found
