"""Times in INT96: those that Arrow would take for others fail their shard."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestgate.assets.containers.container import ReadOptions
from ingestgate.assets.containers.nesting import open_parquet
from ingestgate.assets.containers.parquet import ParquetImages
from ingestgate.assets.containers.url_manifest import UrlManifest
from ingestgate.assets.errors import ShardError
from ingestgate.assets.shard import Shard

TIME = pa.timestamp("us")
TEXT = pa.string()
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
WRONG = "a time in INT96 before the year 1678 or after 2261"


def file_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, use_deprecated_int96_timestamps=True)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("time", "fits"),
    [
        (datetime(2020, 1, 1, microsecond=1, tzinfo=UTC), True),
        (datetime(1678, 1, 1, tzinfo=UTC), True),
        (datetime(2261, 12, 31, tzinfo=UTC), True),
        (datetime(1677, 1, 1, tzinfo=UTC), False),
        (datetime(2263, 1, 1, tzinfo=UTC), False),
        # A multiple of what 64 bits hold later: nanoseconds alone would look right.
        (datetime(2604, 7, 22, tzinfo=UTC), False),
        (NEVER, False),
    ],
)
def test_times_that_arrow_holds(time: datetime, fits: bool) -> None:
    parquet = open_parquet(io.BytesIO(file_of(pa.table({"when": pa.array([None, time], TIME)}))))
    if fits:
        parquet.check_times([0])
        return
    with pytest.raises(ValueError, match=WRONG):
        parquet.check_times([0])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"at": NEVER, "other": "a"}, pa.struct([("at", TIME), ("other", TEXT)])),
        ([NEVER], pa.list_(TIME)),
        ([("a", NEVER)], pa.map_(TEXT, TIME)),
        ([(NEVER, "a")], pa.map_(TIME, TEXT)),
        ([{"at": [NEVER]}], pa.list_(pa.struct([("at", pa.list_(TIME))]))),
        (NEVER, pa.timestamp("us", "Europe/Berlin")),
    ],
)
def test_times_are_found_at_any_depth(value: Any, kind: pa.DataType) -> None:
    table = pa.table({"id": [1, 2], "when": pa.array([None, value], kind)})
    with pytest.raises(ValueError, match=WRONG):
        open_parquet(io.BytesIO(file_of(table))).check_times([0])


def test_a_time_that_would_be_changed_fails_its_shard(tmp_path: Path) -> None:
    times = pa.array([datetime(2020, 1, 1, tzinfo=UTC), NEVER], TIME)
    path = tmp_path / "a.parquet"
    path.write_bytes(file_of(pa.table({"url": ["a", "b"], "image": [b"a", b"b"], "when": times})))
    shard = Shard("a.parquet", str(path), "parquet", 1, "id")
    (work,) = ParquetImages().cut(shard, ReadOptions())
    with pytest.raises(ShardError, match=f"^a.parquet: .*{WRONG}"):
        list(ParquetImages().read(shard, work, ReadOptions()))
    path.write_bytes(file_of(pa.table({"url": ["a", "b"], "when": times})))
    with pytest.raises(ShardError, match=f"^a.parquet: .*{WRONG}"):
        UrlManifest().read_rows(shard, work)
    with (
        UrlManifest().rewrite_rows(shard, str(tmp_path / "out")) as writer,
        pytest.raises(ShardError, match=WRONG),
    ):
        writer.write(work, np.array([False, True]))


def test_other_times_beside_them_stay_as_they_are(tmp_path: Path) -> None:
    old = pa.array([datetime(2020, 1, 1, tzinfo=UTC)] * 2, TIME)
    new = pa.array([1, 2**40], pa.time64("us"))
    sink = io.BytesIO()
    table = pa.table({"url": ["a", "b"], "old": old, "new": new})
    pq.write_table(table, sink, use_deprecated_int96_timestamps=True, store_schema=False)
    time, timestamp = b"\x18\x03newl\x7c", b"\x18\x03newl\x8c"  # as Thrift calls the column's type
    assert sink.getvalue().count(time) == 1
    path = tmp_path / "a.parquet"
    path.write_bytes(sink.getvalue().replace(time, timestamp))
    assert pq.read_schema(path).field("new").type == TIME
    shard = Shard("a.parquet", str(path), "url-manifest", 1, "id")
    (work,) = UrlManifest().cut(shard, ReadOptions())
    with UrlManifest().rewrite_rows(shard, str(tmp_path / "out")) as writer:
        writer.write(work, np.array([False, True]))
        writer.publish()
    got = pq.read_table(tmp_path / "out/a.parquet")
    assert got.schema == pq.read_schema(path)
    assert got["new"].cast(pa.int64()).to_pylist() == [2**40]
    assert got["old"].to_pylist() == pq.read_table(path)["old"].to_pylist()[1:]
