"""What ``verify`` says of a certificate that does not fulfil what is demanded of it."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.envelope import Envelope
from ingestgate.pipeline.certificate.statements import (
    PAYLOAD_TYPE,
    Annotations,
    Certificate,
    Evidence,
    ListUse,
    Predicate,
    Screening,
    Subject,
    certificate_path,
)
from ingestgate.pipeline.dataset_verifying import Demands, verify

NOW, ZEROS = datetime(2026, 1, 1, tzinfo=UTC), "0" * 64
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def screening(name: str, version: int, shards: int) -> Screening:
    return Screening(
        id=name,
        context_digest=ZEROS,
        policy_digest=ZEROS,
        judging_version=1,
        judged_with=(ListUse(id="p", version=version, digest=ZEROS),),
        canaries={},
        isolation=(),
        software=(),
        shards=shards,
        screened_from=NOW,
        screened_until=NOW,
    )


def test_shards_of_one_list_version_are_told_together(tmp_path: Path) -> None:
    predicate = Predicate(
        issued_at=NOW,
        dataset="d",
        screenings=(screening("a", 7, 2), screening("b", 7, 3), screening("c", 6, 1)),
        counts={},
        reasons={},
        evidence=Evidence(ledger_digest=ZEROS, receipts_digest=ZEROS),
    )
    said = Annotations(size=1, screening="a")
    subject = Subject(name="a.tar", digest={"sha256": ZEROS}, annotations=said)
    made = Certificate.of([subject], predicate)
    path = certificate_path(str(tmp_path))
    Envelope(PAYLOAD_TYPE, made.payload()).signed(KEY).write(path)
    found = verify(str(tmp_path), Demands({"k": KEY.public_key()}, lists={"p": 8}), NOW)
    remedy = "of list p, and version 8 is wanted; have them rescanned and certified again"
    assert [problem for problem in found.problems if "list p" in problem] == [
        f"{path}: 1 shard held against version 6 {remedy}",
        f"{path}: 5 shards held against version 7 {remedy}",
    ]
