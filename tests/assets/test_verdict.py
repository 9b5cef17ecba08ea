import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.verdict import (
    REASONS,
    Action,
    Finding,
    Reason,
    SignalKind,
    Tier,
    Verdict,
    tier,
)


def finding(kind: str, list_id: str = "one", action: str = "quarantine") -> Finding:
    return Finding(list_id, 1, "e", "", "type", kind, "content", 0, 0, action)


FINDINGS = st.builds(
    finding,
    st.sampled_from([kind.value for kind in SignalKind]),
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from(["quarantine", "observe"]),
)


def test_every_reason_belongs_to_exactly_one_verdict() -> None:
    assert set(REASONS) == set(Verdict)
    for reason in Reason:
        assert sum(reason in reasons for reasons in REASONS.values()) == 1, reason


def test_only_a_clean_asset_is_admitted() -> None:
    assert REASONS[Verdict.ADMITTED] == {Reason.CLEAN}


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], None),
        ([finding("source")], Tier.SOURCE),
        ([finding("perceptual")], Tier.NEAR),
        ([finding("perceptual"), finding("perceptual")], Tier.NEAR),
        ([finding("perceptual"), finding("perceptual", "two")], Tier.NEAR_SEVERAL),
        ([finding("perceptual"), finding("source", "two")], Tier.NEAR),
        ([finding("source"), finding("perceptual"), finding("digest")], Tier.EXACT),
        ([finding("digest", action="observe")], None),
        ([finding("digest", action="observe"), finding("source")], Tier.SOURCE),
        ([finding("perceptual"), finding("perceptual", "two", "observe")], Tier.NEAR),
    ],
)
def test_the_tier_is_the_strongest_that_quarantines(
    findings: list[Finding], expected: Tier | None
) -> None:
    for order in itertools.permutations(findings):
        assert tier(order) == expected


@pytest.mark.parametrize("action", ["", "Observe", "observe ", "ignore", "quarantine", "off"])
def test_an_unknown_action_quarantines(action: str) -> None:
    assert finding("digest", action=action).quarantines
    assert tier([finding("digest", action=action)]) is Tier.EXACT


def test_only_observe_does_not_quarantine() -> None:
    assert not finding("digest", action=Action.OBSERVE).quarantines
    assert not finding("digest", action="observe").quarantines


def test_a_kind_nobody_knows_is_still_evidence() -> None:
    assert tier([finding("novel")]) is not None


@given(st.lists(FINDINGS, max_size=6), FINDINGS)
def test_more_evidence_never_weakens_the_tier(findings: list[Finding], more: Finding) -> None:
    strength = [None, *reversed(Tier)]
    assert strength.index(tier([*findings, more])) >= strength.index(tier(findings))
    assert (tier(findings) is None) == (not any(each.quarantines for each in findings))
