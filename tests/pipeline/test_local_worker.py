"""A worker does not outlive the process that started it, and goes by its options."""

import json
import os
import subprocess
import sys

import psutil
import pytest
from apache_beam.runners.worker import sdk_worker_main

from ingestgate.assets.storage.remote import BEAM_OPTIONS
from ingestgate.pipeline import local_worker

_WORKER = """
import signal
from ingestgate.pipeline.local_worker import end_with_parent
end_with_parent()
print("ready", flush=True)
signal.pause()
"""
_PARENT = f"""
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {_WORKER!r}], stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
os._exit(9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means, on Linux only")
def test_it_ends_with_its_parent() -> None:
    parent = subprocess.run([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, check=False)
    assert parent.returncode == 9
    try:
        worker = psutil.Process(int(parent.stdout))
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs([worker], timeout=5)
    for process in alive:
        process.kill()
    assert not alive


def test_the_runs_options_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_worker, "end_with_parent", lambda: None)
    monkeypatch.setenv("PIPELINE_OPTIONS", "{}")  # all that Beam's runner tells it
    monkeypatch.setenv(BEAM_OPTIONS, "--hdfs_host=there")
    monkeypatch.setattr(sys, "argv", ["local_worker", "--s3_endpoint_url=http://here"])
    seen: list[str] = []
    monkeypatch.setattr(
        sdk_worker_main, "main", lambda _: seen.append(os.environ["PIPELINE_OPTIONS"])
    )
    local_worker.main()
    (options,) = map(json.loads, seen)
    assert options == {"s3_endpoint_url": "http://here", "hdfs_host": "there"}
