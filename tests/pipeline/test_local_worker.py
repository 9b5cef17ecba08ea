"""A worker does not outlive the process that started it."""

import subprocess
import sys

import psutil
import pytest

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
