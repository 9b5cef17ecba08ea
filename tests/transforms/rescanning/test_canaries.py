from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingestgate.assets.errors import SelfTestError
from ingestgate.blocklists import hamming, screening, spreading
from ingestgate.blocklists.additions import only
from ingestgate.blocklists.canaries import canary_id
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.source_matching import SourceMatches
from ingestgate.blocklists.tables import SortedValues
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescanning import RescanLists, digests, hashes, parts, provenance
from ingestgate.transforms.rescanning.canaries import check_rescan

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Stub = Callable[..., Any]


def compiled(root: Path, id: str, values: dict[str, list[str]]) -> None:
    sources = []
    for name, several in values.items():
        (root / name).write_text("\n".join(["value", *several]) + "\n")
        sources.append((name, str(root / name)))
    compile_list(
        id=id, version=1, sources=sources, to=str(root / "lists"), issued=NOW.replace(month=1)
    )


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> ListSet:
    root = tmp_path_factory.mktemp("lists")
    random = np.random.default_rng(1)
    compiled(
        root,
        "every",
        {
            **{name: ["ab" * width] for name, width in (("md5", 16), ("sha1", 20))},
            "sha256": ["ab" * 32],
            "phash": ["0123456789abcdef"],
            "domain": ["a.example"],
            "url": ["https://b.example/x"],
        },
    )
    compiled(root, "hashed", {"expression": ["ab" * 32]})
    compiled(
        root, "indexed", {"pdq": [random.bytes(32).hex() for _ in range(hamming.INDEXED_FROM)]}
    )
    found = ListSet.open(str(root / "lists"), now=NOW)
    assert "pdq" in found.lists[2].indexes
    assert "phash" not in found.lists[0].indexes
    return found


def wanted(lists: ListSet, *names: str) -> RescanLists:
    chosen = [one for one in lists.lists if not names or one.info.id in names]
    return RescanLists(Matcher(chosen), Policy())


def test_every_canary_is_caught(lists: ListSet) -> None:
    check_rescan(wanted(lists))


def test_what_came_to_a_list_is_looked_for_with_its_canaries(lists: ListSet) -> None:
    ids = set(lists.lists[2].entries.column(0).to_pylist()) - {canary_id("pdq")}
    some = only(lists.lists[2], [min(ids)])
    assert len(some.values["pdq"].values) == 2
    check_rescan(RescanLists(Matcher([some]), Policy()))
    blank = SortedValues(some.values["pdq"].values ^ np.uint8(0xA5), some.values["pdq"].entries)
    blind = replace(some, values={"pdq": blank}, indexes={})
    with pytest.raises(SelfTestError, match="pdq canary was not caught by content"):
        check_rescan(RescanLists(Matcher([blind]), Policy()))


def test_a_search_among_what_came_to_a_list_that_misses(
    lists: ListSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = set(lists.lists[2].entries.column(0).to_pylist()) - {canary_id("pdq")}
    some = only(lists.lists[2], [min(ids)])
    monkeypatch.setattr(spreading, "find_spread", no_pairs)
    with pytest.raises(SelfTestError, match="its pdq canary was not caught by content"):
        check_rescan(RescanLists(Matcher([some]), Policy()))


def test_a_policy_that_names_no_columns(lists: ListSet) -> None:
    policy = Policy(url_columns=(), digest_columns={})
    check_rescan(RescanLists(Matcher(lists.lists), policy))


def nothing(*arguments: Any, **more: Any) -> Any:
    return iter(())


def no_pairs(*arguments: Any, **more: Any) -> Any:
    return np.zeros((0, 3), np.int64)


def no_rows(*arguments: Any, **more: Any) -> Any:
    return np.zeros(0, np.int64)


def no_sources(*arguments: Any, **more: Any) -> SourceMatches:
    return SourceMatches({}, np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("where", "name", "stub", "of", "signal", "way"),
    [
        (digests, "match_recorded", nothing, "every", "md5", "by content"),
        (digests, "look_up", nothing, "every", "md5", "by content"),
        (digests, "_screened", no_rows, "every", "md5", "by content"),
        (hashes, "match_views", nothing, "indexed", "pdq", "by content"),
        (hamming, "find_pairs", no_pairs, "indexed", "pdq", "by content"),
        (hashes, "_scan_pairs", no_pairs, "every", "phash", "by content"),
        (provenance, "match_provenance", nothing, "every", "domain", "by what an asset says"),
        (Matcher, "match_sources", no_sources, "hashed", "expression", "by what an asset says"),
        (screening, "undecided", no_rows, "every", "domain", "by what an asset says"),
    ],
)
def test_a_matcher_that_misses(
    lists: ListSet,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    stub: Stub,
    of: str,
    signal: str,
    way: str,
) -> None:
    monkeypatch.setattr(where, name, stub)
    with pytest.raises(
        SelfTestError, match=f"list {of} .*its {signal} canary was not caught {way}"
    ):
        check_rescan(wanted(lists, of))


def test_a_sidecar_that_is_passed_over(lists: ListSet, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = parts._rescan_batch

    def without(batch: pa.RecordBatch, *more: Any) -> None:
        place = batch.schema.get_field_index("sidecars")
        empty = pa.nulls(batch.num_rows, batch.schema.field(place).type)
        whole(batch.set_column(place, batch.schema.field(place), empty), *more)

    monkeypatch.setattr(parts, "_rescan_batch", without)
    with pytest.raises(SelfTestError, match="its md5 canary was not caught by a sidecar"):
        check_rescan(wanted(lists))


@pytest.mark.parametrize("of", ["every", "indexed"])
def test_a_search_that_ends_before_the_threshold(
    lists: ListSet, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    whole = hashes.search_all

    def near_only(*arguments: Any) -> Any:
        for one, pairs in whole(*arguments):
            yield one, pairs[pairs[:, 1] < 3]

    monkeypatch.setattr(hashes, "search_all", near_only)
    with pytest.raises(SelfTestError, match="canary was not caught at its threshold"):
        check_rescan(wanted(lists, of))
