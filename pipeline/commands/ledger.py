"""``ingestgate ledger``: what was decided about each asset, and why."""

import json
from collections.abc import Iterator
from typing import Any

import click

from ingestgate.assets.verdict import Reason, Verdict
from ingestgate.pipeline.commands.options import json_flag
from ingestgate.pipeline.commands.tables import show_table

_COLUMNS = ["asset_id", "shard", "member", "field", "verdict", "reason", "tier", "findings"]


@click.command()
@click.option(
    "--evidence", required=True, type=click.Path(), metavar="DIR", help="The run's evidence."
)
@click.option(
    "--verdict", type=click.Choice([verdict.value for verdict in Verdict]), help="Only these."
)
@click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]), help="Only for this."
)
@json_flag("Print a JSON object per line.")
def ledger(evidence: str, verdict: str | None, reason: str | None, as_json: bool) -> None:
    """List assets with their verdict and reason, such as all that could not be scanned.

    \b
    Example:
      ingestgate ledger --evidence evidence --verdict unscannable
    """  # noqa: D301
    from ingestgate.assets.evidence import require_evidence

    require_evidence(evidence)
    rows = _rows(evidence, verdict, reason)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    show_table(
        ("shard", "member", "verdict", "reason", "tier"),
        (
            (
                row["shard"],
                f"{row['member']} {row['field']}".rstrip(),
                row["verdict"],
                row["reason"],
                row["tier"] or "",
            )
            for row in rows
        ),
    )


def _rows(evidence: str, verdict: str | None, reason: str | None) -> Iterator[dict[str, Any]]:
    import pyarrow.compute as pc

    from ingestgate.assets.ledger import read_parts

    for table in read_parts(evidence, _COLUMNS):
        chosen = table
        for column, wanted in (("verdict", verdict), ("reason", reason)):
            if wanted is not None:
                chosen = chosen.filter(pc.equal(chosen[column], wanted))
        yield from chosen.to_pylist()
