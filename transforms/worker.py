"""What a worker process owes its run."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Asks the kernel to end this process when the run that started it is gone.

    A local worker whose driver was killed would otherwise go on writing beside the next run.
    Does nothing off Linux, or where the process was not started by a run on this machine.
    """
    if sys.platform != "linux" or "CONTROL_API_SERVICE_DESCRIPTOR" not in os.environ:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
