"""What damaged pictures do to the gate: each must cost itself a verdict, and nothing else.

    python -m benchmarks.mutations --images DIR... --count 10000 --seed S [--json]

Files below the folders are damaged by a seeded generator (bits flipped, bytes overwritten, cut off,
parts of another file spliced in, parts repeated) and judged as a run judges them, decoder isolated.
Counts the reasons and the children that had to be replaced, and looks at memory before and after.
Fails if an asset has no verdict, if one takes longer than the policy lets it, or if the gate's own
memory or open files grow.
"""

import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.isolation import judges
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.shard import Member, Sample
from ingestgate.assets.verdict import REASONS, Verdict
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.transforms.looking import release_fingerprinter

_BATCH = 32
_LARGEST = 1 << 20  # bytes; larger files only take longer
_GROWTH = 64 << 20  # bytes that the gate's process may grow by
_MORE_FILES = 8


def mutated(random_: random.Random, content: bytes, other: bytes) -> bytes:
    """Returns a file's bytes, damaged in one of five ways."""
    damaged = bytearray(content)
    way = random_.randrange(5)
    if way == 0:
        for _ in range(random_.randint(1, 16)):
            damaged[random_.randrange(len(damaged))] ^= 1 << random_.randrange(8)
    elif way == 1:
        start = random_.randrange(len(damaged))
        damaged[start : start + random_.randint(1, 64)] = random_.randbytes(random_.randint(1, 64))
    elif way == 2:
        del damaged[random_.randrange(len(damaged)) :]
    elif way == 3:
        start, from_ = random_.randrange(len(damaged)), random_.randrange(len(other))
        damaged[start : start + random_.randrange(4096)] = other[
            from_ : from_ + random_.randrange(4096)
        ]
    else:
        start = random_.randrange(len(damaged))
        damaged[start:start] = damaged[start : start + random_.randrange(4096)]
    return bytes(damaged)


def contents(folders: tuple[Path, ...], count: int, seed: int) -> Iterator[bytes]:
    """Yields damaged files."""
    files = sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and 0 < path.stat().st_size <= _LARGEST
    )
    if not files:
        raise click.UsageError("no file of a megabyte or less there")
    random_ = random.Random(seed)
    for _ in range(count):
        one, other = random_.choice(files), random_.choice(files)
        yield mutated(random_, one.read_bytes(), other.read_bytes())


def judged(contents: Iterable[bytes], count: int, batch: int) -> dict[str, Any]:
    """Has files judged, the decoder isolated; the key ``problems`` is empty if all went well.

    Args:
        contents: The files.
        count: How many there are; after a quarter of them memory should no longer grow.
        batch: How many are judged at once.
    """
    reasons: Counter[str] = Counter()
    problems: list[str] = []
    slowest = 0.0
    gate = psutil.Process()
    children: set[int] = set()
    before = after = (0, 0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        judge, _ = judges(folder)
        if not isinstance(judge.fingerprinter, IsolatedFingerprinter):
            raise TypeError("the decoder is not isolated")
        limit = judge.policy.limits.max_seconds
        for number, group in enumerate(_groups(contents, batch)):
            samples = [
                Sample(
                    f"{number}-{place}",
                    (Member("a", 0, content, kind_of("", content, frozenset())),),
                    {},
                )
                for place, content in enumerate(group)
            ]
            start = time.monotonic()
            rows = list(judge.judge_all("mutations", samples))
            slowest = max(slowest, time.monotonic() - start)
            if [row.sample for row in rows] != [sample.key for sample in samples]:
                problems.append("an asset has no verdict")
            for row in rows:
                if row.reason not in REASONS[row.verdict]:
                    problems.append(f"{row.verdict} because of {row.reason}")
                reasons[f"{row.verdict}: {row.reason}"] += 1
            children.update(child.pid for child in gate.children())
            after = (gate.memory_info().rss, gate.num_fds())
            if not before[0] and sum(reasons.values()) >= count // 4:
                before = after
        release_fingerprinter()
    if slowest > batch * limit:
        problems.append(f"{batch} assets took {slowest:.0f} s")
    if after[0] > before[0] + _GROWTH:
        problems.append(f"memory grew by {after[0] - before[0]} bytes")
    if after[1] > before[1] + _MORE_FILES:
        problems.append(f"open files grew from {before[1]} to {after[1]}")
    return {
        "count": sum(reasons.values()),
        "admitted": sum(n for each, n in reasons.items() if each.startswith(Verdict.ADMITTED)),
        "reasons": dict(sorted(reasons.items())),
        "children": len(children),
        "seconds": round(time.monotonic() - began, 1),
        "slowest_batch_s": round(slowest, 2),
        "gate_mib": [before[0] >> 20, after[0] >> 20],
        "gate_files": [before[1], after[1]],
        "problems": problems,
    }


def _groups(contents: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    left = iter(contents)
    while group := list(itertools.islice(left, size)):
        yield group


def measure(folders: tuple[Path, ...], count: int, seed: int) -> dict[str, Any]:
    """Returns the counts; the key ``problems`` is empty if all went as it must."""
    return {"seed": seed, **judged(contents(folders, count, seed), count, _BATCH)}


@click.command()
@click.option(
    "--images", multiple=True, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--count", default=10_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(images: tuple[Path, ...], count: int, seed: int, as_json: bool) -> None:
    """Judges damaged pictures."""
    found = measure(images, count, seed)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name, value in found.items():
            click.echo(f"{name:<16} {value}")
    sys.exit(bool(found["problems"]))


if __name__ == "__main__":
    main()
