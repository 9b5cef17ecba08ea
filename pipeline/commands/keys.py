"""``ingestgate keys``: age key pairs, for trying things out."""

import click


@click.group()
def keys() -> None:
    """Make age keys. For production, make them where only the reviewers are."""


@keys.command()
@click.option(
    "--to",
    "path",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where the secret identity goes; an existing file is never overwritten.",
)
def recipient(path: str) -> None:
    """Make an identity (secret, in FILE) and print its public recipient.

    The recipient is what `run --recipient` takes. Whoever has FILE can open what is sealed to
    it: keep it away from the machines that run the job.
    """
    from ingestgate.quarantine.keys import generate_identity

    click.echo(generate_identity(path))
