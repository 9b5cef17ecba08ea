"""Whatever raises in a check, and whatever policy says: the asset is not admitted."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestgate.assets.shard import Kind, Member, Sample
from ingestgate.assets.verdict import Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.transforms import judging
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import open_judge
from tests.pictures import jpeg

CHECKS: list[tuple[Any, str]] = [
    (ListSet, "match_source"),
    (ListSet, "match_digest_each"),
    (ListSet, "match_perceptual_each"),
    (Fingerprinter, "_fingerprint"),
    (judging, "digests_of"),
]
ERRORS = (RuntimeError, ValueError, OSError, MemoryError, TimeoutError, KeyError, RecursionError)
PICTURE = jpeg(100)
SOURCE = {"url": "https://fine.example/1", "md5": "0" * 32}


class Broken:
    """A check that raises from its n-th call on; counts how often it did."""

    def __init__(self, real: Callable[..., Any], error: type[Exception], after: int) -> None:
        self.real, self.error, self.after, self.raised = real, error, after, 0

    def __get__(self, owner: Any, kind: Any = None) -> Callable[..., Any]:
        return lambda *arguments, **more: self(owner, *arguments, **more)

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        self.after -= 1
        if self.after >= 0:
            return self.real(*arguments, **more)
        self.raised += 1
        raise self.error("broken")


POLICIES = (
    Policy(decoder="in_process"),
    Policy(decoder="in_process", require_source=True),
    Policy.model_validate({"decoder": "in_process", "skipped_members": "screen"}),
)


@pytest.fixture(scope="module")
def judges(lists: str) -> list[Judge]:
    return [open_judge(policy, lists) for policy in POLICIES]


def test_every_check_can_be_broken(judges: list[Judge]) -> None:
    """As the property below breaks them: else it would say nothing."""
    member = Member("a.jpg", 0, PICTURE, Kind.PICTURE)
    for owner, name in CHECKS:
        broken = Broken(getattr(owner, name), RuntimeError, 0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, broken)
            with suppress(RuntimeError):
                judges[0].judge("shard", Sample("key", (member,), SOURCE))
        assert broken.raised, name


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    check=st.sampled_from(CHECKS),
    error=st.sampled_from(ERRORS),
    after=st.integers(0, 3),
    policy=st.integers(0, len(POLICIES) - 1),
    kinds=st.lists(st.sampled_from(list(Kind)), min_size=1, max_size=3),
)
def test_nothing_of_a_sample_is_admitted_whose_check_raised(
    judges: list[Judge],
    check: tuple[Any, str],
    error: type[Exception],
    after: int,
    policy: int,
    kinds: list[Kind],
) -> None:
    members = tuple(
        Member(f"{n}.jpg", n, None if kind is Kind.REFERENCE else PICTURE, kind)
        for n, kind in enumerate(kinds)
    )
    judge, (owner, name) = judges[policy], check
    broken = Broken(getattr(owner, name), error, after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, broken)
        try:
            rows = judge.judge("shard", Sample("key", members, SOURCE))
        except (error, Unscannable):
            assert broken.raised  # and the run fails
            return
    if broken.raised:
        assert all(row.verdict is not Verdict.ADMITTED for row in rows)
