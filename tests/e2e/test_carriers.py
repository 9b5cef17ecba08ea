"""Listed bytes in places that are no picture's: none of them reaches the output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.archives import make_tar
from tests.e2e.conftest import EXACT, Job
from tests.pictures import jpeg

MakeJob = Callable[..., Job]

LISTED, HARMLESS = jpeg(EXACT), jpeg(50)
FINE = "https://fine.example/a.jpg"
ROW = {"key": "000000000", "status": "success", "url": FINE}
STATS = b'{"count": 1, "successes": 1, "status_dict": {"success": 1}}'


def write(path: Path, columns: dict[str, Any]) -> None:
    """A Parquet file in which the values lie as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="none", use_dictionary=False)


def write_trio(folder: Path, columns: dict[str, Any], stats: bytes = STATS) -> str:
    write(folder / "00000.parquet", {name: [text] for name, text in ROW.items()} | columns)
    (folder / "00000.tar").write_bytes(make_tar([("000000000.jpg", HARMLESS)]))
    (folder / "00000_stats.json").write_bytes(stats)
    return str(folder / "*.tar")


def problem(gate: Job, *extra: str) -> str:
    """What the one shard failed for; nothing of it is let in."""
    report = gate.report(*extra, code=1)
    assert [path for path in gate.output.rglob("*") if path.is_file()] == []
    (failed,) = report["shards"]["failed"]
    return str(failed["problem"])


def decisions(gate: Job, *extra: str) -> list[tuple[str, str, str]]:
    """Field, verdict and reason of each asset; listed bytes are not in the output."""
    gate.report(*extra)
    for path in gate.output.rglob("*"):
        assert path.is_dir() or LISTED not in path.read_bytes()
    census = gate.census()
    assert census["exact"], census
    return [(row["field"], row["verdict"], row["reason"]) for row in gate.ledger()]


def test_bytes_in_the_rows_of_a_trio_fail_it(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_trio(tmp_path / "landing", {"jpg": pa.array([LISTED], pa.binary())}))
    assert "its Parquet file holds bytes itself" in problem(gate)


def test_stats_that_are_a_picture_fail_their_trio(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_trio(tmp_path / "landing", {}, stats=LISTED))
    assert "its stats file is not a JSON object" in problem(gate)


def test_bytes_beside_urls_are_no_manifest_whatever_is_said(job: MakeJob, tmp_path: Path) -> None:
    columns = {"url": [FINE], "image": pa.array([LISTED], pa.binary())}
    write(tmp_path / "landing" / "a.parquet", columns)
    gate = job(str(tmp_path / "landing"))
    assert "read it as --format parquet" in problem(gate, "--format", "url-manifest")
    assert decisions(gate.elsewhere("unsaid")) == [("image", "quarantined", "matched")]
