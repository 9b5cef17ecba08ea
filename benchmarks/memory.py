"""Peak memory of each process of a run, over landing zones of growing size.

    python -m benchmarks.memory --assets 20000 200000 --to DIR [--json]

Small generated JPEGs in WebDataset shards; every hundredth asset is from a listed source, and a
list of perceptual hashes (--entries) is held against each. The peaks must not grow with the number
of assets beyond the references to ledger parts: it ends with 1 if that of any kind of process, from
the smallest landing zone to the largest, grows by more than --most-growth.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.acceptance import Gate
from ingestgate.blocklists.compiling import compile_list
from ingestgate.quarantine.keys import generate_identity

_DISTINCT = 500
_PER_SHARD = 5000
_MOST_GROWTH_MB = 64.0


def _pictures() -> list[bytes]:
    random = np.random.default_rng(7)
    pictures = []
    for _ in range(_DISTINCT):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        sink = io.BytesIO()
        coarse.resize((96, 96), Image.Resampling.BICUBIC).save(sink, "JPEG", quality=85)
        pictures.append(sink.getvalue())
    return pictures


def build(root: Path, assets: int) -> None:
    """Writes the landing zone; the same number gives the same bytes."""
    pictures = _pictures()
    root.mkdir(parents=True)
    for start in range(0, assets, _PER_SHARD):
        with tarfile.open(root / f"{start // _PER_SHARD:05d}.tar", "w") as tar:
            for number in range(start, min(start + _PER_SHARD, assets)):
                host = "listed" if number % 100 == 0 else "fine"
                # A comment behind the picture's end keeps every asset's digest its own.
                content = pictures[number % _DISTINCT] + b"%09d" % number
                text = json.dumps({"url": f"https://{host}.example/{number}"}).encode()
                for suffix, data in (("jpg", content), ("json", text)):
                    member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def measure(gate: Gate, workers: int) -> dict[str, Any]:
    """Runs the gate; returns its report's figures and the peak RSS of each process, in MB."""
    peaks: dict[int, float] = {}
    names: dict[int, str] = {}
    started = time.monotonic()
    with subprocess.Popen(
        gate.command("--workers", str(workers)), stdout=subprocess.PIPE, stderr=sys.stderr
    ) as process:
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            for one in _family(driver):
                try:
                    resident = one.memory_info().rss / 1e6
                    peaks[one.pid] = max(peaks.get(one.pid, 0.0), resident)
                    names.setdefault(one.pid, _role(one, process.pid))
                except psutil.Error:
                    continue
            try:
                process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
    by_role: dict[str, list[float]] = {}
    for pid, peak in peaks.items():
        by_role.setdefault(names.get(pid, "other"), []).append(round(peak))
    return {
        "counts": report["counts"],
        "seconds": round(time.monotonic() - started, 1),
        "peak_mb": {role: sorted(found, reverse=True) for role, found in sorted(by_role.items())},
    }


def _family(driver: psutil.Process) -> list[psutil.Process]:
    try:
        return [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _role(process: psutil.Process, driver: int) -> str:
    if process.pid == driver:
        return "driver"
    line = " ".join(process.cmdline())
    return "worker" if "local_worker" in line else "decoder" if "fingerprints" in line else "other"


def growth(results: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
    """Returns by how much the largest process of each role grew, in MB.

    From the run on the fewest assets to the one on most.
    """
    fewest, most = (results[number]["peak_mb"] for number in (min(results), max(results)))
    return {role: max(peaks) - max(fewest.get(role, peaks)) for role, peaks in most.items()}


def _write_hashes(path: Path, entries: int) -> None:
    """Random hashes, of which none comes near a picture."""
    random = np.random.default_rng(11)
    with path.open("w") as file:
        for start in range(0, entries, 100_000):
            block = random.integers(0, 256, (min(100_000, entries - start), 32), dtype=np.uint8)
            file.writelines(f"{row.tobytes().hex()}\n" for row in block)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", nargs="+", type=int, default=[20_000, 200_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--to", required=True, type=Path, metavar="DIR")
    parser.add_argument("--entries", type=int, default=1_000_000, help="PDQ hashes in the list")
    parser.add_argument("--most-growth", type=float, default=_MOST_GROWTH_MB, metavar="MB")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    given.to.mkdir(parents=True)
    _write_hashes(given.to / "pdq.txt", given.entries)
    (given.to / "domain.txt").write_text("listed.example\n")
    compile_list(
        id="synthetic",
        version=1,
        sources=[(name, str(given.to / f"{name}.txt")) for name in ("domain", "pdq")],
        to=str(given.to / "lists"),
        issued=datetime(2026, 1, 1, tzinfo=UTC),
    )
    recipient = generate_identity(str(given.to / "identity.txt"))
    results = {}
    for assets in given.assets:
        landing = given.to / f"landing-{assets}"
        build(landing, assets)
        folder = given.to / f"run-{assets}"
        gate = Gate(str(landing / "*.tar"), given.to / "lists", recipient, folder)
        results[assets] = measure(gate, given.workers)
        print(f"{assets}: {results[assets]}", file=sys.stderr, flush=True)
    grown = growth(results)
    said = {"runs": results, "growth_mb": grown, "most_growth_mb": given.most_growth}
    print(json.dumps(said, indent=None if given.json else 1))
    if max(grown.values(), default=0.0) > given.most_growth:
        sys.exit(1)


if __name__ == "__main__":
    main()
