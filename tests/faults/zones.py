"""Small landing zones of every container format, so that a fault can be tried at many places."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.archives import make_tar
from tests.e2e.conftest import (
    WRITERS,
    content,
    url,
)

#: By digest, by perceptual hash, by source, and clean ones.
SEEDS = (1, 3, 5, 7, 8, 9)


def write_trio(root: Path) -> str:
    """A shard as img2dataset writes it: tar, Parquet and stats; one picture was not to be had."""
    root.mkdir(parents=True)
    rows, items = [], []
    for seed in SEEDS:
        key, failed = f"{seed:09d}", seed == 9
        status = "failed_to_download" if failed else "success"
        rows.append({"url": url(seed), "key": key, "status": status, "error_message": None})
        if not failed:
            text = json.dumps({"url": url(seed), "key": key}).encode()
            items += [(f"{key}.jpg", content(seed)), (f"{key}.json", text)]
    (root / "00000.tar").write_bytes(make_tar(items))
    pq.write_table(pa.Table.from_pylist(rows), root / "00000.parquet")
    stats = {"count": len(SEEDS), "successes": len(SEEDS) - 1, "failed_to_download": 1}
    status_dict = {"success": len(SEEDS) - 1}
    (root / "00000_stats.json").write_text(json.dumps({**stats, "status_dict": status_dict}))
    return str(root / "*.tar")


def write_gzipped(root: Path) -> str:
    """A compressed tar, which has to be read from its beginning."""
    root.mkdir(parents=True)
    items: list[tuple[str, bytes | None]] = []
    for seed in SEEDS:
        text = json.dumps({"url": url(seed)}).encode()
        items += [(f"k{seed:02d}.jpg", content(seed)), (f"k{seed:02d}.json", text)]
    (root / "00000.tar.gz").write_bytes(gzip.compress(make_tar(items), mtime=0))
    return str(root / "*.tar.gz")


def write_urls(root: Path) -> str:
    """A manifest of sources without any bytes of theirs."""
    root.mkdir(parents=True)
    rows = "".join(f"{url(seed)},number {seed}\n" for seed in SEEDS)
    (root / "urls.csv").write_text("url,text\n" + rows)
    return str(root / "*.csv")


ZONES: dict[str, Callable[[Path], str]] = {
    **WRITERS,
    "img2dataset": write_trio,
    "gzipped": write_gzipped,
    "urls": write_urls,
}
