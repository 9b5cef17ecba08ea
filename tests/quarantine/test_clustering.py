import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingestgate.quarantine.clustering import Clusters

ROWS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from([None, "a", "b", "c"]),
        st.lists(
            st.tuples(
                st.sampled_from("pq"),
                st.sampled_from("123"),
                st.sampled_from(["digest", "perceptual", "source"]),
            ),
            max_size=3,
        ),
    ),
    max_size=10,
)


def made(asset: int, sha256: str | None, found: list[tuple[str, str, str]]) -> dict[str, Any]:
    findings = [{"list_id": p, "entry_id": e, "kind": kind} for p, e, kind in found]
    return {"asset_id": f"{asset:032x}", "sha256": sha256, "findings": findings}


def together(one: dict[str, Any], other: dict[str, Any]) -> bool:
    def entries(row: dict[str, Any]) -> set[tuple[str, str]]:
        return {(f["list_id"], f["entry_id"]) for f in row["findings"] if f["kind"] != "source"}

    return (
        one["asset_id"] == other["asset_id"]
        or (one["sha256"] is not None and one["sha256"] == other["sha256"])
        or bool(entries(one) & entries(other))
    )


def brute_force(rows: list[dict[str, Any]]) -> dict[str, str]:
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        joined = [group for group in groups if any(together(row, each) for each in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([row, *(each for group in joined for each in group)])
    return {
        row["asset_id"]: min(each["asset_id"] for each in group)
        for group in groups
        for row in group
    }


@given(ROWS, st.randoms())
def test_clusters_are_those_of_comparing_all_with_all(
    drawn: list[tuple[int, str | None, list[tuple[str, str, str]]]], order: random.Random
) -> None:
    rows = [made(*each) for each in drawn]
    expected = brute_force(rows)
    order.shuffle(rows)
    clusters = Clusters(rows)
    assert {row["asset_id"]: clusters.of(row["asset_id"]) for row in rows} == expected


def test_a_long_chain_is_one_cluster() -> None:
    rows = [
        made(n, None, [("p", str(n), "digest"), ("p", str(n + 1), "digest")]) for n in range(500)
    ]
    clusters = Clusters(reversed(rows))
    assert {clusters.of(row["asset_id"]) for row in rows} == {f"{0:032x}"}


def test_a_listed_domain_joins_nothing() -> None:
    rows = [made(n, None, [("p", "e", "source")]) for n in range(2)]
    clusters = Clusters(rows)
    assert [clusters.of(row["asset_id"]) for row in rows] == [row["asset_id"] for row in rows]
