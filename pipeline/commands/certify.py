"""``ingestgate certify``: states what was let through, by which rules, and signs it."""

import json
from typing import Any

import click

from ingestgate.assets.printable import counted
from ingestgate.pipeline.commands.options import json_flag, policy, suppressions
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several

_FOLDER = click.Path(path_type=str)


@click.command(cls=SeveralValuesCommand)
@click.option("--output", required=True, type=_FOLDER, metavar="DIR", help="The run's output.")
@click.option("--evidence", required=True, type=_FOLDER, metavar="DIR", help="Its evidence.")
@click.option(
    "--quarantine",
    type=_FOLDER,
    metavar="DIR",
    help="Its quarantine, so that the certificate names its manifests and audit log as well.",
)
@click.option(
    "--lists",
    required=True,
    type=_FOLDER,
    metavar="DIR",
    help="The lists in force; everything has to have been judged, or rescanned, with them.",
)
@policy("The run's policy.")
@suppressions("The run's suppressions.")
@several(
    "--key",
    "key_files",
    required=True,
    metavar="FILE",
    help="Private key to sign with (see: ingestgate keys signing); several sign at once.",
)
@json_flag("Print JSON; no progress.")
def certify(**options: Any) -> None:
    """Sign a certificate of what a run admitted, once the output has been compared with it.

    Every admitted file is hashed and compared with the receipts. The certificate goes to
    OUTPUT/_ingestgate/certificate.dsse.json, a copy into the evidence. One that is there and
    says the same gains a signature: so several people sign one after another. Ends with 5 if
    output and evidence do not agree.

    \b
    Example:
      ingestgate certify --output admitted --evidence evidence --quarantine vault \\
        --lists lists --key certificate-key.pem
    """  # noqa: D301 - \b is click's own
    from datetime import UTC, datetime

    from ingestgate.assets import storage
    from ingestgate.assets.evidence import require_evidence
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.blocklists.suppressions import Suppressions
    from ingestgate.pipeline.certificate.certifying import CertifyRequest
    from ingestgate.pipeline.certificate.certifying import certify as make
    from ingestgate.pipeline.hash_progress import HashProgress
    from ingestgate.pipeline.list_opening import open_lists
    from ingestgate.pipeline.lock import run_lock
    from ingestgate.pipeline.run_policy import policy_of
    from ingestgate.quarantine.audit_writing import require_sound_log
    from ingestgate.transforms.settings import context_digest

    as_json = options["as_json"]
    quarantine = options["quarantine"]
    storage.require_directory(options["output"])
    require_evidence(options["evidence"])
    if quarantine is not None:
        require_sound_log(quarantine)
    policy = policy_of(options["policy_file"])
    now = datetime.now(UTC)
    lists = open_lists(options["lists"], policy, now)
    trust = policy.trust.for_suppressions()
    suppressions = Suppressions.open(options["suppressions"], trust, now=now)
    keys = [read_signing_key(path) for path in options["key_files"]]
    request = CertifyRequest(
        output=storage.absolute(options["output"]),
        evidence=storage.absolute(options["evidence"]),
        quarantine=None if quarantine is None else storage.absolute(quarantine),
        context=context_digest(policy, lists.digest, suppressions.digest),
        lists_digest=lists.digest,
    )
    with run_lock(request.evidence):
        done = make(request, keys, now, None if as_json else HashProgress())
    if as_json:
        said = {
            "certificate": done.path,
            "digest": done.digest,
            "signatures": done.signatures,
            "subjects": len(done.certificate.subject),
            "lists": done.certificate.lists(),
            "supersedes": done.certificate.predicate.supersedes,
        }
        click.echo(json.dumps(said))
        return
    click.echo(
        f"{done.path}: {'signed as well' if done.added else 'signed'}, "
        f"{counted(done.signatures, 'signature')}, "
        f"{counted(len(done.certificate.subject), 'subject')}"
    )
