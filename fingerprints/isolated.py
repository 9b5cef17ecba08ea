"""Fingerprints by way of a process that has nothing to lose.

Decoders of pictures are written in C and read what strangers wrote. Here they run in a process
of their own, executed and not forked: it has no list, no key, no environment and no file of the
gate's, cannot open one, and talks to no one but the gate (see `child`). A picture that crashes
it, hangs it, exhausts its memory or has it talk nonsense costs that picture its verdict, and the
process its life; the next picture meets a new one.
"""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from threading import Lock

import psutil

from ingestgate.assets.errors import GateError
from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.fingerprinter import Fingerprint
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import chosen_hashes
from ingestgate.fingerprints.protocol import (
    EXACT,
    NONCE_BYTES,
    QUICK,
    AnswerForm,
    ProtocolError,
    frame_bytes,
    receive,
    request,
    send,
)
from ingestgate.fingerprints.shared_bytes import SharedBytes
from ingestgate.fingerprints.unscannable import Unscannable

if sys.platform == "linux":
    import resource

# The child finds modules where this process does; nothing else is handed on. While it loads there
# is no garbage to be looked for, which would take a tenth of its start.
_BOOT = (
    "import gc, sys; gc.disable(); sys.path[:] = sys.argv[1:]; "
    "from ingestgate.fingerprints.child import main; main()"
)
_KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "SYSTEMROOT")
_ONE_THREAD = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Memory that one picture has used is kept for the next: glibc would hand it back each time.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}

# Compiling every kernel where no cache can be read takes a minute.
_START_SECONDS = 300.0
_REPORT_BYTES = 1 << 16

# Of processor time, what a turn may take beyond the seconds it may last: the kernel counts whole
# seconds, and the clock is to come first.
_SPARE_SECONDS = 1
_OUT_OF_PROCESSOR_TIME = -getattr(signal, "SIGXCPU", 24)

# A child is replaced after so many assets, or when it holds so much more than at its start.
_ASSETS_PER_CHILD = 50_000
_GROWTH = 256 << 20

# What one turn of the child takes at most, unless a single asset is larger.
_BATCH_ASSETS = 32
_BATCH_BYTES = 8 << 20


