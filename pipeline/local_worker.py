"""A worker process of a local run: Beam's harness, quiet, and gone when its run is gone."""

import ctypes
import json
import logging
import os
import signal
import sys

from ingestgate.assets import storage

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Asks the kernel to end this process when the run that started it ends, however it ends.

    A worker whose run was killed would otherwise go on writing beside the next run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Runs Beam's worker harness with the environment that the runner has set.

    And with the run's options for Beam, its arguments, of which the runner tells it nothing: where
    a store is, for one.
    """
    end_with_parent()
    # The harness reports all it has to say to the run; what a person reads here is warnings.
    handler = logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler])
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.worker import sdk_worker_main

    options = PipelineOptions(storage.beam_options(sys.argv[1:]))
    os.environ["PIPELINE_OPTIONS"] = json.dumps(options.get_all_options(drop_default=True))
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
