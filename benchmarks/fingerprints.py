"""What a full fingerprint costs, as a multiple of decoding the picture alone; peers beside it.

    python -m benchmarks.fingerprints --images DIR [--json]

The JPEGs below DIR are resized to 1024 and to 512 pixels on the longer side and written again
with quality 90; smaller ones are enlarged only if too few are as large, and counted. The unit is
Pillow's grayscale decode of those bytes; a full fingerprint is three digests, and PDQ in all its
views and pHash, both in eight orientations, computed in the isolated child as a run does it.

Everything, the child included, is held on one core. Time is CPU time, the child's added, so that
it holds on a busy machine too. Rounds over all pictures alternate between a candidate and the
unit; a figure is the ratio of their medians. Peers (by `make bench`) start from the file,
as their documentation says; what is not installed is reported as absent.
"""

import io
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import imagehash
import numpy as np
import psutil
from PIL import Image

from ingestgate.fingerprints.digests import digests
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.unscannable import Unscannable

SIDES = (1024, 512)  # pixels
_QUALITY = 90
_ROUNDS = 9
_ROUNDS_OF_PEERS = 3  # up to twenty times as slow, so that little noise shows
_SMALLEST = 256  # pixels
_SEED = 20240


def pictures(folder: Path, side: int, count: int) -> tuple[list[bytes], int]:
    """Returns JPEGs whose longer side is ``side``, and how many of them had to be enlarged."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(_SEED).shuffle(files)
    reduced: list[Path] = []
    enlarged: list[Path] = []
    for path in files:
        try:
            with Image.open(path) as image:
                if image.format == "JPEG" and max(image.size) >= _SMALLEST:
                    (reduced if max(image.size) >= side else enlarged).append(path)
        except (OSError, Image.DecompressionBombError):
            continue
    chosen = (reduced + enlarged)[:count]
    return [_resized(path, side) for path in chosen], max(0, len(chosen) - len(reduced))


def _resized(path: Path, side: int) -> bytes:
    with Image.open(path) as image:
        factor = side / max(image.size)
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    resized.save(sink, "JPEG", quality=_QUALITY)
    return sink.getvalue()


def decode(content: bytes) -> Image.Image:
    """The unit: as fast as Pillow gets from a JPEG to luma."""
    image = Image.open(io.BytesIO(content))
    image.draft("L", image.size)
    image.load()
    return image


def candidates() -> dict[str, Callable[[list[bytes]], Any]]:
    """Returns what is timed, by name; the unit first. Each takes all pictures at once."""
    in_process = Fingerprinter(("pdq", "phash"), DecodeLimits())
    isolated = IsolatedFingerprinter(("pdq", "phash"), DecodeLimits())

    def full(contents: list[bytes]) -> None:
        each(digests)(contents)
        for outcome in isolated.fingerprint_many(contents):
            if isinstance(outcome, Unscannable):
                raise SystemExit(f"a picture was not fingerprinted: {outcome.reason.value}")

    return {
        "decode": each(decode),
        "ingestgate": full,
        "ingestgate, in process": each(lambda c: (digests(c), in_process.fingerprint(c))),
        "decode to RGB": each(_rgb),
        "digests": each(digests),
    }


def peers() -> dict[str, Callable[[list[bytes]], Any] | None]:
    """Returns what others do with the same files, by name; None for what is not installed."""
    found: dict[str, Callable[[list[bytes]], Any] | None] = {
        "imagehash.phash": each(lambda content: imagehash.phash(_rgb(content))),
        "pdqhash.compute": None,
        "naive: digests, imagehash.phash, pdqhash.compute_dihedral": None,
        "threatexchange PDQ": None,
        "imagededup PHash": None,
        "perception PHash": None,
    }
    if pdqhash := _installed("pdqhash"):

        def naive(content: bytes) -> None:
            digests(content)
            image = _rgb(content)
            imagehash.phash(image)
            pdqhash.compute_dihedral(np.asarray(image))

        found["pdqhash.compute"] = each(lambda c: pdqhash.compute(np.asarray(_rgb(c))))
        found["naive: digests, imagehash.phash, pdqhash.compute_dihedral"] = each(naive)
    if exchange := _installed("threatexchange.signal_type.pdq.signal"):
        found["threatexchange PDQ"] = each(exchange.PdqSignal.hash_from_bytes)
    if imagededup := _installed("imagededup.methods"):
        dedup = imagededup.PHash(verbose=False)
        found["imagededup PHash"] = each(
            lambda content: dedup.encode_image(image_array=np.asarray(_rgb(content)))
        )
    if perception := _installed("perception.hashers"):
        hasher = perception.PHash()
        found["perception PHash"] = each(lambda content: hasher.compute(_rgb(content)))
    return found


def _installed(name: str) -> Any:
    """Returns a module, or None if it or something that it needs is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def _rgb(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def each(function: Callable[[bytes], Any]) -> Callable[[list[bytes]], Any]:
    """Returns a function that does something to each picture, one after another."""

    def all_of_them(contents: list[bytes]) -> None:
        for content in contents:
            function(content)

    return all_of_them


def measure(
    unit: Callable[[list[bytes]], Any],
    others: dict[str, Callable[[list[bytes]], Any]],
    contents: list[bytes],
    rounds: int,
) -> dict[str, float]:
    """Returns the cost of each candidate as a multiple of the unit's."""
    for function in others.values():
        function(contents[:8])  # started, compiled, warm
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in others}
    for _ in range(rounds):
        for name, function in others.items():
            seconds[name].append((_seconds(unit, contents), _seconds(function, contents)))
    return {
        name: round(statistics.median(cost) / statistics.median(base), 3)
        for name, (base, cost) in (
            (name, zip(*pairs, strict=True)) for name, pairs in seconds.items()
        )
    }


