"""Interrupted anywhere and run again, a run ends as if nothing had happened."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.archives import make_tar
from tests.e2e.conftest import WRITERS, Job
from tests.pictures import jpeg

MakeJob = Callable[..., Job]


class Faults:
    """Counts the calls of an ``os`` function below a folder, and lets one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, below: Path) -> None:
        self.calls: list[str] = []
        self.fail_at: int | None = None
        real = getattr(os, name)

        def call(*arguments: Any, **more: Any) -> Any:
            last = arguments[-1]
            target = os.readlink(f"/proc/self/fd/{last}") if isinstance(last, int) else str(last)
            if not target.startswith(str(below)):
                return real(*arguments, **more)
            self.calls.append(target)
            if len(self.calls) - 1 == self.fail_at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments, **more)

        monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("format", list(WRITERS))
@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failure_at_any_write_admits_nothing_wrong_and_is_made_good(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, function: str
) -> None:
    calm = job(WRITERS[format](tmp_path / "landing"))
    faults = Faults(monkeypatch, function, tmp_path)
    calm.report()
    expected = calm.state()
    points = len(faults.calls)
    assert points > 5
    for point in range(points):
        gate = calm.elsewhere(f"fails-{point}")
        faults.calls.clear()
        faults.fail_at = point
        failed = gate.run()
        # The report itself is among what can fail; then the run has failed all the same.
        assert failed.exit_code == 1, (point, faults.calls[point])
        for name, admitted in _files(gate.output).items():
            assert admitted == expected["output"][name], point
        _check_sealed_before_admitted(gate)
        faults.fail_at = None
        gate.report()
        assert gate.state() == expected, point
    assert gate.census()["exact"]


