from datetime import UTC, datetime

import pytest

from ingestgate.assets.verdict import Action
from ingestgate.pipeline.certificate.statements import (
    Annotations,
    Certificate,
    Evidence,
    ListUse,
    Predicate,
    Rescan,
    Screening,
    Subject,
    SuppressionUse,
)
from ingestgate.pipeline.croissant import croissant, data_statement

NOW, ZEROS = datetime(2026, 1, 1, tzinfo=UTC), "0" * 64


def certificate(
    signal_types: tuple[str, ...],
    canaries: tuple[str, ...] = (),
    action: Action = Action.QUARANTINE,
    further: tuple[ListUse, ...] = (),
    not_searched: tuple[str, ...] = (),
) -> Certificate:
    used = ListUse(id="p", version=1, digest=ZEROS, action=action, signal_types=signal_types)
    screening = Screening(
        id="s",
        context_digest=ZEROS,
        policy_digest=ZEROS,
        judging_version=1,
        judged_with=(used, *further),
        canaries={"p": canaries},
        not_searched=not_searched,
        isolation=(),
        software=(),
        shards=1,
        screened_from=NOW,
        screened_until=NOW,
    )
    predicate = Predicate(
        issued_at=NOW,
        dataset="d",
        screenings=(screening,),
        counts={"admitted": 1},
        reasons={},
        evidence=Evidence(ledger_digest=ZEROS, receipts_digest=ZEROS),
    )
    annotations = Annotations(size=1, screening="s")
    return Certificate.of(
        [Subject(name="a.tar", digest={"sha256": ZEROS}, annotations=annotations)], predicate
    )


@pytest.mark.parametrize(
    ("signal_types", "canaries", "means"),
    [
        (("md5",), (), "by cryptographic digests (md5)"),
        (("domain", "url"), (), "by sources (domain, url)"),
        (("pdq", "sha1"), ("md5",), "by cryptographic digests (sha1) and perceptual hashes (pdq)"),
        ((), ("md5",), "by cryptographic digests (md5)"),
        (("elsewhere",), (), "by what these hold"),
    ],
)
def test_claims_no_more_than_what_the_lists_hold(
    signal_types: tuple[str, ...], canaries: tuple[str, ...], means: str
) -> None:
    made = certificate(signal_types, canaries)
    (protocol,) = croissant(made, "digest", "photos")["rai:dataPreprocessingProtocol"]
    statement = data_statement(made, "digest", "photos")
    for text in (protocol, statement):
        assert f", {means}, " in text
        for kind in ("cryptographic digests", "perceptual hashes", "sources"):
            assert (kind in text) == (kind in means)


def test_a_list_that_only_observes_screens_nothing() -> None:
    counting = ListUse(id="q", version=3, digest=ZEROS, signal_types=("md5",))
    made = certificate(("pdq",), ("phash",), Action.OBSERVE, (counting,))
    text = data_statement(made, "digest", "photos")
    assert ", by cryptographic digests (md5), with:\n- list `q`, version 3\n" in text
    assert "`p`" not in text
    assert "\n1 shard was screened from 2026-01-01 to 2026-01-01, by" in text
    fragment = croissant(made, "digest", "photos")
    (protocol,) = fragment["rai:dataPreprocessingProtocol"]
    assert "partners supply (q version 3), by cryptographic digests (md5), before" in protocol
    (activity,) = fragment["prov:wasGeneratedBy"]
    assert [used["prov:label"] for used in activity["prov:used"]] == ["list q, version 3"]
    nothing = certificate(("pdq",), ("phash",), Action.OBSERVE)
    assert "with:\n- no list that keeps anything out\n" in data_statement(nothing, "d", "photos")


def test_what_nothing_was_looked_for_by_is_not_claimed() -> None:
    closed = ("domain", "url")
    sources = ListUse(id="q", version=3, digest=ZEROS, signal_types=("domain",))
    made = certificate(("md5", "url"), further=(sources,), not_searched=closed)
    text = data_statement(made, "digest", "photos")
    assert ", by cryptographic digests (md5), with:\n- list `p`, version 1\n" in text
    assert "`q`" not in text


@pytest.mark.parametrize(
    ("judged", "rescanned", "said"),
    [
        (0, 0, "held. From"),
        (2, 0, "held. 2 were admitted though they matched, by signed suppressions. From"),
        (0, 3, "held. When checked again, 3 were left in though they matched, by signed"),
        (2, 3, "by signed suppressions. When checked again, 3 were left in though they matched"),
    ],
)
def test_what_suppressions_let_pass_is_told(judged: int, rescanned: int, said: str) -> None:
    def used(assets: int) -> tuple[SuppressionUse, ...]:
        one = SuppressionUse(id="x", digest=ZEROS, made=NOW, signed_by=("k", "l"), assets=assets)
        return (one,) if assets else ()

    made = certificate(("md5",))
    (screening,) = made.predicate.screenings
    rescan = Rescan(id="r", lists=screening.judged_with, ended_at=NOW, suppressions=used(rescanned))
    changed = {"suppressions": used(judged), "rescanned_with": rescan}
    predicate = made.predicate.model_copy(
        update={"screenings": (screening.model_copy(update=changed),)}
    )
    again = made.model_copy(update={"predicate": predicate})
    (protocol,) = croissant(again, "digest", "photos")["rai:dataPreprocessingProtocol"]
    assert said in protocol
