"""Running the graph: Beam's options, and an end within seconds when a local worker dies.

Beam's local runner waits for ever for a worker process that is gone; the thread that minds the
process raises, though, and that is what is listened for here.
"""

import logging
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psutil

from ingestgate.assets import storage
from ingestgate.assets.errors import GateError, ListError, SelfTestError, UsageError

_log = logging.getLogger(__name__)
_WORKER_THREAD = "run_worker"
_CANCEL_S = 60.0  # a cluster takes its time
_SUBMIT_S = 5.0  # what is being submitted is cancelled if it is by then
_DEATH_S = 5.0  # a killed process is gone at once, unless its disk hangs
_RAISED = re.compile(r"^ingestgate\.assets\.errors\.(\w+): (.*)$", re.MULTILINE)
_PLACES = f"after `--` or in {storage.BEAM_OPTIONS}"
_NOT_TAKEN = f"Beam does not take the options {_PLACES}"
_WHERE = re.compile(r" \[while running '.*'\]$")


class RunFailedError(GateError):
    """The Beam job ended without doing all of its work."""


def _runner(arguments: Sequence[str], workers: int, given: Sequence[str]) -> tuple[Any, list[str]]:
    """Returns the runner (None: Beam takes it from the arguments) and Beam's arguments.

    The local default is FnApiRunner, pinned (Beam's own default downloads a runner), with one
    process per worker; a single worker needs no process of its own. The environment's arguments
    reach workers with the environment, the given ones on their command lines.
    """
    named = {argument.split("=")[0] for argument in arguments}
    if "--runner" in named:
        # Beam's embedded job server would start its workers in containers.
        embedded = "--job_endpoint=embed" in arguments and "--environment_type" not in named
        return None, [*arguments, *(["--environment_type=LOOPBACK"] if embedded else [])]
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    if workers == 1:
        return FnApiRunner(), ["--direct_num_workers=1", *arguments]
    # `exec`, so that no shell stands between the run and its worker.
    worker = [sys.executable, "-m", "ingestgate.pipeline.local_worker", *given]
    command = f"exec {shlex.join(worker)}"
    environment = SubprocessSDKEnvironment.from_command_string(command)
    return FnApiRunner(environment), [f"--direct_num_workers={workers}", *arguments]


def _refuse_unknown(options: Any, arguments: Sequence[str]) -> None:
    """Refuses what is no option of Beam's, which would pass over it and run locally."""
    known = options.get_all_options()
    unknown = options.get_all_options(retain_unknown_options=True).keys() - known.keys()
    named = [f"--{name}" for name in sorted(unknown)]
    # A word is an option's value, or nothing.
    stray = [
        word
        for before, word in pairwise(["", *arguments])
        if not word.startswith("-") and ("=" in before or not before.startswith("-"))
    ]
    if named or stray:
        raise UsageError(f"{', '.join(named + stray)} {_PLACES}: Beam has no such option")


def check_beam_options(given: Sequence[str]) -> None:
    """Refuses options that Beam does not take, whether or not there is work for it.

    Args:
        given: The caller's arguments for Beam, which follow those of the environment.

    Raises:
        UsageError: Beam does not take one, or has no such option or runner.
    """
    wanted = storage.beam_options(given)
    if not wanted:
        return
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.runner import create_runner

    options = PipelineOptions(wanted)
    try:
        if name := options.view_as(StandardOptions).runner:
            create_runner(name)  # whose job service may have options of its own
        else:
            _refuse_unknown(options, wanted)
    except SystemExit as error:  # how Beam's option parser gives up
        raise UsageError(_NOT_TAKEN) from error
    except (AttributeError, ImportError, ValueError) as error:
        raise UsageError(f"--runner {_PLACES}: {error}") from error


