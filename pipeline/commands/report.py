"""``ingestgate report``: figures and statements made from what runs left behind."""

import json

import click

from ingestgate.pipeline.commands.options import json_flag
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several


@click.group()
def report() -> None:
    """Make reports from certificates and from the reports that runs keep."""


@report.command()
@click.option("--output", required=True, type=click.Path(), metavar="DIR", help="A run's output.")
@click.option("--name", required=True, metavar="NAME", help="The dataset's name.")
@click.option(
    "--to", required=True, type=click.Path(path_type=str), metavar="DIR", help="Where they go."
)
def croissant(output: str, name: str, to: str) -> None:
    """Write Croissant metadata and a data statement from a certificate.

    TO/croissant.json is a fragment of Croissant 1.1 with the SHA-256 of each shard, to be merged
    into the dataset's own; TO/data-statement.md a section for its card. The certificate's
    signatures are not checked: see 'ingestgate verify'.

    \b
    Example:
      ingestgate report croissant --output admitted --name photos --to card
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets import storage
    from ingestgate.assets.errors import EvidenceError
    from ingestgate.pipeline import croissant as card
    from ingestgate.pipeline.certificate.statements import (
        certificate_path,
        current_certificate,
        digest_of,
    )

    storage.require_directory(output)
    found = current_certificate(output)
    if found is None:
        raise EvidenceError(f"{certificate_path(output)}: no certificate; have it certified first")
    envelope, certificate = found
    digest = digest_of(envelope.payload)
    fragment = json.dumps(card.croissant(certificate, digest, name), indent=1, ensure_ascii=False)
    statement = card.data_statement(certificate, digest, name)
    for file, text in (("croissant.json", fragment + "\n"), ("data-statement.md", statement)):
        path = storage.join(to, file)
        storage.write_bytes(path, text.encode())
        click.echo(path)


@report.command(cls=SeveralValuesCommand)
@click.option("--year", required=True, type=click.IntRange(2000, 9999), help="Which (UTC).")
@several("--evidence", required=True, metavar="DIR...", help="Evidence folders of every gate.")
@several("--quarantine", metavar="DIR...", help="Quarantines, for the decisions of people.")
@click.option(
    "--to", required=True, type=click.Path(path_type=str), metavar="DIR", help="Where they go."
)
@json_flag("Print the figures as JSON as well.")
def transparency(
    year: int,
    evidence: tuple[str, ...],
    quarantine: tuple[str, ...],
    to: str,
    as_json: bool,
) -> None:
    """Add up a year's runs, rescans and decisions for a transparency report.

    Writes TO/transparency-YEAR.json and .html: figures and plots, and nothing that identifies an
    asset. Look at small numbers before you publish them.

    \b
    Example:
      ingestgate report transparency --year 2026 --evidence evidence \\
        --quarantine vault --to published
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets import storage
    from ingestgate.pipeline import transparency as figures_of

    figures = figures_of.transparency(year, evidence, quarantine)
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    for suffix, content in (("json", text + "\n"), ("html", figures_of.page(figures))):
        path = storage.join(to, f"transparency-{year}.{suffix}")
        storage.write_bytes(path, content.encode())
        if not as_json:
            click.echo(path)
    if as_json:
        click.echo(json.dumps(figures))