class IsolatedFingerprinter:
    """Computes the same fingerprints as `Fingerprinter`, in a child process.

    The child is started at once, in the background, and again whenever it was ended. Can be used
    by several threads; they take turns. Close it, or let it go, and the child is gone.

    Args:
        names: The perceptual hashes to compute.
        limits: What is decoded, and how much of it.
        timeout_s: Seconds that one asset may take, by the clock and of processor time.

    Attributes:
        is_exact: As `Fingerprinter.is_exact`.

    Raises:
        UsageError: There is no hash of such a name.
    """

    def __init__(
        self, names: Iterable[str], limits: DecodeLimits, *, timeout_s: float = 120.0
    ) -> None:
        hashes = chosen_hashes(names)
        self.is_exact = any(scheme.colour for scheme in hashes.values())
        self._form = AnswerForm.of(list(hashes.values()), limits)
        self._timeout = timeout_s
        self._lock = Lock()
        setup = {
            "names": list(hashes),
            "limits": {**asdict(limits), "formats": sorted(limits.formats)},
            "longest_request": frame_bytes(
                2 + _BATCH_ASSETS, len(QUICK) + max(_BATCH_BYTES, limits.max_bytes)
            ),
        }
        self._starter = _Starter(
            json.dumps(setup).encode(), max(1, math.ceil(timeout_s) + _SPARE_SECONDS)
        )
        self._finalizer = weakref.finalize(self, self._starter.close)

    @property
    def measures(self) -> Mapping[str, str]:
        """What confines the child, by measure, as it found when it tried.

        Raises:
            GateError: The child cannot be started.
        """
        with self._lock:
            return self._starter.child().measures

    def fingerprint(self, content: bytes, *, exact: bool = False) -> Fingerprint:
        """Returns the fingerprints of an asset's bytes; the arguments are `Fingerprinter`'s.

        Raises:
            Unscannable: They are no picture that can be decoded in full within the limits, or
                the decoder did not survive them.
            GateError: A child cannot be started.
        """
        (outcome,) = self.fingerprint_many([content], exact=exact)
        if isinstance(outcome, Unscannable):
            raise outcome
        return outcome

    def fingerprint_many(
        self, contents: Sequence[bytes], *, exact: bool = False
    ) -> list[Fingerprint | Unscannable]:
        """Returns the fingerprints of several assets, or why one has none, in their order.

        Cheaper than one by one: each turn of the child finds the processor's caches cold. An
        asset that ends the child costs no other one its verdict.

        Raises:
            GateError: A child cannot be started.
        """
        outcomes: list[Fingerprint | Unscannable] = []
        with self._lock:
            for batch in _batches(contents):
                outcomes += self._fingerprint_batch(batch, EXACT if exact else QUICK)
        return outcomes

    def _fingerprint_batch(
        self, batch: Sequence[bytes], way: bytes
    ) -> list[Fingerprint | Unscannable]:
        most = self._form.limits.max_bytes
        if len(batch) == 1 and len(batch[0]) > most:
            return [Unscannable(Reason.TOO_MANY_BYTES, f"more bytes than {most}")]
        child = self._starter.child()
        try:
            outcomes = child.ask(way, batch, self._form, self._timeout)
        except TimeoutError:
            failure = Unscannable(Reason.TIMED_OUT, f"not done in {self._timeout:g} seconds")
        except (ProtocolError, OSError):
            failure = (
                Unscannable(Reason.TIMED_OUT, "not done in the processor time it may take")
                if child.end() == _OUT_OF_PROCESSOR_TIME
                else Unscannable(Reason.DECODER_DIED, "the decoder crashed on it")
            )
        except BaseException:  # an interrupt: the answer is still to come
            self._starter.replace()
            raise
        else:
            exhausted = any(map(_is_exhaustion, outcomes))
            if exhausted or child.is_worn():
                self._starter.replace()
            if not exhausted or child.assets == 1:
                return outcomes
            # What earlier assets have left behind may not decide: each has all the memory once.
            pairs = zip(batch, outcomes, strict=True)
            return [
                self._fingerprint_batch([content], way)[0] if _is_exhaustion(outcome) else outcome
                for content, outcome in pairs
            ]
        self._starter.replace()
        if len(batch) == 1:
            return [failure]
        # Which of them it was is seen when each is alone.
        return [one for content in batch for one in self._fingerprint_batch([content], way)]

    def close(self) -> None:
        """Ends the child; a later call fails."""
        self._finalizer()


