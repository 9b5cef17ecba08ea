"""All benchmarks, one after another, into one file of results, and the page that shows them.

    python -m benchmarks [--images DIR] [--only NAME]... [--small] [--to FILE] [--scratch DIR]

Each is a command of its own that can be run by hand; what it printed is kept under its name, with
the command and how long it took. ``--only`` runs some again and keeps the others' results. Peers
are measured where they are installed (``make bench`` sees to it). An hour and a half on two
cores; with ``--small``, minutes, for trying it out.
"""

import json
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks.machine import machine, versions
from benchmarks.page import write_page
from benchmarks.pictures import demo_photographs


class Step(NamedTuple):
    """One benchmark.

    Attributes:
        name: In the results.
        module: Below ``benchmarks``.
        whole: Its options, ``IMAGES`` and ``SCRATCH`` standing for folders.
        small: Likewise, for a trial in minutes.
    """

    name: str
    module: str
    whole: str
    small: str


STEPS = (
    Step("fingerprints", "fingerprints", "--images IMAGES", "--images IMAGES --count 8"),
    Step(
        "gate",
        "gate",
        "--images IMAGES --workers 1 --workers 2",
        "--images IMAGES --assets 60 --rounds 1 --entries 20000",
    ),
    Step(
        "gate_mixed_formats",
        "gate",
        "--images IMAGES --mixed",
        "--images IMAGES --mixed --side 512 --assets 60 --rounds 1 --entries 20000",
    ),
    Step(
        "gate_10_million",
        "gate",
        "--images IMAGES --entries 10000000 --to SCRATCH",
        "--images IMAGES --side 512 --assets 60 --rounds 1 --entries 40000",
    ),
    Step("matching_1_million", "matching", "--entries 1000000 --images IMAGES", "--entries 20000"),
    Step(
        "matching_10_million",
        "matching",
        "--entries 10000000 --images IMAGES --to SCRATCH",
        "--entries 40000",
    ),
    Step("sources", "sources", "", "--listed 1000 --urls 20000"),
    Step("manifests", "manifests", "", "--rows 20000 --listed 1000"),
    Step(
        "rescan",
        "rescan",
        "--to SCRATCH",
        "--assets 20000 --delta 1000 --list 20000 --to SCRATCH",
    ),
    Step("verify", "verify", "--to SCRATCH", "--gigabytes 0.2 --to SCRATCH"),
    Step("isolation", "isolation", "--images IMAGES", "--images IMAGES --count 8"),
    Step(
        "growth",
        "growth",
        "--to SCRATCH",
        "--assets 1000 --assets 2000 --entries 20000 --entries 40000 --to SCRATCH",
    ),
)


def run(step: Step, options: str, images: Path, scratch: Path) -> dict[str, Any]:
    """Runs one benchmark; returns its figures, or what went wrong, with the command."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        words = {"IMAGES": str(images), "SCRATCH": folder}
        arguments = [words.get(word, word) for word in options.split()]
        command = [sys.executable, "-m", f"benchmarks.{step.module}", *arguments, "--json"]
        started = time.monotonic()
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    shown = shlex.join(["python", "-m", f"benchmarks.{step.module}", *options.split(), "--json"])
    result: dict[str, Any] = {
        "command": shown,
        "seconds": round(time.monotonic() - started),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        result["figures"] = json.loads(done.stdout)
    except ValueError:
        result["failed"] = f"exit code {done.returncode}"
    return result


@click.command(help=__doc__)
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of benign pictures; default: the demo's photographs.",
)
@click.option("--only", multiple=True, type=click.Choice([step.name for step in STEPS]))
@click.option("--small", is_flag=True, help="Too small for figures; to see that all of it runs.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(__file__).parent / "results.json",
    help="Results; the page goes beside it.  [default: benchmarks/results.json]",
)
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(tempfile.gettempdir()),
    show_default=True,
    help="On a disk with 60 GB of room; a file system in memory will not do.",
)
def main(images: Path | None, only: tuple[str, ...], small: bool, to: Path, scratch: Path) -> None:
    images = images or demo_photographs()
    results = json.loads(to.read_text()) if only and to.exists() else {"benchmarks": {}}
    results |= {
        "machine": machine(),
        "versions": versions(),
        "small": small,
    }
    chosen = [step for step in STEPS if not only or step.name in only]
    started = time.monotonic()
    for number, step in enumerate(chosen, 1):
        minutes = (time.monotonic() - started) / 60
        click.echo(f"{number} of {len(chosen)}: {step.name} ({minutes:.0f} min so far)", err=True)
        options = step.small if small else step.whole
        results["benchmarks"][step.name] = run(step, options, images, scratch)
        to.write_text(json.dumps(results, indent=1) + "\n")
    write_page(results, to.parent)
    failed = [step.name for step in chosen if "failed" in results["benchmarks"][step.name]]
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
