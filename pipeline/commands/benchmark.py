"""``ingestgate benchmark``: figures from pictures of your own."""

import json
import random
from collections.abc import Iterator

import click

from ingestgate.assets.errors import UsageError


@click.group()
def benchmark() -> None:
    """Measure the gate on pictures of your own."""


@benchmark.command()
@click.option("--images", required=True, metavar="DIR", help="Benign pictures, all different.")
@click.option("--count", default=200, show_default=True, type=click.IntRange(min=2))
@click.option("--seed", default=1, show_default=True, help="Which of the pictures are taken.")
@click.option(
    "--hash",
    "names",
    multiple=True,
    metavar="NAME",
    help="A perceptual hash of the gate; may be repeated. [default: pdq, phash]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def robustness(
    ctx: click.Context, images: str, count: int, seed: int, names: tuple[str, ...], as_json: bool
) -> None:
    """Alter pictures in many ways and see how many are found again.

    Prints the recall per hash and for the gate as a whole at the default thresholds, beside
    peers that are installed (imagehash, pdqhash, perception), and the highest threshold at
    which 99.99 % of all matches are right.
    """
    from ingestgate.assets import storage
    from ingestgate.pipeline.robustness import measure

    ctx.find_root().obj = "json" if as_json else None
    files = [entry.path for entry in storage.walk(images)]
    random.Random(seed).shuffle(files)

    def contents() -> Iterator[bytes]:
        yield from (storage.read_bytes(file) for file in files[:count])

    result = measure(contents(), names or ("pdq", "phash"))
    if result.pictures < 2:
        raise UsageError(f"{images}: fewer than two pictures that the gate can rely on")
    described = result.as_dict()
    if as_json:
        click.echo(json.dumps(described))
        return
    columns = [*described["thresholds"], "gate"]
    click.echo(f"{result.pictures} pictures; {result.skipped} files skipped\n")
    click.echo("".join([f"{'recall, %':<24}", *(f"{column:>12}" for column in columns)]))
    for alteration, recalls in described["recall"].items():
        cells = (f"{100 * recalls[column]:>12.1f}" for column in columns)
        click.echo("".join([f"{alteration:<24}", *cells]))
    for title, key in (("default threshold", "threshold"), ("precise threshold", "precise")):
        cells = (_cell(described, column, key) for column in columns)
        click.echo("".join([f"{title:<24}", *(f"{cell:>12}" for cell in cells)]))


def _cell(described: dict[str, dict[str, dict[str, float]]], column: str, key: str) -> str:
    if key == "threshold":
        return str(described["thresholds"].get(column, ""))
    at = described["precise"].get(column)
    return "" if at is None else f"{at['threshold']} ({100 * at['recall']:.1f})"
