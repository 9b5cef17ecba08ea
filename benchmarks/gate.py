"""The whole run, as a share of what the decoder alone could do, and beside plainer ways.

    python -m benchmarks.gate [--images DIR] [--quick] [--mixed] [--entries N] [--json]

The limit is a bare loop that decodes the pictures to gray and does nothing else. The gate does all
of a run: reads WebDataset shards, checks sources, takes three digests, PDQ in all views and
orientations and pHash in eight, in its isolated child; matches them against N hashes of PDQ, as
many digests and a domain; writes the ledger; commits, and seals what matched. Its time is the
difference between a run over all pictures and a run over one, divided by their number; what a
run costs before its first picture is given by itself.

Time is CPU time, of the driver, its workers and their children together, so that it holds on a
busy machine too; ``images_per_second`` is by the clock. Rounds of the candidates alternate, and a
figure is the median of its rounds' ratios.

The plain loop is what people write today: Pillow, three digests, imagehash, pdqhash in eight
orientations, threatexchange's index over the same N hashes. The naive pipeline is that loop in
a Beam DoFn. imagededup and perception only hash (their PHash), and match nothing. Peers are no
dependencies: ``make bench`` installs them, in an environment of its own; without one
its figures are null, as are those for which there is no memory: threatexchange's index takes two
kilobytes an entry.
"""

import importlib
import io
import itertools
import json
import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import imagehash
import numpy as np

from benchmarks import processes
from benchmarks.acceptance import Gate
from benchmarks.machine import holds_threatexchange, machine, versions
from benchmarks.peers import (
    OfMany,
    decode,
    each,
    imagededup_phash,
    installed,
    perception_phash,
    rgb,
)
from benchmarks.pictures import SEED, demo_photographs, pictures
from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.digests import digests
from ingestgate.quarantine.keys import generate_identity

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
_PER_SHARD = 200
_LISTED_SOURCE_EVERY = 500
_PLAIN = 80  # pictures a round of the slower candidates gets
_IN_BEAM = 400
_WIDTHS = (("md5", 16), ("pdq", 32))  # bytes


def landed(contents: Sequence[bytes], count: int) -> Iterator[tuple[str, bytes, str]]:
    """Yields key, bytes and URL of each asset.

    A picture lands several times, every time with other bytes at its end, and so other digests.
    """
    for number in range(count):
        host = "listed" if number % _LISTED_SOURCE_EVERY == 0 else "fine"
        content = contents[number % len(contents)] + b"%09d" % number
        yield f"{number:09d}", content, f"https://{host}.example/{number}.jpg"


