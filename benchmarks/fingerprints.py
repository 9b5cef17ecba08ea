"""What a full fingerprint costs, as a multiple of decoding the picture alone.

    python -m benchmarks.fingerprints --images DIR [--json]

The JPEGs below DIR that are large enough are resized to 1024 and to 512 pixels on the longer
side and written again. The unit is Pillow's grayscale decode of those bytes; a full fingerprint
is three digests, and PDQ in all its views and pHash, both in eight orientations, computed in
the isolated child as a run does it. Everything, the child included, is held on one core. Rounds
over all pictures alternate between the candidates; a figure is the median over the rounds of
the ratio to the unit in the same round, so that it holds on a busy machine too.
"""

import io
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import imagehash
import numpy as np
import pdqhash
from PIL import Image

from ingestgate.fingerprints.digests import digests
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits

SIDES = (1024, 512)  # pixels
_QUALITY = 90
_ROUNDS = 9
_SEED = 20240


def pictures(folder: Path, side: int, count: int) -> Iterator[bytes]:
    """Yields JPEGs, resized to ``side``, of pictures that are not smaller."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(_SEED).shuffle(files)
    for path in files:
        try:
            with Image.open(path) as image:
                if image.format != "JPEG" or max(image.size) < side or count == 0:
                    continue
                resized = image.convert("RGB")
        except OSError:
            continue
        resized.thumbnail((side, side))
        sink = io.BytesIO()
        resized.save(sink, "JPEG", quality=_QUALITY)
        count -= 1
        yield sink.getvalue()


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

    def rgb(content: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(content))
        image.load()
        return image

    def naive(content: bytes) -> None:
        digests(content)
        image = rgb(content)
        imagehash.phash(image)
        pdqhash.compute_dihedral(np.asarray(image))

    def full(contents: list[bytes]) -> None:
        each(digests)(contents)
        isolated.fingerprint_many(contents)

    return {
        "decode": each(decode),
        "ingestgate": full,
        "ingestgate, in process": each(lambda c: (digests(c), in_process.fingerprint(c))),
        "decode to RGB": each(rgb),
        "digests": each(digests),
        "imagehash.phash": each(lambda content: imagehash.phash(rgb(content))),
        "pdqhash.compute": each(lambda content: pdqhash.compute(np.asarray(rgb(content)))),
        "digests, imagehash.phash, pdqhash.compute_dihedral": each(naive),
    }


def each(function: Callable[[bytes], Any]) -> Callable[[list[bytes]], Any]:
    """Returns a function that does something to each picture, one after another."""

    def all_of_them(contents: list[bytes]) -> None:
        for content in contents:
            function(content)

    return all_of_them


def measure(contents: list[bytes]) -> dict[str, float]:
    """Returns the cost of each candidate as a multiple of the first's, the decode."""
    (_, unit), *others = candidates().items()
    for _, function in others:
        function(contents)  # started, compiled, warm
    ratios: dict[str, list[float]] = {name: [] for name, _ in others}
    for _ in range(_ROUNDS):
        for name, function in others:
            base, cost = _seconds(unit, contents), _seconds(function, contents)
            ratios[name].append(cost / base)
    return {name: round(statistics.median(found), 3) for name, found in ratios.items()}


def _seconds(function: Callable[[list[bytes]], Any], contents: list[bytes]) -> float:
    start = time.perf_counter()
    function(contents)
    return time.perf_counter() - start


@click.command()
@click.option("--images", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=40, show_default=True, help="Pictures per size.")
@click.option("--json", "as_json", is_flag=True)
def main(images: Path, count: int, as_json: bool) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the child inherits it
    result: dict[str, Any] = {}
    for side in SIDES:
        contents = list(pictures(images, side, count))
        if not contents:
            raise click.UsageError(f"{images}: no picture of {side} pixels or more")
        measured = measure(contents)
        result[str(side)] = {
            "times_decode": measured.pop("ingestgate"),
            "pictures": len(contents),
            "peers": measured,
        }
    if as_json:
        click.echo(json.dumps(result))
        return
    for size, entry in result.items():
        click.echo(f"{size} px, {entry['pictures']} pictures: {entry['times_decode']} x decode")
        for name, ratio in entry["peers"].items():
            click.echo(f"  {name:<52}{ratio:>8}")


if __name__ == "__main__":
    main()