def _seconds(function: Callable[[list[bytes]], Any], contents: list[bytes]) -> float:
    """Returns the CPU time that a function and the children of this process take for it."""
    children = [child.pid for child in psutil.Process().children(recursive=True)]
    start = time.process_time() + sum(map(_seconds_of, children))
    function(contents)
    return time.process_time() + sum(map(_seconds_of, children)) - start


def _seconds_of(process: int) -> float:
    """Returns the CPU time that a process took so far, in nanoseconds' resolution (Linux)."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


@click.command()
@click.option("--images", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=100, show_default=True, help="Pictures per size.")
@click.option("--json", "as_json", is_flag=True)
def main(images: Path, count: int, as_json: bool) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the child inherits it
    (_, unit), *others = candidates().items()
    installed = {name: function for name, function in peers().items() if function}
    result: dict[str, Any] = {}
    for side in SIDES:
        contents, enlarged = pictures(images, side, count)
        if not contents:
            raise click.UsageError(f"{images}: no JPEG of {_SMALLEST} pixels or more")
        measured = measure(unit, dict(others), contents, _ROUNDS)
        measured_peers = measure(unit, installed, contents, _ROUNDS_OF_PEERS)
        result[str(side)] = {
            "times_decode": measured.pop("ingestgate"),
            "pictures": len(contents),
            "enlarged": enlarged,
            "time": "CPU",
            "parts": measured,
            "peers": {name: measured_peers.get(name) for name in peers()},
        }
    if as_json:
        click.echo(json.dumps(result))
        return
    for size, entry in result.items():
        click.echo(
            f"{size} px, {entry['pictures']} pictures ({entry['enlarged']} enlarged), CPU time: "
            f"{entry['times_decode']} x decode"
        )
        for name, ratio in (entry["parts"] | entry["peers"]).items():
            click.echo(f"  {name:<60}{'absent' if ratio is None else ratio:>8}")


if __name__ == "__main__":
    main()
