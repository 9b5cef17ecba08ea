"""The whole run, as a share of what the decoder alone could do, and beside plainer ways.

    python -m benchmarks.gate [--images DIR] [--quick] [--entries N] [--to DIR] [--json]

The limit is a bare loop that decodes the JPEGs to gray on one core and does nothing else. The
gate does all of a run on that one core: reads WebDataset shards, checks sources, takes three
digests, PDQ in all views and orientations and pHash in eight, in its isolated child; matches
them against N perceptual hashes and as many digests; writes the ledger; commits, and seals what
matched. Its time is the difference between a run over all pictures and a run over one, divided
by their number; what a run costs before its first picture is given by itself. Rounds of the
candidates alternate, and a figure is the median of its rounds' ratios, so that it holds on a
busy machine too.

The plain loop is what people write today: Pillow, three digests, imagehash, pdqhash in eight
orientations, threatexchange's index over the same N hashes. The naive pipeline is that loop in
a Beam DoFn. Peers are no dependencies: ``pip install -r requirements/bench.in``, in an
environment of its own; without one its figures are null.
"""

import importlib
import io
import json
import os
import random
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import imagehash
import numpy as np
import pdqhash
from PIL import Image

from benchmarks.acceptance import Gate
from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.digests import digests
from ingestgate.quarantine.keys import generate_identity

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
_SEED = 20240
_DISTINCT = 100  # pictures; each lands several times, every time with other bytes at its end
_PER_SHARD = 200
_LISTED_SOURCE_EVERY = 500
_PLAIN = 40  # pictures a round of the slower candidates gets
_QUALITY = 90
_IN_BEAM = 400


def pictures(folder: Path, side: int) -> list[bytes]:
    """Returns JPEGs of ``side`` pixels on the longer side, made from a folder's photographs.

    Those of half the size and more, as a smaller one would be blank at close range; none with
    transparency, which are drawings.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(_SEED).shuffle(files)
    found: list[bytes] = []
    for path in files:
        try:
            with Image.open(path) as image:
                if image.has_transparency_data or 2 * max(image.size) < side:
                    continue
                whole = image.convert("RGB")
        except (OSError, SyntaxError, ValueError):
            continue
        scale = side / max(whole.size)
        size = (round(whole.width * scale), round(whole.height * scale))
        sink = io.BytesIO()
        whole.resize(size, Image.Resampling.LANCZOS).save(sink, "JPEG", quality=_QUALITY)
        found.append(sink.getvalue())
        if len(found) == _DISTINCT:
            break
    return found


def landed(contents: Sequence[bytes], count: int) -> Iterator[tuple[str, bytes, str]]:
    """Yields key, bytes and URL of each asset; each has digests of its own."""
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


def compile_lists(root: Path, entries: int) -> tuple[float, list[str]]:
    """Compiles a list of random hashes and digests; returns the seconds and the hashes."""
    rng = np.random.default_rng(_SEED)
    values = {"pdq": rng.bytes(32 * entries).hex(), "md5": rng.bytes(16 * entries).hex()}
    widths = {"pdq": 64, "md5": 32}
    split = {
        name: [text[at : at + widths[name]] for at in range(0, len(text), widths[name])]
        for name, text in values.items()
    }
    split["domain"] = ["listed.example"]
    for name, lines in split.items():
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")
    started = time.perf_counter()
    compile_list(
        id="synthetic",
        version=1,
        sources=[(name, str(root / f"{name}.txt")) for name in sorted(split)],
        to=str(root / "lists"),
        issued=ISSUED,
    )
    return time.perf_counter() - started, split["pdq"]


def decode(content: bytes) -> None:
    """The limit: as fast as Pillow gets from a JPEG to luma."""
    image = Image.open(io.BytesIO(content))
    image.draft("L", image.size)
    image.load()


class PlainLoop:
    """What people write today, over threatexchange's index."""

    def __init__(self, listed: Sequence[str]) -> None:
        matcher = importlib.import_module("threatexchange.signal_type.pdq.pdq_faiss_matcher")
        self._index = matcher.PDQMultiHashIndex()
        self._index.add(listed, range(len(listed)))

    def check(self, content: bytes) -> bool:
        """Whether a picture is in the index."""
        digests(content)
        image = Image.open(io.BytesIO(content)).convert("RGB")
        imagehash.phash(image)
        hashes, _ = pdqhash.compute_dihedral(np.asarray(image))
        queries = [np.packbits(one.astype(bool)).tobytes().hex() for one in hashes]
        found = self._index.search(queries, 31, return_as_ids=True)
        return any(map(len, found))

    def many(self, contents: Sequence[bytes]) -> None:
        """Checks pictures one after another."""
        for content in contents:
            self.check(content)


def naive_pipeline(plain: PlainLoop) -> Callable[[Sequence[bytes]], None]:
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


def peers(listed: Sequence[str]) -> dict[str, Callable[[Sequence[bytes]], None] | None]:
    """Returns what is run beside the gate; None for what is not installed."""
    found: dict[str, Callable[[Sequence[bytes]], None] | None] = dict.fromkeys(
        ("plain_loop", "naive_beam", "imagededup", "perception")
    )
    if _peer("threatexchange.signal_type.pdq.pdq_faiss_matcher"):
        plain = PlainLoop(listed)
        found["plain_loop"] = plain.many
        found["naive_beam"] = naive_pipeline(plain)
    if methods := _peer("imagededup.methods"):
        dedup = methods.PHash()
        found["imagededup"] = _each(
            lambda content: dedup.encode_image(image_array=np.asarray(_rgb(content)))
        )
    if hashers := _peer("perception.hashers"):
        hasher = hashers.PHash()
        found["perception"] = _each(lambda content: hasher.compute(_rgb(content)))
    return found


