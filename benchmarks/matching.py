"""Time per search for hashes within a Hamming distance, beside faiss and threatexchange.

    python -m benchmarks.matching --entries N [--images DIR] [--to DIR] [--json]

Compiles lists of N hashes: those of the pictures below DIR in all views, and random ones. Half
of the queries are listed hashes with up to ``radius + 2`` bits flipped, so that many lie at the
boundary; the other half is not listed. Everything runs on one core, alternately, in the same
process; a figure is the median of the rounds, in CPU time. What is found is compared pair by pair
with comparing every hash with every query.

The peers are no dependency: ``make bench`` installs them, in an environment of its
own. Without them their figures are null, as are those for which there is no memory: faiss's
MultiHash takes a kilobyte an entry.
"""

import importlib.metadata
import importlib.util
import json
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.machine import holds_multihash, holds_threatexchange
from ingestgate.blocklists import chunking, hamming, indexing
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import signal_type
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits

CASES = (("pdq", 31), ("phash", 8), ("phash", 10))
ISSUED = datetime(2025, 1, 1, tzinfo=UTC)
HELP = "make bench installs it, in an environment of its own"
_SEED = 20240
_QUERIES = 1000
_CHECKED = 200  # of them, against every hash
_ROUNDS = 5
_ROUND_SECONDS = 1.0  # each searches for as long, so that each finds its own data in the caches

Hashes = npt.NDArray[np.uint8]


def real_hashes(folder: Path | None, names: tuple[str, ...]) -> dict[str, Hashes]:
    """Returns the distinct hashes of all pictures below a folder, in all views."""
    found: dict[str, set[bytes]] = {name: set() for name in names}
    if folder is not None:
        fingerprinter = Fingerprinter(names, DecodeLimits())
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            (one,) = fingerprinter.fingerprint_many([path.read_bytes()])
            if isinstance(one, Fingerprint):
                for name in set(names) - one.low_quality:
                    width = signal_type(name).width
                    for view in one.perceptual[name]:
                        several = np.frombuffer(view.hashes, np.uint8).reshape(-1, width)
                        found[name].update(value.tobytes() for value in several)
    return {
        name: np.frombuffer(
            b"".join(sorted(values - signal_type(name).never_match)), np.uint8
        ).reshape(-1, signal_type(name).width)
        for name, values in found.items()
    }


