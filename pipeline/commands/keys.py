"""``ingestgate keys``: key pairs, for sealing and for signing."""

import click


@click.group()
def keys() -> None:
    """Make keys: of reviewers, and of those who vouch for lists. Make them where they are."""


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


@keys.command()
@click.option(
    "--to",
    "path",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where the private key goes; an existing file is never overwritten.",
)
def signing(path: str) -> None:
    """Make a key to sign lists with (private, in FILE) and print its public line.

    The line goes into the policy, under trust.keys. Whoever has FILE can vouch for lists: keep
    it away from the machines that run the job.
    """
    from ingestgate.assets.signing_keys import generate_signing_key

    click.echo(generate_signing_key(path))
