"""One worker process of two that misses what is listed fails the run; nothing is admitted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import Job, write_webdataset

_TESTS = Path(__file__).parent


def test_a_blind_worker_among_two_fails_the_run(job: Callable[..., Job], tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing", per_shard=1))  # both have work
    command = [str(Path(sys.executable).parent / "ingestgate"), "run", "--workers", "2"]
    blind = tmp_path / "blind"
    done = subprocess.run(
        [
            *(*command, "--input", *gate.inputs, *gate.folders, "--lists", gate.lists),
            *("--recipient", gate.recipient, "--json"),
        ],
        env={**os.environ, "PYTHONPATH": str(_TESTS / "blind"), "INGESTGATE_BLIND": str(blind)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert blind.exists(), "no worker was blind"
    assert done.returncode == 4, done.stderr
    report = json.loads((gate.evidence / "report.json").read_text())
    assert report["exit_code"] == 4
    assert "list partner version 3: its md5 canary was not caught by content" in report["error"]
    assert not [path for path in gate.output.rglob("*") if path.is_file()]
    assert not list((gate.evidence / "receipts").rglob("*.json"))