def _files(root: Path) -> dict[str, bytes]:
    """What is under a final name."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not any(part.endswith(".partial") for part in path.parts)
    }


def _check_sealed_before_admitted(gate: Job) -> None:
    sealed = {row["shard"] for row in gate.manifest()}
    for row in gate.manifest():
        assert (gate.quarantine / row["sealed_key"]).exists()
        assert (gate.quarantine / row["sealed_object"]).exists()
    for shard in {row["shard"] for row in gate.ledger() if row["verdict"] == "quarantined"}:
        if (gate.output / shard).exists():
            assert shard in sealed


def test_the_order_is_sealed_then_manifest_then_admitted_then_receipt(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    renames = Faults(monkeypatch, "replace", tmp_path)
    gate.report()
    kinds = []
    for target in renames.calls:
        relative = Path(target).relative_to(gate.root)
        sealed = {"keys", "objects"} & set(relative.parts)
        kinds.append(sealed.pop() if sealed else relative.parts[0])
        if relative.parts[:2] == ("evidence", "receipts"):
            kinds[-1] = "receipt"
    committed = [kind for kind in kinds if kind != "evidence"]
    assert committed == [
        *("keys", "objects", "keys", "objects", "quarantine", "quarantine", "output", "receipt"),
        *("keys", "objects", "quarantine", "quarantine", "output", "receipt"),
    ]


def test_only_judged_bytes_are_admitted(job: MakeJob, tmp_path: Path) -> None:
    WRITERS["webdataset"](tmp_path / "landing")
    gate = job(str(tmp_path / "landing" / "00001.tar"))
    gate.report("--dry-run")
    assert not gate.output.exists()
    assert not gate.quarantine.exists()
    shard = tmp_path / "landing" / "00001.tar"
    status = shard.stat()
    raw = bytearray(shard.read_bytes())
    raw[512 + 200] ^= 1  # in the first picture's bytes; size and time stay
    shard.write_bytes(raw)
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = gate.report(code=1)
    (failed,) = report["shards"]["failed"]
    assert failed["shard"] == "00001.tar"
    assert "no longer what was judged" in failed["problem"]
    assert not (gate.output / "00001.tar").exists()
    # What is there now is judged anew by the next run.
    gate.report()
    assert gate.census()["exact"]


def test_a_damaged_ledger_part_is_judged_again(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report("--dry-run")
    part = gate.evidence / "ledger" / "00000.tar.parts" / "part-00000.parquet"
    whole = part.read_bytes()
    for damaged in (whole[:-40], b"", whole[:200] + bytes(50) + whole[250:]):
        part.write_bytes(damaged)
        first = gate.run()
        if first.exit_code:
            assert gate.run().exit_code == 0
        assert gate.census()["exact"]
        gate.run("--no-resume", "--dry-run")
        for receipt in (gate.evidence / "receipts").glob("*"):
            receipt.unlink()


def test_a_finished_run_does_nothing(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()

    def marks() -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for path in gate.root.rglob("*")
            if path.is_file() and path.parent != gate.evidence
        }

    before = marks()
    report = gate.report()
    assert report["shards"] == {"total": 2, "finished_before": 2, "done": 0, "failed": []}
    assert report["counts"]["quarantined"] == 3
    assert marks() == before


def test_new_rules_judge_again_and_an_earlier_manifest_stays(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    earlier = gate.manifest()
    (tmp_path / "policy.yaml").write_text("lists: {partner: {action: observe}}\n")
    report = gate.report("--policy", str(tmp_path / "policy.yaml"))
    assert report["shards"]["done"] == 2
    assert report["counts"] == {"admitted": 12, "quarantined": 0, "unscannable": 0}
    assert gate.manifest() == earlier
    for row in earlier:
        assert (gate.quarantine / row["sealed_object"]).exists()
    assert gate.census()["exact"]


def test_ranges_and_order_do_not_change_the_outcome(job: MakeJob, tmp_path: Path) -> None:
    for format, write in WRITERS.items():
        gate = job(write(tmp_path / f"landing-{format}")).elsewhere(f"whole-{format}")
        gate.report()
        (tmp_path / "policy.yaml").write_text("range_bytes: 9000\n")
        cut = gate.elsewhere(f"cut-{format}")
        cut.report("--policy", str(tmp_path / "policy.yaml"))
        parts = list((cut.evidence / "ledger").rglob("*.parquet"))
        assert len(parts) > len(list((gate.evidence / "ledger").rglob("*.parquet")))
        assert cut.state()["output"] == gate.state()["output"]
        assert cut.state()["ledger"] == gate.state()["ledger"]


@pytest.mark.parametrize("victim", ["run", "worker", "interrupt"])
def test_killed_and_run_again(job: MakeJob, tmp_path: Path, victim: str) -> None:
    """Killed (-9) or interrupted once the first range is judged, with worker processes."""
    pattern = WRITERS["webdataset"](tmp_path / "landing")
    # Enough work that it cannot be done before the signal comes.
    large = [jpeg(200 + number, (1200, 900)) for number in range(8)]
    for shard in range(10, 14):
        items = [(f"{shard}-{number}.jpg", content) for number, content in enumerate(large * 2)]
        (tmp_path / "landing" / f"{shard:05d}.tar").write_bytes(make_tar(items))
    (tmp_path / "policy.yaml").write_text("range_bytes: 9000\n")
    policy = ("--policy", str(tmp_path / "policy.yaml"))
    calm = job(pattern)
    calm.report(*policy)
    gate = calm.elsewhere("killed")
    program = [str(Path(sys.executable).parent / "ingestgate"), "run", "--workers", "2"]
    command = [*program, "--input", *gate.inputs, *gate.folders, "--lists", gate.lists]
    with subprocess.Popen(
        [*command, "--recipient", gate.recipient, *policy],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        driver = psutil.Process(process.pid)
        parts = gate.evidence / "ledger"
        while process.poll() is None and not list(parts.rglob("part-*.parquet")):
            _wait(process)
        assert process.poll() is None, process.communicate()[1]
        started = driver.children(recursive=True)
        workers = [each for each in started if any("local_worker" in a for a in each.cmdline())]
        assert len(started) > len(workers) > 0  # the others decode
        if victim == "interrupt":
            process.send_signal(signal.SIGINT)
        else:
            os.kill(process.pid if victim == "run" else workers[-1].pid, signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive
    if victim == "interrupt":
        assert process.returncode == 1
        assert "interrupted" in said
    elif victim == "worker":
        assert process.returncode == 1
        assert "a worker process died" in said
    else:
        assert process.returncode == -signal.SIGKILL
    gate.report(*policy)
    assert gate.state() == calm.state()
    assert gate.census()["exact"]


def _wait(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(timeout=0.005)
    except subprocess.TimeoutExpired:
        return
