"""The whole way on pictures of your own: three formats, planted matches, kills, census.

    python -m benchmarks.acceptance --images DIR... --to DIR [--kills N] [--json]

Builds landing zones from the pictures with 100 synthetic matches and 50 listed sources planted,
runs the gate on each format, and checks: everything planted is quarantined and nothing else,
the census is exact, the decisions are the same in all formats, with one and two workers, and
on Beam's portable runner; and a run that is killed at seeded moments and run again ends in the
same bytes as an undisturbed one.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds

from benchmarks.landing_zone import LandingZone, build

FORMATS = ("webdataset", "parquet", "folder")
PORTABLE = ("--", "--runner=PortableRunner", "--job_endpoint=embed")
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
# What differs between two runs by nature: the vault's random keys, and times.
_VOLATILE = {"sealed_key_sha256", "sealed_sha256", "sealed_size", "judged_at", "sealed_at"}


class NotAccepted(AssertionError):  # noqa: N818
    """Something that has to hold does not."""


def check(holds: bool, what: str) -> None:
    """Raises unless something holds."""
    if not holds:
        raise NotAccepted(what)


def call(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command of the gate's in a process of its own."""
    program = str(Path(sys.executable).parent / "ingestgate")
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True)


class Gate:
    """Runs the command line on one landing zone.

    Args:
        inputs: ``--input``.
        lists: ``--lists``.
        recipient: ``--recipient``.
        to: Folder for the outputs.
    """

    def __init__(self, inputs: str, lists: Path, recipient: str, to: Path) -> None:
        self.inputs, self.lists, self.recipient, self.to = inputs, lists, recipient, to

    @property
    def folders(self) -> list[str]:
        """The options that name the run's folders."""
        names = ("output", "quarantine", "evidence")
        return [part for name in names for part in (f"--{name}", str(self.to / name))]

    def command(self, *extra: str) -> list[str]:
        """Returns the command of a run, for a process that is watched."""
        return [str(Path(sys.executable).parent / "ingestgate"), *self._run(*extra)]

    def _run(self, *extra: str) -> list[str]:
        options = ["--input", self.inputs, *self.folders, "--lists", str(self.lists)]
        return ["run", *options, "--recipient", self.recipient, "--json", *extra]

    def run(self, *extra: str) -> dict[str, Any]:
        """Runs to the end and returns the report."""
        done = call(self._run(*extra))
        check(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-2000:]}")
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def census(self) -> dict[str, Any]:
        """Takes the census."""
        done = call(["census", "--json", "--input", self.inputs, *self.folders])
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def ledger(self) -> list[dict[str, Any]]:
        """Returns the ledger's rows, in order of shard and position."""
        table = ds.dataset(self.to / "evidence" / "ledger", format="parquet").to_table()
        rows: list[dict[str, Any]] = table.sort_by(
            [("shard", "ascending"), ("position", "ascending")]
        ).to_pylist()
        return rows

    def manifest(self) -> list[dict[str, Any]]:
        """Returns the manifest's rows without what differs by nature."""
        rows = []
        for path in sorted((self.to / "quarantine" / "manifest").glob("*.jsonl")):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                # Objects are named for their ciphertext, which has new keys each time.
                for name in ("sealed_object", "sealed_key"):
                    row[name] = str(Path(row[name]).parent)
                rows.append({k: v for k, v in row.items() if k not in _VOLATILE})
        return rows

    def state(self) -> dict[str, Any]:
        """Returns all that has to be the same however often a run was interrupted."""
        sealed = self.to / "quarantine"
        objects = {p.parent for name in ("keys", "objects") for p in (sealed / name).rglob("*.age")}
        return {
            "output": tree(self.to / "output"),
            "ledger": self.ledger(),
            "manifest": self.manifest(),
            "objects": sorted(str(p.relative_to(sealed)) for p in objects),
        }