def _peer(name: str) -> Any:
    """Returns a peer's module; None if it, or something it needs, is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _rgb(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _each(function: Callable[[bytes], Any]) -> Callable[[Sequence[bytes]], None]:
    def all_of_them(contents: Sequence[bytes]) -> None:
        for content in contents:
            function(content)

    return all_of_them


def per_picture(function: Callable[[Sequence[bytes]], None], contents: Sequence[bytes]) -> float:
    """Returns the seconds per picture."""
    started = time.perf_counter()
    function(contents)
    return (time.perf_counter() - started) / len(contents)


class GateRuns:
    """Runs of the command line over all pictures, and over one.

    Args:
        root: Scratch folder.
        contents: The pictures.
        count: How many assets land.
        cores: How many workers, each with a core.
    """

    def __init__(self, root: Path, contents: Sequence[bytes], count: int, cores: int) -> None:
        self._root, self._count, self._cores = root, count, cores
        self._recipient = generate_identity(str(root / f"identity-{cores}.txt"))
        self._number = 0
        if not (root / "all").exists():
            write_shards(root / "all", contents, count)
            write_shards(root / "one", contents, 1)

    def round(self) -> tuple[float, float]:
        """Returns seconds per picture, and of a run over one."""
        one, _ = self._run("one")
        whole, report = self._run("all")
        assert sum(report["counts"].values()) == self._count, report["counts"]
        assert report["counts"]["quarantined"] >= self._count // _LISTED_SOURCE_EVERY
        return (whole - one) / (self._count - 1), one

    def _run(self, name: str) -> tuple[float, dict[str, Any]]:
        self._number += 1
        with tempfile.TemporaryDirectory(dir=self._root) as folder:
            inputs = str(self._root / name / "*.tar")
            gate = Gate(inputs, self._root / "lists", self._recipient, Path(folder))
            started = time.perf_counter()
            report = gate.run("--workers", str(self._cores))
            return time.perf_counter() - started, report


def measure(
    images: Path, side: int, count: int, rounds: int, entries: int, root: Path, cores: int = 1
) -> dict[str, Any]:
    """Returns all figures at one size."""
    contents = pictures(images, side)
    if not contents:
        raise click.UsageError(f"{images}: no pictures")
    root.mkdir(parents=True, exist_ok=True)
    compiled, listed = compile_lists(root, entries)
    runs = GateRuns(root, contents, count, cores)
    beside = peers(listed)
    fewer = [content for _, content, _ in landed(contents, _PLAIN)]
    for function in filter(None, beside.values()):
        function(fewer[:2])  # started, compiled, warm
    limit, gate, start = [], [], []
    others: dict[str, list[float]] = {name: [] for name in beside}
    for number in range(rounds):
        _say(f"{side} px, {entries} entries, {cores} cores: round {number + 1} of {rounds}")
        before = per_picture(_each(decode), contents)
        each, one = runs.round()
        limit.append((before + per_picture(_each(decode), contents)) / 2 / cores)
        gate.append(each)
        start.append(one)
        for name, candidate in beside.items():
            if candidate is not None:
                many = fewer if name != "naive_beam" else fewer * (_IN_BEAM // _PLAIN)
                others[name].append(per_picture(candidate, many) / cores)
    seconds = statistics.median(gate)
    return {
        "side": side,
        "cores": cores,
        "assets": count,
        "entries": entries,
        "share_of_decode_limit": _ratio(limit, gate),
        "images_per_second_per_core": round(1 / seconds / cores, 1),
        "limit_images_per_second_per_core": round(1 / statistics.median(limit) / cores, 1),
        "start_seconds": round(statistics.median(start), 2),
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


def _photographs() -> Path:
    import skimage.data

    return Path(skimage.data.__file__).parent


@click.command()
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    help="Folder of pictures; default: the demo's photographs.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="1024 px, one core, one million entries, fewer assets: under a minute.",
)
@click.option("--side", "sides", type=int, multiple=True, default=(1024, 512), show_default=True)
@click.option("--entries", type=int, multiple=True, default=(1_000_000,), show_default=True)
@click.option("--assets", type=int, default=2000, show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True)
@click.option("--cores", type=int, multiple=True, default=(1,), show_default=True)
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
    cores: tuple[int, ...],
    to: Path | None,
    as_json: bool,
) -> None:
    """Measures."""
    if quick:
        sides, entries, assets, rounds, cores = (1024,), entries[:1], 600, 1, (1,)
    available = sorted(os.sched_getaffinity(0))
    results = []
    with tempfile.TemporaryDirectory(dir=to) as folder:
        for workers in cores:
            os.sched_setaffinity(0, set(available[:workers]))  # whatever is started inherits it
            for side in sides:
                for listed in entries:
                    root = Path(folder) / f"{side}-{listed}-{workers}"
                    results.append(
                        measure(
                            images or _photographs(), side, assets, rounds, listed, root, workers
                        )
                    )
    headline = {key: results[0][key] for key in ("share_of_decode_limit", "times_plain_loop")}
    if as_json:
        click.echo(json.dumps({**headline, "seed": _SEED, "results": results}))
        return
    for result in results:
        click.echo("  ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
