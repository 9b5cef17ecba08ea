"""What a full fingerprint costs, as a multiple of decoding the picture alone; peers beside it.

    python -m benchmarks.fingerprints --images DIR [--json]

The pictures below DIR are resized to 1024 and to 512 pixels on the longer side, as for the gate's
benchmark, and written as JPEGs of quality 90. The unit is Pillow's grayscale decode of those bytes;
a full fingerprint is three digests, and PDQ in all its views and pHash, both in eight orientations,
computed in the isolated child as a run does it.

Everything, the child included, is held on one core. Time is CPU time, the child's added, so that
it holds on a busy machine too. Rounds over all pictures alternate between a candidate and the
unit; a figure is the ratio of their medians. Peers (by `make bench`) start from the file,
as their documentation says; what is not installed is reported as absent.
"""

import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import imagehash
import numpy as np
import psutil

from benchmarks.peers import (
    OfMany,
    decode,
    each,
    imagededup_phash,
    installed,
    perception_phash,
    rgb,
)
from benchmarks.pictures import DISTINCT, pictures
from ingestgate.fingerprints.digests import digests
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.unscannable import Unscannable

SIDES = (1024, 512)  # pixels
_ROUNDS = 9
_ROUNDS_OF_PEERS = 3  # up to twenty times as slow, so that little noise shows


def candidates() -> dict[str, OfMany]:
    """Returns what is timed, by name; the unit first. Each takes all pictures at once."""
    in_process = Fingerprinter(("pdq", "phash"), DecodeLimits())
    isolated = IsolatedFingerprinter(("pdq", "phash"), DecodeLimits())

    def full(contents: Sequence[bytes]) -> None:
        each(digests)(contents)
        for outcome in isolated.fingerprint_many(contents):
            if isinstance(outcome, Unscannable):
                raise SystemExit(f"a picture was not fingerprinted: {outcome.reason.value}")

    return {
        "decode": each(decode),
        "ingestgate": full,
        "ingestgate, in process": each(lambda c: (digests(c), in_process.fingerprint(c))),
        "decode to RGB": each(rgb),
        "digests": each(digests),
    }


def peers() -> dict[str, OfMany | None]:
    """Returns what others do with the same files, by name; None for what is not installed."""
    found: dict[str, OfMany | None] = {
        "imagehash.phash": each(lambda content: imagehash.phash(rgb(content))),
        "pdqhash.compute": None,
        "naive: digests, imagehash.phash, pdqhash.compute_dihedral": None,
        "threatexchange PDQ": None,
        "imagededup PHash": None,
        "perception PHash": None,
    }
    if pdqhash := installed("pdqhash"):

        def naive(content: bytes) -> None:
            digests(content)
            image = rgb(content)
            imagehash.phash(image)
            pdqhash.compute_dihedral(np.asarray(image))

        found["pdqhash.compute"] = each(lambda c: pdqhash.compute(np.asarray(rgb(c))))
        found["naive: digests, imagehash.phash, pdqhash.compute_dihedral"] = each(naive)
    if exchange := installed("threatexchange.signal_type.pdq.signal"):
        found["threatexchange PDQ"] = each(exchange.PdqSignal.hash_from_bytes)
    for name, hashing in (
        ("imagededup PHash", imagededup_phash()),
        ("perception PHash", perception_phash()),
    ):
        found[name] = each(hashing) if hashing else None
    return found


def measure(
    unit: OfMany,
    others: dict[str, OfMany],
    contents: Sequence[bytes],
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


def _seconds(function: OfMany, contents: Sequence[bytes]) -> float:
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
@click.option("--count", default=DISTINCT, show_default=True, help="Pictures per size.")
@click.option("--json", "as_json", is_flag=True)
def main(images: Path, count: int, as_json: bool) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the child inherits it
    (_, unit), *others = candidates().items()
    beside = peers()
    present = {name: function for name, function in beside.items() if function}
    result: dict[str, Any] = {}
    for side in SIDES:
        contents = pictures(images, side, count)
        if not contents:
            raise click.UsageError(f"{images}: no picture of {side // 2} pixels or more")
        measured = measure(unit, dict(others), contents, _ROUNDS)
        measured_peers = measure(unit, present, contents, _ROUNDS_OF_PEERS)
        result[str(side)] = {
            "times_decode": measured.pop("ingestgate"),
            "pictures": len(contents),
            "time": "CPU",
            "parts": measured,
            "peers": {name: measured_peers.get(name) for name in beside},
        }
    if as_json:
        click.echo(json.dumps(result))
        return
    for size, entry in result.items():
        click.echo(
            f"{size} px, {entry['pictures']} pictures, CPU time: {entry['times_decode']} x decode"
        )
        for name, ratio in (entry["parts"] | entry["peers"]).items():
            click.echo(f"  {name:<60}{'absent' if ratio is None else ratio:>8}")


if __name__ == "__main__":
    main()