def run_job(
    build: Callable[..., None],
    arguments: Sequence[str],
    *,
    workers: int,
    poll: Callable[[], None],
) -> None:
    """Builds and runs a pipeline to its end.

    Args:
        build: Called with the empty pipeline.
        arguments: The caller's arguments for Beam, after those of the environment; a
            ``--runner`` among them is used.
        workers: Local worker processes, where the caller names no runner.
        poll: Called a few times a second while the job runs (progress).

    Raises:
        UsageError: As `check_beam_options` does.
        RunFailedError: The job failed, or a local worker process died. Threads of a dead job
            may be left: end the process by `os._exit` after this.
        KeyboardInterrupt: SIGINT or SIGTERM came while the job ran; it is cancelled.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineState

    check_beam_options(arguments)
    runner, taken = _runner(storage.beam_options(arguments), workers, arguments)
    options = PipelineOptions(taken)
    failures: list[BaseException] = []
    jobs: list[Any] = []
    abandoned, ended = threading.Event(), threading.Event()

    def run() -> None:
        try:
            pipeline = beam.Pipeline(runner=runner, options=options)
            build(pipeline)
            jobs.append(pipeline.run())
            if abandoned.is_set():  # it was being submitted
                jobs[0].cancel()
            state = jobs[0].wait_until_finish()
            if state not in (None, PipelineState.DONE):
                raise RunFailedError(f"the Beam job ended as {state}")  # noqa: TRY301
        except SystemExit:  # how Beam's option parser gives up
            failures.append(UsageError(_NOT_TAKEN))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failures.append(error)
        ended.set()

    def worker_died(error: BaseException) -> None:
        failures.append(RunFailedError(f"a worker process died ({error})"))
        ended.set()

    def give_up() -> None:
        abandoned.set()
        if runner is None:
            _cancel(jobs, ended, interrupted)
        _end_children()

    with _listening_for_dead_workers(worker_died), _noting_interrupts() as interrupted:
        threading.Thread(target=run, name="beam job", daemon=True).start()
        try:
            while not ended.wait(0.2):
                poll()
                if interrupted:
                    break
        except BaseException:
            give_up()
            raise
        if interrupted:  # first: a terminal's Ctrl-C reaches the workers, too, and they die of it
            give_up()
            raise KeyboardInterrupt
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


@contextmanager
def _noting_interrupts() -> Iterator[list[int]]:
    """Yields the signals that asked the job to end, so far.

    Python's own handler raises wherever the main thread is; within a destructor or a callback
    the exception is printed and dropped, and the job would go on.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted  # only the main thread may ask for signals
        return

    def note(number: int, _frame: object) -> None:
        noted.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _cancel(jobs: Sequence[Any], ended: threading.Event, interrupted: Sequence[int]) -> None:
    """Cancels a job that another runner has, and waits for its end, unless told again to stop."""
    refused = threading.Event()

    def cancel() -> None:
        try:
            for job in jobs:
                job.cancel()
        except Exception as error:  # noqa: BLE001 - of whatever runner
            _log.debug("the job was not cancelled", exc_info=error)
            refused.set()

    threading.Thread(target=cancel, name="beam cancel", daemon=True).start()
    deadline = time.monotonic() + (_CANCEL_S if jobs else _SUBMIT_S)
    while not ended.wait(0.05):
        if refused.is_set() or len(interrupted) > 1 or time.monotonic() > deadline:
            _log.warning("the job goes on where it runs: end it there before the next run begins")
            return


def _end_children() -> None:
    """Ends the local worker processes, which would wait for a driver that has given up.

    They are waited for: what they were writing is written or not when this returns.
    """
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + _DEATH_S
    while any(map(_is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for thread in threading.enumerate():
        if thread.name == _WORKER_THREAD:
            thread.join(_DEATH_S)  # it raises that its worker is gone, which is listened for


def _is_alive(process: psutil.Process) -> bool:
    """Whether it may still write; a dead one stays on record until somebody asks for its end.

    Nobody may: the decoders of a worker that is gone are the init process's, and containers have
    some that never ask.
    """
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _explained(error: BaseException) -> GateError:
    if isinstance(error, UsageError | RunFailedError):
        return error
    if isinstance(error, GateError):
        return _said(type(error).__name__, str(error))
    # Beam hands the worker's traceback on as text; the last of our own errors in it is why.
    raised = _RAISED.findall(str(error))
    if raised:
        return _said(*raised[-1])
    _log.debug("the job failed", exc_info=error)
    *_, last = str(error).strip().splitlines() or [type(error).__name__]
    return RunFailedError(f"the Beam job failed: {last[:500]}")


def _said(name: str, message: str) -> GateError:
    """Returns a worker's error in its own words; of a type that has an exit code of its own."""
    kind = {"ListError": ListError, "SelfTestError": SelfTestError}.get(name, RunFailedError)
    return kind(_WHERE.sub("", message))
