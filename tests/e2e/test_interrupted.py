"""Interrupted anywhere and run again, a run ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ingestgate.pipeline.runners import _is_alive
from tests.archives import make_tar
from tests.e2e.conftest import WRITERS, Job
from tests.faults.layer import FaultLayer
from tests.faults.zones import ZONES
from tests.pictures import jpeg

MakeJob = Callable[..., Job]


_SHARD = ("quarantine", "quarantine", "output", "receipt")


@pytest.mark.parametrize(
    ("format", "order"),
    [
        (
            "webdataset",
            ["keys", "objects", "keys", "objects", *_SHARD, "keys", "objects", *_SHARD],
        ),
        ("urls", ["keys", "objects", *_SHARD]),
    ],
)
def test_the_order_is_sealed_then_manifest_then_admitted_then_receipt(
    job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    order: list[str],
) -> None:
    gate = job(ZONES[format](tmp_path / "landing"))
    layer = FaultLayer(monkeypatch.setattr, tmp_path)
    gate.report()
    kinds = []
    for target in (path for name, path in layer.operations if name == "replace"):
        relative = Path(target).relative_to(gate.root)
        sealed = {"keys", "objects"} & set(relative.parts)
        kinds.append(sealed.pop() if sealed else relative.parts[0])
        if relative.parts[:2] == ("evidence", "receipts"):
            kinds[-1] = "receipt"
    committed = [kind for kind in kinds if kind != "evidence"]
    assert committed == order


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


def test_a_lost_output_is_written_again_and_its_shard_reported_once(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    assert sum(gate.report()["since_last_report"]["counts"].values()) == 12
    lost = gate.output / "00000.tar"
    admitted = lost.read_bytes()
    lost.unlink()
    report = gate.report()
    assert report["shards"]["done"] == 1
    assert lost.read_bytes() == admitted
    assert sum(report["since_last_report"]["counts"].values()) == 0
    assert gate.census()["exact"]


def test_parts_of_an_earlier_judging_go_wherever_they_stand(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report("--dry-run")
    folder = gate.evidence / "ledger" / "00000.tar.parts"
    if not folder.exists():
        (folder,) = gate.evidence.rglob("00000.tar.parts")
    own = folder / "part-00000.parquet"
    # Of an earlier judging that had more ranges, and of which some were never judged.
    beyond = gate.evidence / "ledger" / "00000.tar.parts" / "part-00002.parquet"
    beyond.parent.mkdir(parents=True, exist_ok=True)
    beyond.write_bytes(own.read_bytes())
    # A shard in a folder that is called as these parts' is.
    other = beyond.parent / "x.tar.parts" / "part-00000.parquet"
    other.parent.mkdir()
    other.write_bytes(own.read_bytes())
    gate.report()
    assert {path.name for path in beyond.parent.iterdir()} == {own.name, "x.tar.parts"}
    assert other.exists()


def test_a_finished_run_does_nothing(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()

    def marks() -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for path in gate.root.rglob("*")
            # Every run keeps its report.
            if path.is_file() and path.parent not in (gate.evidence, gate.evidence / "reports")
        }

    before = marks()
    report = gate.report()
    assert report["shards"] == {
        "total": 2,
        "finished_before": 2,
        "left_out": 0,
        "done": 0,
        "replaced": [],
        "failed": [],
    }
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


def test_killed_and_run_again(job: MakeJob, tmp_path: Path) -> None:
    """Killed (-9) or interrupted in the middle of judging, with worker processes; and again.

    Of enough work that it cannot be done before three signals have come.
    """
    pattern = WRITERS["webdataset"](tmp_path / "landing")
    large = [jpeg(200 + number, (1800, 1350)) for number in range(8)]
    for shard in (10, 11):
        items = [(f"{shard}-{number}.jpg", content) for number, content in enumerate(large * 2)]
        (tmp_path / "landing" / f"{shard:05d}.tar").write_bytes(make_tar(items))
    (tmp_path / "policy.yaml").write_text("range_bytes: 9000\n")
    policy = ("--policy", str(tmp_path / "policy.yaml"))
    gate = job(pattern)
    for victim in ("terminate", "worker", "run"):
        _interrupt(gate, victim, *policy)
    gate.report(*policy)
    calm = gate.elsewhere("calm")
    calm.report(*policy)
    assert gate.state() == calm.state()
    assert gate.census()["exact"]


def _interrupt(gate: Job, victim: str, *policy: str) -> None:
    """Runs with two workers until a further range is judged, and ends one of the processes."""
    parts = gate.evidence / "ledger"
    before = len(list(parts.rglob("part-*.parquet")))
    program = [str(Path(sys.executable).parent / "ingestgate"), "run", "--workers", "2"]
    command = [*program, "--input", *gate.inputs, *gate.folders, "--lists", gate.lists]
    with subprocess.Popen(
        [*command, "--recipient", gate.recipient, *policy],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        driver = psutil.Process(process.pid)
        while process.poll() is None and len(list(parts.rglob("part-*.parquet"))) == before:
            _wait(process)
        assert process.poll() is None, (victim, process.communicate()[1])
        started = driver.children(recursive=True)
        workers = [each for each in started if any("local_worker" in a for a in each.cmdline())]
        assert len(started) > len(workers) > 0  # the others decode
        if victim == "terminate":
            process.send_signal(signal.SIGTERM)
        else:
            os.kill(process.pid if victim == "run" else workers[-1].pid, signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        _, alive = psutil.wait_procs(filter(_is_alive, started), timeout=10)
    assert not alive, victim
    if victim == "run":
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 1, said
        assert ("a worker process died" if victim == "worker" else "interrupted") in said


def _wait(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(timeout=0.005)
    except subprocess.TimeoutExpired:
        return
