from typing import Any

import pyarrow as pa
import pytest

from ingestgate.assets.errors import ShardError
from ingestgate.assets.shard import Shard
from ingestgate.transforms import long_lists
from ingestgate.transforms.long_lists import refuse_long_lists

SHARD = Shard("urls.parquet", "/x/urls.parquet", "url-manifest", 10, "id")
NESTED = pa.list_(pa.list_(pa.string()))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lists, "_MOST_NUMBERS", 1 << 20)
    monkeypatch.setattr(long_lists, "_MOST_ITEMS", 6)


def table(values: list[Any], kind: pa.DataType) -> pa.Table:
    return pa.table({"column": pa.array(values, kind)})


FIT: list[tuple[list[Any], pa.DataType]] = [
    ([["a"] * 3, None, ["b"] * 3], pa.list_(pa.string())),
    ([[["a"], ["b", "c"]], [[]]], NESTED),
    ([{"a": ["x"] * 6}], pa.struct([("a", pa.large_list(pa.string()))])),
    ([[("a", 1)] * 6], pa.map_(pa.string(), pa.int8())),
    (["as many as you like"] * 100, pa.string()),
    ([[1] * 1000] * 1048, pa.list_(pa.int8())),
]


@pytest.mark.parametrize(("values", "kind"), FIT, ids=lambda one: str(one)[:20])
def test_what_fits(values: list[Any], kind: pa.DataType) -> None:
    refuse_long_lists(SHARD, table(values, kind))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([["a"] * 3, None, ["b"] * 4], pa.list_(pa.string())),
        ([[["a"], ["b", "c"]], [[], []]], NESTED),
        ([[[["a"] * 5]]], pa.list_(NESTED)),
        ([{"a": ["x"] * 7}], pa.struct([("a", pa.large_list(pa.string()))])),
        ([[("a", 1)] * 7], pa.map_(pa.string(), pa.int8())),
        ([["a"] * 7], pa.list_(pa.string(), 7)),
        ([[1] * 1000] * 1049, pa.list_(pa.int8())),
    ],
    ids=lambda one: str(one)[:20],
)
def test_what_does_not(values: list[Any], kind: pa.DataType) -> None:
    with pytest.raises(ShardError, match=r"lists in a range .* hold [0-9,]+ items, more than"):
        refuse_long_lists(SHARD, table(values, kind))
