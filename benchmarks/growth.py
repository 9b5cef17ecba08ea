"""How time and memory grow with the assets of a run, and with the entries of a list.

    python -m benchmarks.growth [--assets N]... [--entries N]... [--to DIR] [--json]

Assets are small generated JPEGs (96 pixels) in WebDataset shards, judged against a list of digests,
PDQ hashes and a domain: what is measured is what a run does around decoding. Each run is a process
of its own on one worker; its time is CPU time, its memory the peak of its largest process. Lists
are of random PDQ hashes at a threshold of 31: compiled and opened each in a process of its own,
and asked a thousand times at once (see `benchmarks.matching`).
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import processes
from benchmarks.acceptance import Gate
from benchmarks.gate import compile_lists
from benchmarks.machine import machine, versions
from benchmarks.matching import ISSUED, compile_, opened
from benchmarks.memory import build
from ingestgate.blocklists import hamming
from ingestgate.blocklists.listset import ListSet
from ingestgate.quarantine.keys import generate_identity

_SEED = 20240
_LISTED = 100_000
_QUERIES = 1000
_RADIUS = 31


def of_assets(counts: list[int], root: Path) -> list[dict[str, Any]]:
    """Returns what runs over so many assets cost."""
    compile_lists(root, _LISTED)
    recipient = generate_identity(str(root / "identity.txt"))
    found = []
    for number, count in enumerate([min(counts), *counts]):
        landing = root / f"landing-{number}"
        build(landing, count)
        gate = Gate(str(landing / "*.tar"), root / "lists", recipient, root / f"run-{number}")
        cost = processes.run(gate.command("--workers", "1"))
        found.append(
            {
                "assets": count,
                "cpu_seconds": round(cost.cpu_seconds, 1),
                "seconds": round(cost.seconds, 1),
                "peak_mb": round(cost.peak_mb),
            }
        )
    return found[1:]  # without the first, which had kernels to compile


def of_entries(counts: list[int], root: Path) -> list[dict[str, Any]]:
    """Returns what it costs to compile, open and ask lists of so many hashes."""
    found = []
    for count in counts:
        rng = np.random.default_rng(_SEED)
        listed = rng.integers(0, 256, (count, 32), np.uint8)
        asked = rng.integers(0, 256, (_QUERIES, 32), np.uint8)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            compiled = compile_(listed, "pdq", _RADIUS, folder)
            directory = f"{folder}/pdq-{_RADIUS}-1"
            once = opened(directory, "pdq", asked, _RADIUS)
            one = ListSet.open(directory, now=ISSUED, verify=False).lists[0]
            values, index = one.values["pdq"].values, one.indexes["pdq"]
            words = hamming.as_words(asked)
            times = []
            for _ in range(6):
                started = time.process_time()
                hamming.search_index(values, index, words, _RADIUS)
                times.append(time.process_time() - started)
        found.append(
            {
                "entries": count,
                "compile_s": compiled["compile_s"],
                "compile_peak_mb": compiled["compile_peak_mb"],
                "open_ms": round(once["open_ms"], 1),
                "us_per_query": round(min(times[1:]) / _QUERIES * 1e6, 1),
            }
        )
    return found


@click.command(help=__doc__)
@click.option(
    "--assets", type=int, multiple=True, default=(10_000, 30_000, 100_000, 300_000, 1_000_000)
)
@click.option(
    "--entries", type=int, multiple=True, default=(20_000, 100_000, 1_000_000, 10_000_000)
)
@click.option("--to", type=click.Path(file_okay=False), help="Scratch folder; large.")
@click.option("--json", "as_json", is_flag=True)
def main(assets: tuple[int, ...], entries: tuple[int, ...], to: str | None, as_json: bool) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    report: dict[str, Any] = {}
    for name, measure, counts in (("assets", of_assets, assets), ("entries", of_entries, entries)):
        with tempfile.TemporaryDirectory(dir=to) as folder:
            report[name] = measure(sorted(counts), Path(folder)) if counts else []
    report |= {"seed": _SEED, "machine": machine(), "versions": versions()}
    print(json.dumps(report) if as_json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
