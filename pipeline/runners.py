"""Running the graph: Beam's options, and an end within seconds when a local worker dies.

Beam's local runner waits for ever for a worker process that is gone; the thread that minds the
process raises, though, and that is what is listened for here.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil

from ingestgate.assets.errors import GateError, UsageError

_WORKER_THREAD = "run_worker"
_RAISED = re.compile(r"^ingestgate\.assets\.errors\.\w+: (.*)$", re.MULTILINE)


class RunFailedError(GateError):
    """The Beam job ended without doing all of its work."""


def beam_arguments(given: Sequence[str], workers: int) -> list[str]:
    """Returns the arguments for Beam: the caller's, and ours where the caller says nothing.

    The local default is FnApiRunner (pinned: Beam's own default downloads a runner) with one
    process per worker.
    """
    if any(argument.split("=")[0] in ("--runner", "-r") for argument in given):
        return list(given)
    mode = "in_memory" if workers == 1 else "multi_processing"
    return [
        "--runner=FnApiRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        *given,
    ]


def run_job(
    build: Callable[..., None], arguments: Sequence[str], *, poll: Callable[[], None]
) -> None:
    """Builds and runs a pipeline to its end.

    Args:
        build: Called with the empty pipeline.
        arguments: Beam's arguments.
        poll: Called a few times a second while the job runs (progress).

    Raises:
        UsageError: Beam does not take the arguments.
        RunFailedError: The job failed, or a local worker process died. Threads of a dead job
            may be left: end the process by `os._exit` after this.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    failures: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            pipeline = beam.Pipeline(options=options)
            build(pipeline)
            pipeline.run().wait_until_finish()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failures.append(error)
        ended.set()

    def worker_died(error: BaseException) -> None:
        failures.append(RunFailedError(f"a worker process died ({error})"))
        ended.set()

    try:
        options = PipelineOptions(list(arguments))
    except SystemExit as error:
        raise UsageError("Beam does not take the options after `--`") from error
    with _listening_for_dead_workers(worker_died):
        threading.Thread(target=run, name="beam job", daemon=True).start()
        try:
            while not ended.wait(0.2):
                poll()
        except BaseException:
            _end_children()
            raise
    poll()
    if failures:
        _end_children()
        raise _explained(failures[0]) from failures[0]


@contextmanager
def _listening_for_dead_workers(report: Callable[[BaseException], None]) -> Iterator[None]:
    previous = threading.excepthook

    def listen(raised: threading.ExceptHookArgs) -> None:
        if raised.thread is not None and raised.thread.name == _WORKER_THREAD:
            report(raised.exc_value or RuntimeError("unknown"))
        else:
            previous(raised)

    threading.excepthook = listen
    try:
        yield
    finally:
        threading.excepthook = previous


def _end_children() -> None:
    """Ends the local worker processes, which would wait for a driver that has given up."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def _explained(error: BaseException) -> GateError:
    if isinstance(error, GateError):
        return error
    # Beam hands the worker's traceback on as text; the last of our own errors in it is why.
    reasons = _RAISED.findall(str(error))
    if reasons:
        return RunFailedError(reasons[-1])
    logging.getLogger(__name__).debug("the job failed", exc_info=error)
    return RunFailedError(f"the Beam job failed: {str(error).strip().splitlines()[-1][:500]}")
