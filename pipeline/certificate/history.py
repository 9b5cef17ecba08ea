"""Which certificates of an output there were before."""

import re
from datetime import datetime

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.pipeline.certificate.statements import (
    CLOCK_SKEW,
    PAYLOAD_TYPE,
    Certificate,
    current_certificate,
    digest_of,
    kept_certificate_path,
    parse_certificate,
)

_KEPT = re.compile(r"([0-9a-f]{64})\.dsse\.json")


def last_certificate(output: str, evidence: str) -> tuple[Envelope, Certificate] | None:
    """Returns the certificate that lies with an output, or the newest that the evidence keeps.

    Taking it out of the output makes no checks fresh: what says the same has the same time.

    Raises:
        EvidenceError: What lies there is no certificate, or is not the one it is called by.
    """
    if there := current_certificate(output):
        return there
    kept = (_read(evidence, digest) for digest in _kept(evidence))
    return max(kept, key=_generation, default=None)


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


def may_be_signed_again(there: tuple[Envelope, Certificate], evidence: str, now: datetime) -> bool:
    """Whether the time and the history that a certificate states may be stated once more.

    Whoever signed it, or nobody: its time has come, and it names all that the evidence keeps.
    """
    said = there[1].predicate
    unnamed = {*_kept(evidence)} - {*said.replaced, digest_of(there[0].payload)}
    return said.issued_at <= now + CLOCK_SKEW and not unnamed


def _kept(evidence: str) -> list[str]:
    """Returns the digests of the certificates that an evidence folder keeps."""
    entries = storage.walk_if_there(storage.join(evidence, "certificates"))
    names = (_KEPT.fullmatch(storage.basename(entry.path)) for entry in entries)
    return [name[1] for name in names if name]


def _generation(kept: tuple[Envelope, Certificate]) -> tuple[int, datetime]:
    """Returns what is greater of a later certificate, by whatever clock: each names all before."""
    said = kept[1].predicate
    return len(said.replaced), said.issued_at


def _read(evidence: str, digest: str) -> tuple[Envelope, Certificate]:
    path = kept_certificate_path(evidence, digest)
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    if envelope is None or digest_of(envelope.payload) != digest:
        raise EvidenceError(f"{path}: not the certificate that it is called by; put it back")
    return envelope, parse_certificate(path, envelope)
