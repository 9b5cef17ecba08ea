"""Kills a worker process (-9) at one of the changes it makes to a folder.

Imported by every Python process that has this folder on its path; the environment says which is
meant: ``INGESTGATE_KILL_WORKER_AT``, the number of the change, and ``INGESTGATE_KILL_BELOW``.
"""

import os
import signal
import sys
from pathlib import Path

if any("local_worker" in argument for argument in sys.orig_argv):
    sys.path.insert(0, os.environ["INGESTGATE_KILL_TESTS"])
    from tests.faults.layer import FaultLayer

    layer = FaultLayer(setattr, Path(os.environ["INGESTGATE_KILL_BELOW"]))
    at = int(os.environ["INGESTGATE_KILL_WORKER_AT"])
    layer.arm(at, lambda: os.kill(os.getpid(), signal.SIGKILL), for_ever=False)
