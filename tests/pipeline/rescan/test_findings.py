from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from ingestgate.assets.ledger_digest import shard_ledger_digest
from ingestgate.assets.verdict import Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.contexts import ContextRecord
from ingestgate.pipeline.rescan.findings import Findings, gathered, ledger_digests
from ingestgate.transforms.policy import Policy

POLICY = Policy()
NOW, THEN = "now", "then"


def hit(asset: str, *, sure: bool, list_id: str = "p", **more: Any) -> list[Any]:
    verdict = more.get("verdict", Verdict.ADMITTED)
    return [asset, verdict, list_id, "entry", "pdq", 3, sure, more.get("quarantines", True)]


def part(hits: Sequence[list[Any]], context: str = THEN, **more: Any) -> dict[str, Any]:
    found = {"shard": "s", "path": "ledger/s.parts/0", "sha256": "0", "context": context}
    nothing: dict[str, Any] = {
        "rows": 5,
        "compared": 4,
        "unclear": [],
        "released": [],
        "suppressed": {},
        "withdrawn": [],
    }
    return {**found, "hits": hits, **nothing, **more}


def findings(
    *parts: Mapping[str, Any], digest_then: str = "older", policy: Policy = POLICY
) -> Findings:
    """Of lists `p`, which may have changed since, and `q`, which has not."""
    infos = [SimpleNamespace(id=id, digest=f"{id} today") for id in ("p", "q")]
    lists = cast(ListSet, SimpleNamespace(infos=infos))
    used = [{"id": "p", "digest": digest_then}, {"id": "q", "digest": "q today"}]
    record = ContextRecord(THEN, 1, POLICY.model_dump(mode="json"), used, [])
    return gathered(parts, {THEN: record, NOW: record}, policy, lists, NOW)


def test_what_is_near_counts_unless_the_same_list_has_decided_it() -> None:
    near = [hit("a", sure=False), hit("b", sure=False, list_id="q")]
    assert findings(part(near)).near == {"s": {"a"}}
    assert findings(part(near), digest_then="p today").near == {"s": set()}
    # Nor is it the same list of which the policy says something else now.
    wider = Policy.model_validate({"lists": {"q": {"thresholds": {"pdq": 40}}}})
    assert findings(part(near), policy=wider).near == {"s": {"a", "b"}}
    found = findings(part(near, NOW, unclear=["c"], released=["d"]))
    assert not found.recalled()
    assert not found.released
    assert not found.lines


def test_an_asset_that_surely_matches_is_not_counted_among_the_others() -> None:
    found = findings(part([hit("a", sure=True), hit("a", sure=False)]), part([], unclear=["a"]))
    assert (found.matched, found.to_judge_again, found.rows, found.compared) == (1, 0, 10, 8)
    assert found.recalled() == {("s", "a")}


def test_what_is_not_admitted_or_only_observed_recalls_nothing() -> None:
    held = hit("a", sure=True, verdict=Verdict.UNSCANNABLE)
    found = findings(part([held, hit("b", sure=True, quarantines=False)], suppressed={"x": ["c"]}))
    assert not found.recalled()
    assert found.tallies() == {
        "list:p": 2,
        "compared": 4,
        "unscannable_matched": 1,
        "suppressed": 1,
        "released": 0,
        "to_judge_again": 0,
    }
    (said,) = found.by_shard({"s": "digest"}, NOW).values()
    assert said == {
        "ledger": "digest",
        "matched": 0,
        "held": 1,
        "context": NOW,
        "suppressions": {"x": 1},
    }


def test_a_shard_s_ledger_is_all_its_parts() -> None:
    parts = [part([]), part([], path="ledger/s.parts/1", sha256="1")]
    assert ledger_digests(parts) == {"s": shard_ledger_digest({"0": "0", "1": "1"})}
