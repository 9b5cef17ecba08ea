"""``ingestgate keys``: key pairs, for sealing and for signing."""

import click


@click.group()
def keys() -> None:
    """Make keys: to open what is sealed, and to sign. Make each where whoever holds it is."""


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
    """Make a key to sign with (private, in FILE) and print its public line.

    The line is what others know the key by: a policy those who vouch for lists (trust.keys) and
    for suppressions (trust.suppression_keys), `quarantine reviewers add` a person, `verify --key`
    who certified a dataset. Receipts of purges, recall notices and audit checkpoints are signed
    likewise.

    Whoever has FILE can sign as its holder: one key for each purpose. Only the gate's own, of `run
    --certificate-key`, belongs on a machine that runs the job.
    """
    from ingestgate.assets.signing_keys import generate_signing_key

    click.echo(generate_signing_key(path))
