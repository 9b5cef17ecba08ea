"""What ``verify`` says of a certificate that does not fulfil what is demanded of it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.verdict import Action
from ingestgate.pipeline.certificate.statements import (
    PAYLOAD_TYPE,
    Annotations,
    Certificate,
    Evidence,
    ListUse,
    Predicate,
    Rescan,
    Screening,
    Subject,
    certificate_path,
)
from ingestgate.pipeline.dataset_verifying import Demands, verify

NOW, ZEROS = datetime(2026, 1, 1, tzinfo=UTC), "0" * 64
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def screening(
    name: str,
    version: int,
    shards: int,
    later: ListUse | None = None,
    *,
    action: Action = Action.QUARANTINE,
    signal_types: tuple[str, ...] = (),
    not_searched: tuple[str, ...] = (),
) -> Screening:
    used = ListUse(id="p", version=version, digest=ZEROS, action=action, signal_types=signal_types)
    return Screening(
        id=name,
        context_digest=ZEROS,
        policy_digest=ZEROS,
        judging_version=1,
        judged_with=(used,),
        rescanned_with=later and Rescan(id="r", lists=(later,), ended_at=NOW),
        canaries={},
        not_searched=not_searched,
        isolation=(),
        software=(),
        shards=shards,
        screened_from=NOW,
        screened_until=NOW,
    )


def certificate(*screenings: Screening) -> Certificate:
    predicate = Predicate(
        issued_at=NOW,
        dataset="d",
        screenings=screenings,
        counts={},
        reasons={},
        evidence=Evidence(ledger_digest=ZEROS, receipts_digest=ZEROS),
    )
    said = Annotations(size=1, screening="a")
    subject = Subject(name="a.tar", digest={"sha256": ZEROS}, annotations=said)
    return Certificate.of([subject], predicate)


def test_shards_of_one_list_version_are_told_together(tmp_path: Path) -> None:
    made = certificate(screening("a", 7, 2), screening("b", 7, 3), screening("c", 6, 1))
    path = certificate_path(str(tmp_path))
    Envelope(PAYLOAD_TYPE, made.payload()).signed(KEY).write(path)
    found = verify(str(tmp_path), Demands({"k": KEY.public_key()}, lists={"p": 8}), NOW)
    remedy = "of list p, and version 8 is wanted; have them rescanned and certified again"
    assert [problem for problem in found.problems if "list p" in problem] == [
        f"{path}: 1 shard held against version 6 {remedy}",
        f"{path}: 5 shards held against version 7 {remedy}",
    ]


SOURCES = ("domain", "url")


@pytest.mark.parametrize(
    ("held", "lists"),
    [
        (screening("a", 7, 1), {"p": 7}),
        (screening("a", 7, 1, action=Action.OBSERVE), {}),
        (screening("a", 7, 1, ListUse(id="p", version=8, digest=ZEROS)), {"p": 8}),
        (
            screening("a", 7, 1, ListUse(id="p", version=8, digest=ZEROS, action=Action.OBSERVE)),
            {"p": 7},
        ),
        (screening("a", 7, 1, signal_types=("domain",), not_searched=SOURCES), {}),
        (screening("a", 7, 1, signal_types=("domain", "md5"), not_searched=SOURCES), {"p": 7}),
        # An older certificate does not say what its lists hold.
        (screening("a", 7, 1, not_searched=SOURCES), {"p": 7}),
    ],
    ids=["judged", "observing", "rescanned", "rescan observing", "closed", "half closed", "older"],
)
def test_a_list_counts_that_kept_out_what_matched(held: Screening, lists: dict[str, int]) -> None:
    assert certificate(held).lists() == lists
    assert held.versions() == lists
    assert certificate(held, screening("b", 9, 1, action=Action.OBSERVE)).lists() == {}


def test_the_lowest_version_of_any_shard_counts() -> None:
    later = ListUse(id="p", version=8, digest=ZEROS)
    groups = [screening("a", 9, 1), screening("b", 6, 1), screening("c", 5, 1, later)]
    for several in (groups, groups[::-1]):
        assert certificate(*several).lists() == {"p": 6}