def _batches(contents: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    start = size = 0
    for stop, content in enumerate(contents):
        if stop - start == _BATCH_ASSETS or (stop > start and size + len(content) > _BATCH_BYTES):
            yield contents[start:stop]
            start, size = stop, 0
        size += len(content)
    if start < len(contents):
        yield contents[start:]


def _is_exhaustion(outcome: Fingerprint | Unscannable) -> bool:
    return isinstance(outcome, Unscannable) and outcome.reason is Reason.OUT_OF_MEMORY


class _Child:
    """A started child, ready for untrusted bytes."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        shared: SharedBytes,
        measures: Mapping[str, str],
        processor_s: int,
    ) -> None:
        self._process = process
        self._status = psutil.Process(process.pid)
        self._processor_s = processor_s
        self.measures = {**measures, "processor": self._limit_processor()}
        self._channel = channel
        self._shared = shared
        self.assets = 0  # that it was asked about
        self._memory = self._resident()

    def is_idle(self) -> bool:
        """Whether it is alive and has said nothing unasked."""
        self._channel.settimeout(0)
        try:
            self._channel.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def ask(
        self, way: bytes, contents: Sequence[bytes], form: AnswerForm, timeout_s: float
    ) -> list[Fingerprint | Unscannable]:
        """Returns the child's answers.

        Raises:
            TimeoutError: They are not there in time.
            ProtocolError, OSError: There are none, or one is not an answer.
        """
        deadline = time.monotonic() + timeout_s
        nonce = os.urandom(NONCE_BYTES)
        self.assets += len(contents)
        self._limit_processor()
        send(self._channel, nonce, request(way, contents, self._shared), deadline)
        longest = frame_bytes(len(contents), len(contents) * form.longest)
        received = receive(self._channel, longest, deadline)
        if received is None or received[0] != nonce or len(received[1]) != len(contents):
            raise ProtocolError("no answer to what was asked")
        return [form.decode(answer) for answer in received[1]]

    def is_worn(self) -> bool:
        """Whether it is time for a new one."""
        grown = self._resident() > self._memory + _GROWTH
        return grown or self.assets >= _ASSETS_PER_CHILD

    def end(self) -> int:
        """Ends it, if it has not ended; returns how it did, as `subprocess` has it."""
        self._channel.close()
        self._shared.close()
        self._process.kill()
        return self._process.wait()

    def _limit_processor(self) -> str:
        """Gives the process so much processor time beyond what it has had; says if it is so.

        It cannot lift the limit, as it may not set any. For when this process, which looks at the
        clock, is stopped or gone.
        """
        if sys.platform != "linux":
            return f"not in force: {sys.platform} has none"
        try:
            times = self._status.cpu_times()
            _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_CPU)
            soft = math.ceil(times.user + times.system) + self._processor_s
            if hard != resource.RLIM_INFINITY:
                soft = min(soft, hard)
            resource.prlimit(self._process.pid, resource.RLIMIT_CPU, (soft, hard))
        except (OSError, ValueError, psutil.Error) as error:
            return f"not in force: {type(error).__name__}"
        return f"in force: {self._processor_s} s a turn"

    def _resident(self) -> int:
        try:
            return int(self._status.memory_info().rss)
        except psutil.Error:
            return 0  # gone: noticed when it is next asked


class _Starter:
    """Holds the one child there is, and starts the next.

    All children are started by one thread that lives as long as this: the kernel ends a child
    with the thread that started it, and the threads that judge come and go.
    """

    def __init__(self, setup: bytes, processor_s: int) -> None:
        self._setup = (setup, processor_s)
        self._thread = ThreadPoolExecutor(1, "decoder-starter")
        self._child: Future[_Child] = self._thread.submit(_start, *self._setup)

    def child(self) -> _Child:
        child = self._started()
        if child is None or not child.is_idle():
            self.replace()
            child = self._child.result()
        return child

    def replace(self) -> None:
        self._end()
        self._child = self._thread.submit(_start, *self._setup)

    def close(self) -> None:
        self._end()
        self._thread.shutdown()

    def _end(self) -> None:
        child = self._started()
        if child is not None:
            child.end()

    def _started(self) -> _Child | None:
        """Returns the child once it has started, or None if it could not be."""
        try:
            return self._child.result()
        except GateError:
            return None


def _start(setup: bytes, processor_s: int) -> _Child:
    """Starts a child and waits until it is confined.

    Raises:
        GateError: It cannot be started.
    """
    ours, theirs = socket.socketpair()
    shared = SharedBytes(_BATCH_BYTES)
    try:
        with theirs:
            process = _execute(theirs, shared)
    except OSError as error:
        ours.close()
        shared.close()
        raise _cannot_start(f"{type(error).__name__}: {error.strerror}") from error
    try:
        deadline = time.monotonic() + _START_SECONDS
        where = json.dumps([shared.descriptor, shared.size]).encode()
        send(ours, bytes(NONCE_BYTES), [setup, where], deadline)
        received = receive(ours, _REPORT_BYTES, deadline)
        report = {} if received is None else json.loads(received[1][0])
        if "measures" in report:
            return _Child(process, ours, shared, report["measures"], processor_s)
        problem = report.get("problem", "standard error says why")
    except TimeoutError:
        problem = f"not ready in {_START_SECONDS:g} seconds"
    except (ProtocolError, OSError, ValueError):
        problem = "standard error says why"
    ours.close()
    shared.close()
    process.kill()
    process.wait()
    raise _cannot_start(problem)


def _execute(channel: socket.socket, shared: SharedBytes) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return subprocess.Popen(  # noqa: S603 - this very interpreter, and this project's module
        [sys.executable, "-I", "-c", _BOOT, *(entry or os.getcwd() for entry in sys.path)],
        stdin=channel.fileno(),
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", **_KEEP_MEMORY, **dict.fromkeys(_ONE_THREAD, "1"), **environment},
        pass_fds=() if shared.descriptor is None else (shared.descriptor,),
        start_new_session=True,  # an interrupt from the keyboard is the gate's to handle
    )


def _cannot_start(problem: str) -> GateError:
    return GateError(
        f"the decoder's process cannot be started: {problem}. Nothing is decoded in this process "
        "instead unless the policy says `decoder: in_process`"
    )