def tree(root: Path) -> dict[str, str]:
    """Returns path and SHA-256 of every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def decisions(gate: Gate, format: str) -> dict[str, Any]:
    """Returns what was decided about each asset, by its key, whatever the format."""
    decided = {}
    for row in gate.ledger():
        key = dict(row["provenance"]).get("key", row["sample"])
        if format != "parquet":
            key = Path(row["member"]).name.split(".")[0]
        found = sorted(
            (f["list_id"], f["entry_id"], f["signal_type"], f["distance"]) for f in row["findings"]
        )
        decided[key] = (row["verdict"], row["reason"], row["tier"], found)
    return decided


def check_run(gate: Gate, zone: LandingZone, format: str) -> dict[str, Any]:
    """Checks one finished run; returns its decisions."""
    decided = decisions(gate, format)
    check(set(decided) == {asset.key for asset in zone.assets}, f"{format}: not every asset once")
    caught = {key for key, (verdict, *_) in decided.items() if verdict == "quarantined"}
    missed, extra = zone.planted - caught, caught - zone.planted
    check(not missed, f"{format}: planted, not caught: {sorted(missed)}")
    check(not extra, f"{format}: caught, not planted: {sorted(extra)}")
    census = gate.census()
    check(census["exact"], f"{format}: census: {census['problems']}")
    return decided


def check_resumed(gate: Gate, *extra: str) -> float:
    """Checks that a finished run does nothing the second time; returns its seconds.

    But for its report, which every run adds to those before.
    """
    before = tree(gate.to)
    started = time.monotonic()
    report = gate.run(*extra)
    seconds = time.monotonic() - started
    check(report["shards"]["done"] == 0, "a finished run was done again")
    after = tree(gate.to)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    changed -= {"evidence/report.json", "evidence/report.html"}
    reports = {name for name in changed if name.startswith("evidence/reports/")}
    check(changed == reports, f"a finished run changed {changed - reports}")
    check(len(reports) == 1 and not reports & set(before), f"it left {len(reports)} reports")
    return seconds


def kill(gate: Gate, moment: float, victim: str, *extra: str) -> bool:
    """Starts a run and kills its driver or a worker after some seconds.

    Returns:
        Whether there was still something to kill.
    """
    with subprocess.Popen(
        gate.command("--workers", "2", *extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        driver = psutil.Process(process.pid)
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        target = _victim(driver, victim)
        if target is None:
            process.wait()
            return False
        workers = driver.children(recursive=True)
        os.kill(target, signal.SIGKILL)
        killed_at = time.monotonic()
        process.wait(timeout=60)
        check(process.returncode != 0, "a run whose worker was killed ended as if done")
        check(time.monotonic() - killed_at < 10, "a dead worker was noticed late")
        _, left = psutil.wait_procs(workers, timeout=10)
        check(not left, "workers outlived their run")
    return True


def _victim(driver: psutil.Process, which: str) -> int | None:
    try:
        if which == "driver":
            return driver.pid if driver.is_running() else None
        workers = [p for p in driver.children(recursive=True) if "local_worker" in _line(p)]
        return workers[0].pid if workers else None
    except psutil.NoSuchProcess:
        return None


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def check_kills(zone: LandingZone, recipient: str, to: Path, kills: int, seed: int) -> list[str]:
    """Kills driver and worker at seeded moments, runs again, and compares with one calm run."""
    moments = random.Random(seed)
    said = []
    for format in FORMATS:
        calm = Gate(zone.inputs(format), zone.root / "lists", recipient, to / f"calm-{format}")
        started = time.monotonic()
        calm.run("--workers", "2")
        length = time.monotonic() - started
        expected = calm.state()
        for victim in ("driver", "worker"):
            for number in range(kills):
                folder = to / f"killed-{format}-{victim}-{number}"
                gate = Gate(zone.inputs(format), zone.root / "lists", recipient, folder)
                # Workers take a while to start; the moments lie where there is work.
                first = 0.5 if victim == "driver" else length * 0.35
                moment = moments.uniform(first, length)
                hit = kill(gate, moment, victim)
                report = gate.run("--workers", "2")
                check(report["exit_code"] == 0, "the run after a kill failed")
                state = gate.state()
                for part in expected:
                    check(state[part] == expected[part], f"{folder.name}: {part} differs")
                done = report["shards"]["finished_before"]
                said.append(
                    f"{format}: {victim} killed after {moment:.1f} of {length:.1f} s"
                    f"{'' if hit else ' (it had ended)'}, {done} shards finished then: same bytes"
                )
                print(said[-1], file=sys.stderr, flush=True)
    return said


def pictures_below(folders: Iterable[str]) -> list[Path]:
    """Returns the picture files below folders, sorted."""
    return sorted(
        path
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in _PICTURES
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the acceptance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", nargs="+", required=True, metavar="DIR")
    parser.add_argument("--to", required=True, type=Path, metavar="DIR")
    parser.add_argument("--matches", type=int, default=100)
    parser.add_argument("--sources", type=int, default=50)
    parser.add_argument("--kills", type=int, default=0, help="per format and victim")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    zone = build(
        pictures_below(given.images),
        given.to / "landing",
        matches=given.matches,
        sources=given.sources,
        seed=given.seed,
    )
    from ingestgate.quarantine.keys import generate_identity

    recipient = generate_identity(str(given.to / "identity.txt"))
    results: dict[str, Any] = {"assets": len(zone.assets), "seed": given.seed, "formats": {}}
    decided = {}
    for format in FORMATS:
        gate = Gate(zone.inputs(format), zone.root / "lists", recipient, given.to / format)
        report = gate.run("--workers", "2")
        decided[format] = check_run(gate, zone, format)
        expected = gate.state()
        for name, extra in (("1 worker", ("--workers", "1")), ("portable", PORTABLE)):
            folder = given.to / f"{format}-{name.replace(' ', '-')}"
            other = Gate(zone.inputs(format), zone.root / "lists", recipient, folder)
            other.run(*extra)
            check(other.state() == expected, f"{format}: {name} gives something else")
        results["formats"][format] = {
            "counts": report["counts"],
            "tiers": report["tiers"],
            "reasons": report["reasons"],
            "seconds": report["throughput"]["seconds"],
            "second_run_seconds": round(check_resumed(gate), 2),
        }
        print(f"{format}: {results['formats'][format]}", file=sys.stderr, flush=True)
    for format in FORMATS[1:]:
        check(decided[format] == decided[FORMATS[0]], f"{format} decides otherwise")
    if given.kills:
        results["kills"] = check_kills(zone, recipient, given.to, given.kills, given.seed)
    print(json.dumps(results, indent=None if given.json else 1))


if __name__ == "__main__":
    main()
