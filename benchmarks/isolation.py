"""What the process that decodes costs the gate, beside a gate that decodes in its own process.

    python -m benchmarks.isolation --images DIR [--count 64] [--json]

The pictures below DIR are resized to 512 and to 1024 pixels on the longer side (see
`benchmarks.pictures`) and judged by the element-level gate's judge, isolated and in process, in
batches as both gates have them and one at a time. Everything, the child included, is held on one
core. Rounds alternate; a figure is the median over the rounds of isolated to in process in the same
round, and the lowest and highest of them say how far the machine varies.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.fingerprints import SIDES
from benchmarks.pictures import pictures
from ingestgate.assets.shard import Kind, Member, Sample
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Policy

_ROUNDS = 9
_LISTED = {  # near no picture: two numbers at random
    "pdq": "7b3e94d1c05a86f2e9174d3ab86c20f5539ad7e1460bf8c2917e5d04ab63c8f1",
    "phash": "93d07ac1e46b285f",
}


def judges(folder: str) -> tuple[Judge, Judge]:
    """Returns a judge that decodes in a process of its own, and one that does not."""
    sources = []
    for name, value in _LISTED.items():
        path = Path(folder, f"{name}.txt")
        path.write_text(value + "\n")
        sources.append((name, str(path)))
    to = str(Path(folder, "lists"))
    compile_list(
        id="none", version=1, sources=sources, to=to, issued=datetime(2026, 1, 1, tzinfo=UTC)
    )
    lists = ListSet.open(to, now=datetime.now(UTC))
    isolated = Judge(Policy(decoder="isolated"), lists)
    return isolated, Judge(Policy(decoder="in_process"), lists)


def measure(isolated: Judge, in_process: Judge, contents: list[bytes]) -> dict[str, Any]:
    """Returns the ratio of both, in batches and one at a time, and what each takes."""
    samples = [
        Sample(str(number), (Member("a.jpg", 0, content, Kind.PICTURE),), {})
        for number, content in enumerate(contents)
    ]

    def together(judge: Judge) -> None:
        list(judge.judge_all("", samples))

    def alone(judge: Judge) -> None:
        for sample in samples:
            judge.judge("", sample)

    measured: dict[str, Any] = {"pictures": len(contents)}
    ways: dict[str, Callable[[Judge], None]] = {"in_batches": together, "one_at_a_time": alone}
    for name, way in ways.items():
        times: dict[str, list[float]] = {"isolated": [], "in_process": []}
        for number in range(_ROUNDS + 1):
            taken = {"isolated": _seconds(way, isolated), "in_process": _seconds(way, in_process)}
            if number:  # the first round warms up
                for each, seconds in taken.items():
                    times[each].append(seconds)
        ratios = [a / b for a, b in zip(times["isolated"], times["in_process"], strict=True)]
        measured[name] = {
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
            **{
                f"{each}_ms": round(1e3 * statistics.median(taken) / len(contents), 2)
                for each, taken in times.items()
            },
        }
    return measured


def _seconds(way: Callable[[Judge], None], judge: Judge) -> float:
    start = time.perf_counter()
    way(judge)
    return time.perf_counter() - start


@click.command()
@click.option("--images", required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--count",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="Pictures per size.",
)
@click.option("--json", "as_json", is_flag=True)
def main(images: Path, count: int, as_json: bool) -> None:
    """Measures what isolation costs."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the child inherits it
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        isolated, in_process = judges(folder)
        for side in SIDES:
            contents = pictures(images, side, count)
            if not contents:
                raise click.UsageError(f"{images}: no picture that is large enough")
            measured = measure(isolated, in_process, contents)
            result[str(side)] = {"rounds": _ROUNDS, **measured}
        confined_by = isolated.isolation
    if as_json:
        click.echo(json.dumps({"isolation": confined_by, "pixels": result}))
        return
    for size, entry in result.items():
        click.echo(f"{size} px, {entry['pictures']} pictures")
        for name in ("in_batches", "one_at_a_time"):
            figures = entry[name]
            click.echo(
                f"  {name:<14} isolated {figures['isolated_ms']} ms, in process "
                f"{figures['in_process_ms']} ms: {figures['ratio']} x"
            )


if __name__ == "__main__":
    main()
