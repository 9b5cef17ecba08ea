"""``ingestgate demo``: the whole way, on real pictures."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ingestgate.assets.errors import SelfTestError, UsageError
from ingestgate.pipeline.commands.tables import show_table

_MARK = ".ingestgate-demo"


@click.command()
@click.option(
    "--to",
    "to",
    default="demo",
    show_default=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Where everything is put; made anew each time.",
)
def demo(to: str) -> None:
    """Run the gate on real public-domain photographs, and show what was caught.

    Builds WebDataset shards and a Hugging Face Parquet file, a synthetic partner list made
    from some of the photographs (recompressed, resized, turned, in another file mode) and a
    few example domains; then runs the gate and takes the census.
    """
    from ingestgate.blocklists.compiling import compile_list
    from ingestgate.pipeline.census.taking import take_census
    from ingestgate.pipeline.commands.run import show
    from ingestgate.pipeline.demo import PLANTED, build_landing_zone, build_list_sources
    from ingestgate.pipeline.progress import ProgressDisplay
    from ingestgate.pipeline.run import RunRequest, run
    from ingestgate.quarantine.keys import generate_identity
    from ingestgate.quarantine.manifest_reading import read_manifest

    console = Console(highlight=False)
    root = _fresh(Path(to))
    landed = build_landing_zone(root / "landing")
    console.print(
        f"{len(landed)} photographs in {root}/landing, as WebDataset shards and again as "
        f"Parquet; {len(PLANTED)} of them planted"
    )
    info = compile_list(
        id="demo-partner",
        version=1,
        partner="synthetic",
        sources=build_list_sources(root / "partner"),
        to=str(root / "lists"),
        issued=datetime.now(UTC),
    )
    console.print(f"a list of {sum(info.counts.values())} entries compiled to {root}/lists")
    request = RunRequest(
        inputs=[f"{root}/landing/webdataset/*.tar", f"{root}/landing/parquet/*.parquet"],
        output=str(root / "admitted"),
        quarantine=str(root / "quarantine"),
        evidence=str(root / "evidence"),
        lists=str(root / "lists"),
        recipients=[generate_identity(str(root / "identity.txt"))],
        workers=len(os.sched_getaffinity(0)),
    )
    report = run(request, ProgressDisplay())
    show(report)
    rows = list(read_manifest(request.quarantine))
    _show_caught(rows)
    _check_all_caught(rows)
    census = take_census(request.inputs, request.output, request.quarantine, request.evidence)
    if not census.exact:
        raise SelfTestError("the demo's census is not exact: " + "; ".join(census.problems))
    console.print(
        f"census: exact, {census.inputs} assets\n"
        f"admitted shards: {request.output}\n"
        f"sealed matches:  {request.quarantine} (the key: {root}/identity.txt)\n"
        f"open one:        ingestgate quarantine open --quarantine {request.quarantine} "
        f"--identity {root}/identity.txt --to {root}/opened {rows[0]['asset_id'][:8]}",
        soft_wrap=True,
    )


def _fresh(root: Path) -> Path:
    if root.exists():
        if not (root / _MARK).exists():
            raise UsageError(f"{root} is there, and is not an earlier demo's; give another --to")
        shutil.rmtree(root)
    root.mkdir(parents=True)
    (root / _MARK).touch()
    return root


def _show_caught(rows: list[dict[str, Any]]) -> None:
    """Prints a line per planted photograph; it is in the landing zone in each format."""
    planted = _planted()
    caught: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        caught.setdefault(Path(row["provenance"].get("url", "")).name, []).append(row)
    lines = []
    for stem, found in sorted(caught.items()):
        first = found[0]["findings"][0]
        near = f"{first['distance']} of {first['threshold']}"
        lines.append(
            (
                stem,
                planted[stem].how if stem in planted else "not planted",
                f"{first['signal_type']} {first['view']}",
                near if first["kind"] == "perceptual" else "",
                found[0]["tier"],
                " ".join(sorted(row["format"] for row in found)),
            )
        )
    show_table(("photograph", "planted", "caught by", "distance", "tier", "in"), lines, "Caught")


def _planted() -> dict[str, Any]:
    from ingestgate.pipeline.demo import PLANTED

    return {planted.name.partition(".")[0]: planted for planted in PLANTED}


def _check_all_caught(rows: list[dict[str, Any]]) -> None:
    expected = sorted(2 * list(_planted()))
    caught = sorted(Path(row["provenance"].get("url", "")).name for row in rows)
    if caught != expected:
        raise SelfTestError("the demo's quarantine does not hold exactly what was planted")
