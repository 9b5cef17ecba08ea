"""``ingestgate benchmark``: figures from pictures of your own."""

import json
import random
from collections.abc import Iterator

import click

from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.commands.options import JSON


@click.group()
def benchmark() -> None:
    """Measure the gate on pictures of your own."""


@benchmark.command()
@click.option("--images", required=True, metavar="DIR", help="Benign pictures, all different.")
@click.option(
    "--count",
    default=200,
    show_default=True,
    type=click.IntRange(min=2),
    help="How many of the pictures are taken.",
)
@click.option("--seed", default=1, show_default=True, help="Which of the pictures are taken.")
@click.option(
    "--hash",
    "names",
    multiple=True,
    metavar="NAME",
    help="A perceptual hash of the gate; may be repeated. [default: pdq, phash]",
)
@JSON
@click.option(
    "--markdown",
    "as_markdown",
    is_flag=True,
    help="Print the tables as the documentation has them.",
)
@click.pass_context
def robustness(
    ctx: click.Context,
    images: str,
    count: int,
    seed: int,
    names: tuple[str, ...],
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Alter pictures in many ways and see how many are found again.

    Each picture is listed by the hashes of the reference implementations, altered, and judged
    as a run judges it, with the default policy. Files that the gate does not decode or cannot
    rely on are counted and passed over.

    Prints the recall per hash and for the gate as a whole at the default thresholds, beside
    peers that are installed (imagehash, pdqhash, perception), and the highest threshold at
    which 99.99 % of all matches are right.
    """
    from ingestgate.assets import storage
    from ingestgate.pipeline import robustness_tables
    from ingestgate.pipeline.robustness import measure

    if as_json and as_markdown:
        raise UsageError("--json and --markdown: give one of them")

    ctx.find_root().obj = "json" if as_json else None
    files = [entry.path for entry in storage.walk(images)]
    random.Random(seed).shuffle(files)

    def contents() -> Iterator[bytes]:
        yield from (storage.read_bytes(file) for file in files[:count])

    result = measure(contents(), names or ("pdq", "phash"))
    if result.pictures < 2:
        raise UsageError(f"{images}: fewer than two pictures that the gate can rely on")
    if as_json:
        click.echo(json.dumps(result.as_dict()))
        return
    lines = robustness_tables.markdown if as_markdown else robustness_tables.text
    for line in lines(result):
        click.echo(line)
