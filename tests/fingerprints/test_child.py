import signal
import socket
import subprocess
import sys
from contextlib import suppress

import psutil

from ingestgate.fingerprints.isolated import _execute

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
        process = _execute(theirs)
    ours.close()
    assert process.wait(timeout=60) == 0