def queries(rng: np.random.Generator, listed: Hashes, real: Hashes, radius: int) -> Hashes:
    """Returns `_QUERIES`: near real hashes, near any listed ones, and random ones."""
    width = listed.shape[1]
    made = rng.integers(0, 256, (_QUERIES, width), np.uint8)
    for place in range(0, _QUERIES, 2):
        among = real if len(real) and place % 4 else listed
        bits = np.unpackbits(among[rng.integers(len(among))])
        bits[rng.permutation(8 * width)[: place // 2 % (radius + 3)]] ^= 1
        made[place] = np.packbits(bits)
    return made


def compile_(listed: Hashes, name: str, radius: int, to: str) -> dict[str, float]:
    """Compiles a list in a process of its own, alone and over an earlier version.

    Returns:
        Seconds, peak of memory with the pages of mapped files, and of what is the process's own.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=to) as file:
        width = listed.shape[1]
        for start in range(0, len(listed), 1 << 20):
            file.write(listed[start : start + (1 << 20)].tobytes().hex("\n", width) + "\n")
        file.flush()
        context = multiprocessing.get_context("spawn")
        found: dict[str, float] = {}
        for version, what in ((1, ""), (2, "_over")):
            before = time.monotonic()
            with context.Pool(1) as pool:
                peak, own = pool.apply(_compile, (name, radius, version, file.name, to))
            found[f"compile{what}_s"] = round(time.monotonic() - before, 1)
            found[f"compile{what}_peak_mb"] = peak
            found[f"compile{what}_own_mb"] = own
    shutil.rmtree(f"{to}/{name}-{radius}-2")
    return found


def _compile(name: str, radius: int, version: int, source: str, to: str) -> tuple[float, float]:
    own = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            own[0] = max(own[0], _own())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    compile_list(
        id=f"{name}-{radius}",
        version=version,
        sources=[(name, source)],
        to=to,
        issued=ISSUED,
        thresholds={name: radius},
    )
    done.set()
    watcher.join()
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), round(own[0] / 2**20)


def opened(directory: str, name: str, asked: Hashes, radius: int) -> dict[str, float]:
    """Opens a list in a process of its own, as a worker does, and searches."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_open, (directory, name, asked, radius))


def _open(directory: str, name: str, asked: Hashes, radius: int) -> dict[str, float]:
    warm = np.zeros((1, asked.shape[1]), np.uint8)  # compiles, or loads what is compiled
    hamming.search_index(warm, indexing.build_index(warm, radius), hamming.as_words(warm), radius)
    before = _own()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        lists = ListSet.open(directory, now=ISSUED, verify=False)
        times.append(time.perf_counter() - started)
    one = lists.lists[0]
    hamming.search_index(
        one.values[name].values, one.indexes[name], hamming.as_words(asked), radius
    )
    return {"open_ms": statistics.median(times) * 1e3, "memory_mb": (_own() - before) / 2**20}


def _own() -> int:
    """Bytes this process has for itself; the files are mapped, and shared by all workers."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


def peers(listed: Hashes, asked: Hashes, radius: int) -> dict[str, Callable[[], Any]]:
    """Returns what is timed beside the search, by name, each for all queries but `flat`."""
    import faiss

    faiss.omp_set_num_threads(1)
    count, width = listed.shape
    flat = faiss.IndexBinaryFlat(8 * width)
    flat.add(listed)
    few = asked[: max(200, min(_QUERIES, 500_000_000 // count))]
    found: dict[str, Callable[[], Any]] = {
        "flat": lambda: (flat.range_search(few, radius + 1), len(few)),
        "flat_single": lambda: (flat.range_search(asked[:1], radius + 1), 1),
    }
    if holds_multihash(count):
        # 16 tables of 16 bits and radius // 16 flips, as threatexchange has it; 4 for 64 bits.
        tables = width // 2
        multihash = faiss.IndexBinaryMultiHash(8 * width, tables, 16)
        multihash.nflip = radius // tables
        multihash.add(listed)
        found["multihash"] = lambda: (multihash.range_search(few, radius + 1), len(few))
        found["multihash_single"] = lambda: (
            [multihash.range_search(asked[at : at + 1], radius + 1) for at in range(100)],
            100,
        )
    if width == 32 and holds_threatexchange(count):
        from threatexchange.signal_type.pdq.pdq_faiss_matcher import PDQMultiHashIndex

        index = PDQMultiHashIndex()
        index.add([value.tobytes().hex() for value in listed], range(count))
        texts = [value.tobytes().hex() for value in few]
        found["threatexchange"] = lambda: (
            index.search_with_distance_in_result(texts, radius),
            len(texts),
        )
    return found


def recall(listed: Hashes, asked: Hashes, radius: int, found: npt.NDArray[np.int64]) -> float:
    """Returns the share of pairs that are found; fails if a pair is found that is none."""
    words = hamming.as_words(listed)
    expected = {
        (int(row), int(distance), query)
        for query in range(_CHECKED)
        for row, distance, _ in zip(
            *hamming.scan(words, hamming.as_words(asked[query : query + 1]), radius), strict=True
        )
    }
    pairs = {(row, distance, query) for row, distance, query in found.tolist() if query < _CHECKED}
    if pairs - expected or len(pairs) != np.count_nonzero(found[:, 2] < _CHECKED):
        raise AssertionError("pairs that are beyond the radius, or twice there")
    return len(pairs) / len(expected)


def measure(listed: Hashes, real: Hashes, name: str, radius: int, to: str) -> dict[str, Any]:
    """Returns all figures for one kind of hash and radius."""
    rng = np.random.default_rng(_SEED + radius)
    asked = queries(rng, listed, real, radius)
    compiled = compile_(listed, name, radius, to)
    directory = f"{to}/{name}-{radius}-1"
    result = opened(directory, name, asked, radius)

    one = ListSet.open(directory, now=ISSUED, verify=False).lists[0]
    values, index = one.values[name].values, one.indexes[name]
    bits = tuple(index.layout[::3].tolist())
    radii = chunking.radii(bits, len(values), radius)
    if radii is None:
        raise AssertionError("the plan is to scan")
    words = hamming.as_words(asked)

    def batch() -> tuple[Any, int]:
        return hamming.search_index(values, index, words, radius), len(words)

    def single() -> tuple[Any, int]:
        for query in range(len(words)):
            hamming.search_index(values, index, words[query : query + 1], radius)
        return None, len(words)

    timed = {"batch": batch, "single": single}
    if importlib.util.find_spec("faiss") is not None:
        timed |= peers(values, asked, radius)
    times: dict[str, list[float]] = {key: [] for key in timed}
    for _ in range(_ROUNDS):
        for key, search in timed.items():
            started = time.process_time()
            count = 0
            while (elapsed := time.process_time() - started) < _ROUND_SECONDS:
                count += search()[1]
            times[key].append(elapsed / count * 1e6)
    median = {key: statistics.median(taken) for key, taken in times.items()}

    def ratio(key: str, ours: str) -> float | None:
        return round(median[key] / median[ours], 1) if key in median else None

    found = hamming.find_pairs(values, index, words, radius, radii)
    return {
        "signal": name,
        "bits": 8 * listed.shape[1],
        "radius": radius,
        "entries": len(values),
        "real_hashes": len(real),
        "us_per_query_batch": round(median["batch"], 1),
        "us_per_query_single": round(median["single"], 1),
        "us_per_query_peers": {
            key: round(value, 1) for key, value in median.items() if key not in ("batch", "single")
        },
        "times_flat": ratio("flat", "batch"),
        "times_flat_single": ratio("flat_single", "single"),
        "times_multihash": ratio("multihash", "batch"),
        "times_multihash_single": ratio("multihash_single", "single"),
        "times_threatexchange": ratio("threatexchange", "batch"),
        "recall": recall(values, asked, radius, found),
        "pairs": len(found),
        "open_ms": round(result["open_ms"], 2),
        "memory_mb": round(result["memory_mb"], 1),
        "mapped_mb": round(sum(file.size for file in one.info.files.values()) / 2**20),
        **compiled,
        "chunks": bits,
        "radii": radii,
    }


@click.command(help=__doc__)
@click.option("--entries", type=click.IntRange(chunking.FEWEST), default=1_000_000)
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", type=click.Path(file_okay=False), help="For the lists; large.")
@click.option("--only", type=click.Choice([f"{name}:{radius}" for name, radius in CASES]))
@click.option("--json", "as_json", is_flag=True)
def main(
    entries: int, images: Path | None, to: str | None, only: str | None, as_json: bool
) -> None:
    cases = [case for case in CASES if only in (None, f"{case[0]}:{case[1]}")]
    real = real_hashes(images, tuple({name for name, _ in cases}))
    rng = np.random.default_rng(_SEED)
    results = []
    with ExitStack() as stack:
        folder = to or stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, radius in cases:
            random = rng.integers(
                0, 256, (entries - len(real[name]), signal_type(name).width), np.uint8
            )
            listed = np.concatenate([real[name], random])
            results.append(measure(listed, real[name], name, radius, folder))
    versions = {
        package: importlib.metadata.version(package)
        for package in ("numpy", "numba", "faiss-cpu", "threatexchange")
        if package == "numpy" or importlib.util.find_spec(package.removesuffix("-cpu"))
    }
    report = {**results[0], "others": results[1:], "seed": _SEED, "versions": versions}
    if "faiss-cpu" not in versions:
        print(f"faiss is not installed: {HELP}", file=sys.stderr)
    print(json.dumps(report) if as_json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