def write_shards(root: Path, contents: Sequence[bytes], count: int) -> None:
    """Writes the landing zone as WebDataset shards."""
    root.mkdir(parents=True)
    assets = list(landed(contents, count))
    for start in range(0, count, _PER_SHARD):
        with tarfile.open(root / f"{start // _PER_SHARD:05d}.tar", "w") as tar:
            for key, content, url in assets[start : start + _PER_SHARD]:
                text = json.dumps({"url": url}).encode()
                for suffix, data in (("jpg", content), ("json", text)):
                    member = tarfile.TarInfo(f"{key}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def compile_lists(root: Path, entries: int) -> tuple[float, np.ndarray]:
    """Compiles a list of random hashes and digests; returns the seconds and the hashes of PDQ."""
    rng = np.random.default_rng(SEED)
    values = {name: rng.integers(0, 256, (entries, width), np.uint8) for name, width in _WIDTHS}
    for name, width in _WIDTHS:
        with (root / f"{name}.txt").open("w") as file:
            for start in range(0, entries, 1 << 20):
                part = values[name][start : start + (1 << 20)]
                file.write(part.tobytes().hex("\n", width) + "\n")
    (root / "domain.txt").write_text("listed.example\n")
    started = time.perf_counter()
    compile_list(
        id="synthetic",
        version=1,
        sources=[(name, str(root / f"{name}.txt")) for name in ("domain", "md5", "pdq")],
        to=str(root / "lists"),
        issued=ISSUED,
    )
    return time.perf_counter() - started, values["pdq"]


class PlainLoop:
    """What people write today, over threatexchange's index."""

    def __init__(self, listed: np.ndarray) -> None:
        matcher = importlib.import_module("threatexchange.signal_type.pdq.pdq_faiss_matcher")
        self._pdqhash = importlib.import_module("pdqhash")
        self._index = matcher.PDQMultiHashIndex()
        self._index.add([value.tobytes().hex() for value in listed], range(len(listed)))

    def check(self, content: bytes) -> bool:
        """Whether a picture is in the index."""
        digests(content)
        image = rgb(content)
        imagehash.phash(image)
        hashes, _ = self._pdqhash.compute_dihedral(np.asarray(image))
        queries = [np.packbits(one.astype(bool)).tobytes().hex() for one in hashes]
        found = self._index.search(queries, 31, return_as_ids=True)
        return any(map(len, found))


def naive_pipeline(plain: PlainLoop) -> OfMany:
    """Returns the plain loop as a Beam pipeline on the in-memory runner."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    class Check(beam.DoFn):
        def process(self, content: bytes) -> Iterator[bytes]:
            if not _shared["plain"].check(content):
                yield content

    _shared["plain"] = plain

    def run(contents: Sequence[bytes]) -> None:
        options = PipelineOptions(["--runner=BundleBasedDirectRunner"])
        with beam.Pipeline(options=options) as pipeline:
            (
                pipeline
                | beam.Create(list(contents), reshuffle=False)
                | beam.ParDo(Check())
                | beam.combiners.Count.Globally()
            )

    return run


_shared: dict[str, PlainLoop] = {}  # an index of a million hashes is not for pickling


def peers(listed: np.ndarray, *, quick: bool) -> dict[str, OfMany | None]:
    """Returns what is run beside the gate; None for what is not installed, or takes too long."""
    found: dict[str, OfMany | None] = dict.fromkeys(
        ("plain_loop", "naive_beam", "imagededup", "perception")
    )
    index = installed("threatexchange.signal_type.pdq.pdq_faiss_matcher")
    if index and holds_threatexchange(len(listed)):
        plain = PlainLoop(listed)
        found["plain_loop"] = each(plain.check)
        if quick:
            return found
        found["naive_beam"] = naive_pipeline(plain)
    for name, hashing in (("imagededup", imagededup_phash()), ("perception", perception_phash())):
        found[name] = each(hashing) if hashing else None
    return found


def per_picture(function: OfMany, contents: Sequence[bytes]) -> float:
    """Returns the seconds of CPU time per picture."""
    started = time.process_time()
    function(contents)
    return (time.process_time() - started) / len(contents)


class GateRuns:
    """Runs of the command line over all pictures, and over one.

    Args:
        root: Scratch folder, with ``lists``.
        contents: The pictures.
        count: How many assets land.
        workers: How many workers.
    """

    def __init__(self, root: Path, contents: Sequence[bytes], count: int, workers: int) -> None:
        self._root, self._count, self._workers = root, count, workers
        self._recipient = generate_identity(str(root / "identity.txt"))
        write_shards(root / "all", contents, count)
        write_shards(root / "one", contents, 1)
        self._run("one")  # kernels are compiled, files in the cache

    def round(self) -> tuple[float, float, processes.Cost]:
        """Returns CPU and elapsed seconds per picture, and what a run over one costs."""
        one, _ = self._run("one")
        whole, report = self._run("all")
        assert sum(report["counts"].values()) == self._count, report["counts"]
        assert report["counts"]["quarantined"] >= self._count // _LISTED_SOURCE_EVERY
        more = self._count - 1
        cpu = (whole.cpu_seconds - one.cpu_seconds) / more
        return cpu, (whole.seconds - one.seconds) / more, one

    def _run(self, name: str) -> tuple[processes.Cost, dict[str, Any]]:
        with tempfile.TemporaryDirectory(dir=self._root) as folder:
            inputs = str(self._root / name / "*.tar")
            gate = Gate(inputs, self._root / "lists", self._recipient, Path(folder))
            cost = processes.run(gate.command("--workers", str(self._workers)))
            return cost, json.loads(cost.output)


def measure(
    images: Path,
    side: int,
    count: int,
    rounds: int,
    entries: int,
    root: Path,
    *,
    workers: int = 1,
    mixed: bool = False,
    quick: bool = False,
) -> dict[str, Any]:
    """Returns all figures at one size."""
    contents = pictures(images, side, mixed=mixed)
    if not contents:
        raise click.UsageError(f"{images}: no pictures")
    root.mkdir(parents=True, exist_ok=True)
    compiled, listed = compile_lists(root, entries)
    runs = GateRuns(root, contents, count, workers)
    beside = peers(listed, quick=quick)
    fewer = [content for _, content, _ in landed(contents, _PLAIN)]
    for function in filter(None, beside.values()):
        function(fewer[:2])  # started, compiled, warm
    limit, gate, elapsed, start = [], [], [], []
    others: dict[str, list[float]] = {name: [] for name in beside}
    for number in range(rounds):
        _say(f"{side} px, {entries} entries, {workers} workers: round {number + 1} of {rounds}")
        before = per_picture(each(decode), contents)
        spent, by_the_clock, one = runs.round()
        limit.append((before + per_picture(each(decode), contents)) / 2)
        gate.append(spent)
        elapsed.append(by_the_clock)
        start.append(one)
        for name, candidate in beside.items():
            if candidate is not None:
                many = fewer if name != "naive_beam" else fewer * (_IN_BEAM // _PLAIN)
                others[name].append(per_picture(candidate, many))
    return {
        "side": side,
        "formats": "mixed" if mixed else "JPEG",
        "workers": workers,
        "assets": count,
        "distinct": len(contents),
        "mean_bytes": round(statistics.mean(map(len, contents))),
        "entries": entries,
        "share_of_decode_limit": _ratio(limit, gate),
        "ms_per_image": round(1000 * statistics.median(gate), 2),
        "ms_per_image_limit": round(1000 * statistics.median(limit), 2),
        "images_per_second_per_core": round(1 / statistics.median(gate), 1),
        "images_per_second": round(1 / statistics.median(elapsed), 1),
        "start_seconds": round(statistics.median(one.seconds for one in start), 2),
        "start_cpu_seconds": round(statistics.median(one.cpu_seconds for one in start), 2),
        "compile_seconds": round(compiled, 1),
        **{f"times_{name}": _ratio(found, gate) for name, found in others.items()},
    }


def _ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    if not numerators:
        return None
    ratios = [top / bottom for top, bottom in zip(numerators, denominators, strict=True)]
    return round(statistics.median(ratios), 3)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@click.command(help=__doc__)
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    help="Folder of pictures; default: the demo's photographs.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="1024 px, one worker, fewer assets, the plain loop alone beside it: under a minute.",
)
@click.option("--side", "sides", type=int, multiple=True, default=(1024, 512), show_default=True)
@click.option("--entries", type=int, multiple=True, default=(1_000_000,), show_default=True)
@click.option("--assets", type=int, default=2000, show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True)
@click.option("--workers", type=int, multiple=True, default=(1,), show_default=True)
@click.option("--mixed", is_flag=True, help="JPEG, PNG, WebP and GIF instead of JPEG alone.")
@click.option(
    "--to", type=click.Path(path_type=Path), help="Scratch folder; default: a temporary one."
)
@click.option("--json", "as_json", is_flag=True)
def main(
    images: Path | None,
    quick: bool,
    sides: tuple[int, ...],
    entries: tuple[int, ...],
    assets: int,
    rounds: int,
    workers: tuple[int, ...],
    mixed: bool,
    to: Path | None,
    as_json: bool,
) -> None:
    if quick:
        sides, entries, assets, rounds, workers = (1024,), entries[:1], 2400, 1, (1,)
    available = sorted(os.sched_getaffinity(0))
    results = []
    with tempfile.TemporaryDirectory(dir=to) as folder:
        for number, (count, side, listed) in enumerate(itertools.product(workers, sides, entries)):
            os.sched_setaffinity(0, set(available[:count]))  # whatever is started inherits it
            results.append(
                measure(
                    images or demo_photographs(),
                    side,
                    assets,
                    rounds,
                    listed,
                    Path(folder) / str(number),
                    workers=count,
                    mixed=mixed,
                    quick=quick,
                )
            )
    headline = {key: results[0][key] for key in ("share_of_decode_limit", "times_plain_loop")}
    if as_json:
        about = {"seed": SEED, "machine": machine(), "versions": versions()}
        click.echo(json.dumps({**headline, "results": results, **about}))
        return
    for result in results:
        click.echo("  ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
