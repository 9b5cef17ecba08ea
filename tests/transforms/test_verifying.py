"""What is acted upon is what was judged: each member, in its place, byte for byte."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestgate.assets.containers.container import ReadOptions
from ingestgate.assets.containers.parquet import ParquetImages
from ingestgate.assets.errors import ShardError
from ingestgate.assets.shard import Shard, accountable_members
from ingestgate.transforms.verifying import verified_samples
from tests.pictures import jpeg


def verified(path: Path, table: pa.Table, judged: pa.Table) -> list[set[str]]:
    """Judges one table to be admitted, and verifies another against that."""
    reader, options = ParquetImages(), ReadOptions()
    shard = Shard(path.name, str(path), "parquet", 0, "")
    rows: list[dict[str, Any]] = []
    pq.write_table(judged, path)
    (work,) = reader.cut(shard, options)
    for sample in reader.read(shard, work, options):
        for member in accountable_members(sample):
            assert member.content is not None
            rows.append(
                {
                    "member": member.name,
                    "field": member.field,
                    "position": member.position,
                    "verdict": "admitted",
                    "sidecars": [],
                    "size": len(member.content),
                    "sha256": hashlib.sha256(member.content).hexdigest(),
                }
            )
    pq.write_table(table, path)
    found = verified_samples(reader, shard, work, pa.Table.from_pylist(rows), options)
    return [verdicts for _, _, verdicts in found]


def test_members_that_two_columns_call_the_same(tmp_path: Path) -> None:
    table = pa.table({"images": [[jpeg(1)], [jpeg(2)]], "images[0]": [jpeg(3), jpeg(4)]})
    assert verified(tmp_path / "a.parquet", table, table) == [{"admitted"}] * 2


@pytest.mark.parametrize(
    ("judged", "now", "where"),
    [
        ({"a": [jpeg(1), jpeg(2)]}, {"a": [jpeg(1)]}, "range 0"),
        ({"a": [jpeg(1)]}, {"a": [jpeg(1), jpeg(1)]}, "1"),
        ({"a": [jpeg(1)]}, {"b": [jpeg(1)]}, "0"),
        ({"a": [{"bytes": jpeg(1), "path": "x"}]}, {"a": [{"bytes": None, "path": "x"}]}, "0"),
    ],
    ids=["a-row-less", "a-row-more", "another-column", "no-bytes"],
)
def test_nor_may_what_is_there(
    tmp_path: Path, judged: dict[str, Any], now: dict[str, Any], where: str
) -> None:
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def table(columns: dict[str, Any]) -> pa.Table:
        kinds = {n: picture if isinstance(v[0], dict) else pa.binary() for n, v in columns.items()}
        return pa.table(columns, schema=pa.schema(kinds))

    with pytest.raises(ShardError, match="is no longer what was judged") as caught:
        verified(tmp_path / "a.parquet", table(now), table(judged))
    assert caught.value.problem.startswith(f"{where} is no longer")


@pytest.mark.parametrize("column", ["images", "images[0]"])
def test_either_of_them_may_not_change(tmp_path: Path, column: str) -> None:
    judged = {"images": [[jpeg(1)], [jpeg(2)]], "images[0]": [jpeg(3), jpeg(4)]}
    other = [jpeg(1), jpeg(5)] if column == "images[0]" else [[jpeg(1)], [jpeg(5)]]
    with pytest.raises(ShardError, match="is no longer what was judged"):
        verified(tmp_path / "a.parquet", pa.table({**judged, column: other}), pa.table(judged))
