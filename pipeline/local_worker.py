"""A worker process of a local run: Beam's harness, quiet, and gone when its run is gone."""

import ctypes
import logging
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Asks the kernel to end this process when the run that started it ends, however it ends.

    A worker whose run was killed would otherwise go on writing beside the next run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Runs Beam's worker harness with the environment that the runner has set."""
    end_with_parent()
    # The harness reports all it has to say to the run; what a person reads here is warnings.
    handler = logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler])
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
