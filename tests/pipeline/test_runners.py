"""Jobs end, and say why: failing steps, dying workers, options Beam does not take."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import apache_beam as beam
import psutil
import pytest
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

from ingestgate.assets.errors import StorageError, UsageError
from ingestgate.pipeline import runners
from ingestgate.pipeline.runners import RunFailedError, check_beam_options, run_job


def _full(element: int) -> None:
    raise StorageError("/data/x: No space left on device; free some room")


def _defect(element: int) -> None:
    raise ZeroDivisionError("a defect")


def _job(step: Callable[[int], object]) -> Callable[[beam.Pipeline], None]:
    def build(pipeline: beam.Pipeline) -> None:
        pipeline | beam.Create([1, 2, 3]) | beam.Map(step)

    return build


def test_progress_is_polled_while_a_job_runs() -> None:
    polled = []
    run_job(_job(lambda element: time.sleep(0)), [], workers=1, poll=lambda: polled.append(1))
    assert polled


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_step_is_said_in_its_own_words(workers: int) -> None:
    with pytest.raises(RunFailedError) as failed:
        run_job(_job(_full), [], workers=workers, poll=lambda: None)
    assert str(failed.value) == "/data/x: No space left on device; free some room"


def test_a_defect_is_named() -> None:
    with pytest.raises(RunFailedError, match=r"the Beam job failed: .*a defect"):
        run_job(_job(_defect), [], workers=1, poll=lambda: None)


# In a process of its own: threads of a job whose worker died never end.
_DYING = """
import os
import apache_beam as beam
from ingestgate.pipeline.runners import RunFailedError, run_job

def build(pipeline):
    pipeline | beam.Create([3]) | beam.Map(os._exit)

try:
    run_job(build, [], workers=2, poll=lambda: None)
except RunFailedError as error:
    print(error, flush=True)
os._exit(0)
"""


def test_a_worker_that_dies_ends_the_job_within_seconds() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DYING], check=True, capture_output=True, text=True, timeout=40
    )
    assert done.stdout == ("a worker process died (Worker subprocess exited with return code 3)\n")


_polled = threading.Event()


def _until_polled(element: int) -> None:
    assert _polled.wait(20)


class _Interrupting:
    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_within_a_destructor_is_not_lost(number: int) -> None:
    def poll() -> None:
        _Interrupting(number)
        _polled.set()

    _polled.clear()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job(_job(_until_polled), [], workers=1, poll=poll)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_children_are_gone_when_an_interrupted_job_returns() -> None:
    started: list[subprocess.Popen[bytes]] = []
    _polled.clear()

    def poll() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        _polled.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(_job(_until_polled), [], workers=1, poll=poll)
    assert started[0].poll() == -signal.SIGKILL


class Elsewhere(PipelineRunner):
    """A runner whose job goes on until it is cancelled, or says that it cannot be."""

    cancellable: ClassVar[bool] = True
    cancelled: ClassVar[list[bool]] = []
    submitting: ClassVar[threading.Event] = threading.Event()
    submitted: ClassVar[threading.Event] = threading.Event()

    def run_pipeline(self, pipeline: Any, options: Any) -> "_JobElsewhere":
        assert self.submitting.wait(20)
        return _JobElsewhere(PipelineState.RUNNING, self)


class _JobElsewhere(PipelineResult):
    def __init__(self, state: str, runner: Elsewhere) -> None:
        super().__init__(state)
        self._runner = runner
        self._ended = threading.Event()

    def wait_until_finish(self, duration: int | None = None) -> str:
        self._runner.submitted.set()
        self._ended.wait(20)
        return str(PipelineState.CANCELLED)

    def cancel(self) -> None:
        if not self._runner.cancellable:
            raise NotImplementedError
        self._runner.cancelled.append(True)
        self._ended.set()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(Elsewhere, "cancelled", [])
    for name in ("submitting", "submitted"):
        monkeypatch.setattr(Elsewhere, name, threading.Event())
    return [f"--runner={__name__}.{Elsewhere.__name__}"]


@pytest.mark.parametrize("cancellable", [True, False])
def test_an_interrupted_job_elsewhere_is_cancelled_or_said_to_go_on(
    elsewhere: list[str],
    cancellable: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Elsewhere, "cancellable", cancellable)
    Elsewhere.submitting.set()

    def poll() -> None:
        assert Elsewhere.submitted.wait(20)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run_job(_job(int), elsewhere, workers=1, poll=poll)
    assert Elsewhere.cancelled == [True] * cancellable
    assert ("the job goes on where it runs" in caplog.text) is not cancellable


def test_a_job_that_is_being_submitted_is_cancelled_once_it_is(
    elsewhere: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def poll() -> None:
        signal.raise_signal(signal.SIGTERM)
        Elsewhere.submitting.set()

    with pytest.raises(KeyboardInterrupt):
        run_job(_job(int), elsewhere, workers=1, poll=poll)
    assert Elsewhere.cancelled
    assert "the job goes on where it runs" not in caplog.text


def test_who_asks_again_does_not_wait_for_a_job_elsewhere(
    elsewhere: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runners, "_SUBMIT_S", 1000.0)

    def poll() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run_job(_job(int), elsewhere, workers=1, poll=poll)
    assert "the job goes on where it runs" in caplog.text
    Elsewhere.submitting.set()


def test_an_error_without_words_is_named_by_its_type() -> None:
    assert str(runners._explained(MemoryError())) == "the Beam job failed: MemoryError"


def test_children_that_nobody_asks_for_are_not_waited_for() -> None:
    orphans = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', '']); input()"
    with subprocess.Popen([sys.executable, "-c", orphans], stdin=subprocess.PIPE) as parent:
        process = psutil.Process(parent.pid)
        while not any(each.status() == psutil.STATUS_ZOMBIE for each in process.children()):
            pass
        (orphan,) = process.children()
        assert not runners._is_alive(orphan)
        assert runners._is_alive(process)
        parent.kill()
    assert not runners._is_alive(process)


def test_options_that_are_none_of_beams_are_refused() -> None:
    with pytest.raises(UsageError, match="Beam does not take"):
        run_job(_job(_full), ["--direct_num_workers=many"], workers=1, poll=lambda: None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--runer=FlinkRunner"], "--runer"),
        (["--direct_num_workers=1", "--nonsense", "3"], "--nonsense"),
        (["runner=FlinkRunner"], "runner=FlinkRunner"),
        (["--direct_num_workers=1", "stray"], "stray"),
    ],
)
def test_what_beam_would_pass_over_is_refused_by_name(arguments: list[str], named: str) -> None:
    where = "after `--` or in INGESTGATE_BEAM_OPTIONS"
    with pytest.raises(UsageError, match=f"^{named} {where}: Beam has no such option$"):
        run_job(_job(_full), arguments, workers=1, poll=lambda: None)


@pytest.mark.parametrize("name", ["Nosuch", "no.such.Runner", "ingestgate.Nosuch"])
def test_a_runner_that_is_not_there_is_usage(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^--runner after `--` or in .*{name.split('.')[0]}"):
        check_beam_options([f"--runner={name}"])


def test_another_runners_own_options_are_its_own_matter() -> None:
    flink = ["--runner=BundleBasedDirectRunner", "--checkpointing_interval=9"]
    run_job(_job(int), flink, workers=1, poll=lambda: None)
