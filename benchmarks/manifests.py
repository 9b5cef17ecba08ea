"""Rows a second of a whole run over a manifest of URLs, beside datatrove's URLFilter.

    python -m benchmarks.manifests [--rows N] [--listed N] [--json]

The manifest is Parquet as image-text datasets are published: URL, caption, sizes. A run reads it,
checks each row's source against N listed domains and as many URLs, writes the ledger, seals what is
listed, and writes the manifest without it. Its time is CPU time, the difference between a run over
all rows and one over a hundred; datatrove's is what its filter takes for each document, without
reading or writing. What it costs to match alone: ``python -m benchmarks.sources``.
"""

import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import processes
from benchmarks.acceptance import Gate
from benchmarks.machine import machine, versions
from benchmarks.sources import ISSUED, datatrove, host, path
from ingestgate.blocklists.compiling import compile_list
from ingestgate.quarantine.keys import generate_identity

_SEED = 20240
_ROUNDS = 3
_FEW = 100  # rows
_ROW_GROUP = 50_000
_SHARE = 0.001  # listed
_PEER_ROWS = 20_000


def write_manifest(to: Path, urls: list[str]) -> None:
    """Writes a manifest with a row per URL."""
    to.mkdir(parents=True)
    numbers = pa.array(range(len(urls)))
    captions = [f"number {number} of a series of things" for number in range(len(urls))]
    columns = {"URL": urls, "TEXT": captions, "WIDTH": numbers, "HEIGHT": numbers}
    pq.write_table(pa.table(columns), to / "part.parquet", row_group_size=_ROW_GROUP)


def measure(rows: int, listed: int, root: Path) -> dict[str, Any]:
    """Returns all figures."""
    rng = random.Random(_SEED)
    domains = [host(rng) for _ in range(listed)]
    pages = [f"https://{host(rng)}{path(rng)}" for _ in range(listed)]
    for name, values in (("domain", domains), ("url", pages)):
        (root / f"{name}.txt").write_text("\n".join(values))
    sources = [(name, str(root / f"{name}.txt")) for name in ("domain", "url")]
    compile_list(id="sources", version=1, sources=sources, to=str(root / "lists"), issued=ISSUED)
    urls = [
        f"https://{rng.choice(domains) if rng.random() < _SHARE else host(rng)}{path(rng)}"
        for _ in range(rows)
    ]
    write_manifest(root / "all", urls)
    write_manifest(root / "few", urls[:_FEW])
    recipient = generate_identity(str(root / "identity.txt"))
    peer = datatrove(domains, pages, urls[:_PEER_ROWS])

    def cost(name: str) -> tuple[processes.Cost, dict[str, Any]]:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            gate = Gate(str(root / name / "*.parquet"), root / "lists", recipient, Path(folder))
            found = processes.run(gate.command("--workers", "1"))
            return found, json.loads(found.output)["counts"]

    cost("few")  # compiled, cached
    peer()
    ours, theirs = [], []
    for _ in range(_ROUNDS):
        few, _ = cost("few")
        whole, counts = cost("all")
        assert sum(counts.values()) == rows, counts
        ours.append((rows - _FEW) / (whole.cpu_seconds - few.cpu_seconds))
        started = time.process_time()
        _, done = peer()
        theirs.append(done / (time.process_time() - started))
    return {
        "times_datatrove": round(statistics.median(ours) / statistics.median(theirs), 1),
        "rows_per_second_per_core": round(statistics.median(ours)),
        "rows_per_second_datatrove": round(statistics.median(theirs)),
        "rows": rows,
        "listed_domains": listed,
        "listed_urls": listed,
        "quarantined": counts["quarantined"],
        "peak_mb": round(whole.peak_mb),
        "seed": _SEED,
        "machine": machine(),
        "versions": versions(),
    }


@click.command(help=__doc__)
@click.option("--rows", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--listed", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(rows: int, listed: int, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = measure(rows, listed, Path(folder))
    print(json.dumps(report) if as_json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
