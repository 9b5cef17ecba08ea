"""How fast ledgers are held against lists: a synthetic ledger, one core, the real rescan code.

    python -m benchmarks.rescan --to DIR --json

Each asset has one PDQ view in eight orientations, one pHash view, MD5, SHA-1, SHA-256 and two
sources; everything is random, so that nothing compresses or matches by chance. Timed is the whole
path: reading the file, its digest, decompressing, decoding, matching. Ten million assets against
what came to a list, and a tenth of them, which is enough to tell its rate, against the whole list.

Each rescan has a process of its own on one core: its memory is the rescan's alone, and not that of
making ledger and lists.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingestgate.assets import ledger
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescan import RescanSettings, open_rescan
from ingestgate.transforms.rescanning import rescan_part
from ingestgate.transforms.rescanning.canaries import check_rescan

#: Assets per second on one core, against what came to the list.
TARGET = 150_000
_PART_ROWS = 100_000
_HASHES = {"pdq": 32, "phash": 8}
_PHASES = ("delta", "whole_list")


def main() -> None:
    """Makes a ledger, rescans it, and prints figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--assets", type=int, default=10_000_000)
    parser.add_argument("--delta", type=int, default=10_000)
    parser.add_argument("--list", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, required=True, help="kept, for the next time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--phase", choices=_PHASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    # What was made with other figures is not this.
    root = given.to / f"{given.list}+{given.delta}-of-{given.seed}"
    if given.phase:
        print(json.dumps(_rescan(root, given.phase, given.assets)))
        return
    _lists(root / "lists", given.list, given.delta, given.seed)
    parts = _ledger(root / "ledger", given.assets, given.seed)
    figures: dict[str, Any] = {
        "assets": given.assets,
        "delta_entries": given.delta,
        "list_entries": given.list,
        "seed": given.seed,
        "machine": platform.processor() or platform.machine(),
        "ledger_bytes": sum(os.path.getsize(path) for path in parts),
    }
    for phase in _PHASES:
        command = [sys.executable, "-m", "benchmarks.rescan", *sys.argv[1:], "--phase", phase]
        figures[phase] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    rate = figures["delta"]["assets_per_second_per_core"]
    figures |= {"target": TARGET, "target_met": rate >= TARGET}
    if given.json:
        print(json.dumps(figures))
        return
    for phase in _PHASES:
        found = figures[phase]
        print(
            f"{phase}: {found['rows']:,} assets, {found['assets_per_second_per_core']:,} assets/s "
            f"on one core ({found['assets_per_cpu_second']:,} per second of CPU), "
            f"{found['peak_rss_mb']:,} MB at most"
        )
    print(f"target of {TARGET:,}: {'met' if figures['target_met'] else 'missed'}")


def _rescan(root: Path, phase: str, assets: int) -> dict[str, Any]:
    """Holds the ledger against the list, or against what came to it, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    lists = str(root / "lists")
    opening = time.perf_counter()
    opened = ListSet.open(lists, now=datetime.now(UTC), verify=False)
    compared = (f"{lists}/synthetic-2", f"{lists}/synthetic-1")
    since = {"synthetic": compared} if phase == "delta" else {}
    wanted = open_rescan(RescanSettings(Policy(), lists, opened.digest, "", since))
    check_rescan(wanted)
    opening = time.perf_counter() - opening
    parts = _paths(root / "ledger", assets)
    rescan_part(parts[-1], wanted)  # compiles kernels, reads the list for the first time
    chosen = parts if phase == "delta" else parts[: -(-len(parts) // 10)]
    started, cpu = time.perf_counter(), time.process_time()
    rows = hits = 0
    for path in chosen:
        result = rescan_part(path, wanted)
        rows, hits = rows + result.rows, hits + len(result.hits)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "rows": rows,
        "opening_seconds": round(opening, 2),
        "seconds": round(seconds, 2),
        "assets_per_second_per_core": round(rows / seconds),
        "assets_per_cpu_second": round(rows / cpu),
        "hits": hits,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _lists(to: Path, size: int, delta: int, seed: int) -> None:
    """Compiles two versions of a list of MD5, SHA-256 and PDQ, the second with more entries."""
    if (to / "synthetic-2" / "list.json").exists():
        return
    to.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    values = {n: random.bytes((size + delta) * w) for n, w in _LISTED.items()}
    for version, count in ((1, size), (2, size + delta)):
        sources = []
        for name, width in _LISTED.items():
            path = to.parent / f"{name}-{version}.csv"
            data = values[name]
            with open(path, "w") as file:
                file.write("value,entry_id\n")
                for row in range(count):
                    value = data[row * width : (row + 1) * width].hex()
                    file.write(f"{value},{name}{row}\n")
            sources.append((name, str(path)))
        compile_list(
            id="synthetic",
            version=version,
            sources=sources,
            to=str(to),
            issued=datetime(2026, 1, 1, tzinfo=UTC),
        )


_LISTED = {"md5": 16, "sha256": 32, "pdq": 32}


def _paths(root: Path, assets: int) -> list[str]:
    names = (f"{number:05d}.tar" for number in range(-(-assets // _PART_ROWS)))
    return [ledger.part_path(str(root), name, 0) for name in names]


def _ledger(root: Path, assets: int, seed: int) -> list[str]:
    """Writes ledger parts with the project's own writer; whole ones that are there are kept."""
    paths = _paths(root, assets)
    for number, path in enumerate(paths):
        count = min(_PART_ROWS, assets - number * _PART_ROWS)
        there = ledger.read_header(path)
        if there is not None and there.stop == count:
            continue
        shard = f"{number:05d}.tar"
        table = _rows(shard, count, np.random.default_rng([seed, 7, number]))
        header = ledger.PartHeader(
            shard, "0" * 64, 0, 1, 0, count, "0" * 64, "2026-01-01T00:00:00Z"
        )
        ledger.write_part(str(root), header, table)
    return paths


def _rows(shard: str, count: int, random: np.random.Generator) -> pa.Table:
    columns: dict[str, Any] = {}
    names = [f"{number:09d}.jpg" for number in range(count)]
    for name, width in (("asset_id", 16), ("md5", 16), ("sha1", 20), ("sha256", 32)):
        text = random.bytes(count * width).hex()
        step = 2 * width
        columns[name] = pa.array([text[i * step : (i + 1) * step] for i in range(count)])
    for name, value in (("shard", shard), ("field", ""), ("media_type", "image/jpeg")):
        columns[name] = pa.repeat(value, count)
    columns |= {"verdict": pa.repeat("admitted", count), "reason": pa.repeat("clean", count)}
    columns |= {"member": pa.array(names), "sample": pa.array(names)}
    columns["position"] = pa.array(np.arange(count) * 1024)
    columns["size"] = pa.array(random.integers(10_000, 1_000_000, count))
    for name in ("width", "height"):
        columns[name] = pa.array(random.integers(200, 4000, count).astype(np.int32))
    columns["frames"] = pa.array(np.ones(count, np.int32))
    schema = ledger.ledger_schema(_HASHES)
    offsets = pa.array(np.arange(count + 1), pa.int32())
    for name, width in _HASHES.items():
        raw = random.bytes(count * 8 * width)
        step = 8 * width
        hashes = pa.array([raw[i * step : (i + 1) * step] for i in range(count)], pa.binary())
        upright = pa.array([raw[i * step : i * step + width].hex() for i in range(count)])
        quality = pa.array(np.full(count, 100, np.int16))
        kind = schema.field(f"{name}_views").type.value_type
        views = pa.StructArray.from_arrays(
            [pa.array(np.zeros(count, np.int32)), pa.repeat("full", count), quality, hashes],
            fields=list(kind),
        )
        columns |= {name: upright, f"{name}_quality": quality}
        columns[f"{name}_views"] = pa.ListArray.from_arrays(offsets, views)
    urls = [f"https://img{i % 997}.example/{name}" for i, name in enumerate(names) for _ in "ab"]
    keys = pa.array(["url", "page_url"]).take(pa.array(np.arange(2 * count) % 2))
    columns["provenance"] = pa.MapArray.from_arrays(
        pa.array(np.arange(count + 1) * 2, pa.int32()), keys, pa.array(urls)
    )
    empty = pa.array(np.zeros(count + 1), pa.int32())
    for name in ("findings", "sidecars"):
        kind = schema.field(name).type
        columns[name] = pa.ListArray.from_arrays(empty, pa.array([], kind.value_type))
    return pa.table(
        [
            columns[field.name].cast(field.type)
            if field.name in columns
            else pa.nulls(count, field.type)
            for field in schema
        ],
        schema=schema,
    )


if __name__ == "__main__":
    main()
