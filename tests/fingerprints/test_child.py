import signal
import socket
import subprocess
import sys
from contextlib import suppress

import psutil

from ingestgate.fingerprints.isolated import _execute
from ingestgate.fingerprints.shared_bytes import SharedBytes

_STARTS_AND_IS_KILLED = """
import os, signal, psutil
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits

fingerprinter = IsolatedFingerprinter([], DecodeLimits())
fingerprinter.measures
(child,) = psutil.Process().children()
# The child's end must not be what the end of its socket does: somebody else holds it too.
os.set_inheritable(fingerprinter._starter.child()._channel.fileno(), True)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

_LOADS_WHAT_THE_CHILD_LOADS = """
import sys
from ingestgate.fingerprints import child
from ingestgate.fingerprints.perceptual import perceptual_hashes

child._load(child.Fingerprinter(perceptual_hashes(), child.DecodeLimits()))
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_the_child_loads_nothing_that_only_the_gate_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADS_WHAT_THE_CHILD_LOADS],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert {"PIL", "numpy", "ingestgate"} <= loaded
    unwanted = {"pyarrow", "pandas", "apache_beam", "cryptography", "pyrage", "fsspec", "pydantic"}
    assert loaded & unwanted == set()


def test_the_child_ends_with_a_gate_that_is_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STARTS_AND_IS_KILLED], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(timeout=30)


def test_the_child_ends_when_its_socket_does() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = _execute(theirs, SharedBytes(1))
    ours.close()
    assert process.wait(timeout=60) == 0
