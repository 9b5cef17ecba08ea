"""Which certificates of an output there were before."""

import re

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.pipeline.statements import Certificate, digest_of

_KEPT = re.compile(r"([0-9a-f]{64})\.dsse\.json")


def successor(
    made: Certificate, earlier: tuple[Envelope, Certificate], evidence: str
) -> Certificate:
    """Returns a certificate that replaces an earlier one, and all that were there before.

    Those that the evidence keeps as well: its folder may have been tidied, the earlier one may be
    an older copy.

    Args:
        made: What is to be stated.
        earlier: The certificate that was there last.
        evidence: The evidence folder.
    """
    envelope, certificate = earlier
    last = digest_of(envelope.payload)
    others = sorted({*certificate.predicate.replaced, *_kept(evidence)} - {last})
    said = {"supersedes": last, "supersedes_also": tuple(others) or None}
    return made.model_copy(update={"predicate": made.predicate.model_copy(update=said)})


def _kept(evidence: str) -> list[str]:
    """Returns the digests of the certificates that an evidence folder keeps."""
    entries = storage.walk_if_there(storage.join(evidence, "certificates"))
    names = (_KEPT.fullmatch(storage.basename(entry.path)) for entry in entries)
    return [name[1] for name in names if name]
