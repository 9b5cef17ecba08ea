"""Files that are made to hang, kill or fail whoever reads them; each is small and harmless here."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.archives import make_tar
from tests.pictures import jpeg

#: Makes a file, or a folder, of the landing zone.
Maker = Callable[[Path], object]


def far_time() -> pa.Array:
    """A time where Python knows no clock."""
    return pa.array([0], pa.timestamp("us", tz="Mars/Phobos"))


def trio_of_far_times(root: Path) -> None:
    (root / "00000.tar").write_bytes(make_tar([("000000000.jpg", jpeg(1))]))
    (root / "00000_stats.json").write_text(json.dumps({"count": 1}))
    columns = {"key": ["000000000"], "url": ["https://fine.example/a"], "status": ["success"]}
    pq.write_table(pa.table({**columns, "t": far_time()}), root / "00000.parquet")


def rows_of_far_times(root: Path) -> None:
    inner = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), far_time())
    outer = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), inner)
    pq.write_table(pa.table({"url": ["https://fine.example/a"], "m": outer}), root / "a.parquet")


def no_parquet(root: Path) -> None:
    (root / "a.parquet").write_bytes(b"PAR1 no more")


def no_trio(root: Path) -> None:
    (root / "a.tar").write_bytes(make_tar([("000000000.jpg", jpeg(1))]))
    no_parquet(root)
