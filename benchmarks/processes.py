"""What a command and all that it starts cost: CPU time, elapsed time and peak memory (Linux)."""

import ctypes
import os
import shlex
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36


class Cost(NamedTuple):
    """What a command cost.

    Attributes:
        output: What it printed.
        cpu_seconds: Of itself and of every process below it, also those that it did not wait for.
        seconds: Until the last of them had ended.
        peak_mb: Resident memory of the largest of them.
    """

    output: str
    cpu_seconds: float
    seconds: float
    peak_mb: float


def run(command: Sequence[str]) -> Cost:
    """Runs a command to its end, and waits for what it leaves behind.

    Not beside other children of this process, which would be waited for as well.

    Raises:
        SystemExit: The command failed; says how.
    """
    # What the command abandons becomes a child of this process, whose time can be asked for.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        places = [
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        leader = os.posix_spawnp(command[0], list(command), os.environ, file_actions=places)
        cpu = peak = 0.0
        code = 0
        while True:
            try:
                pid, status, used = os.wait4(-1, 0)
            except ChildProcessError:
                break
            cpu += used.ru_utime + used.ru_stime
            peak = max(peak, used.ru_maxrss / 1024)
            code = os.waitstatus_to_exitcode(status) if pid == leader else code
        seconds = time.perf_counter() - started
        if code:
            errors.seek(0)
            said = errors.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{shlex.join(command)}: exit code {code}: {said}")
        output.seek(0)
        return Cost(output.read().decode(), cpu, seconds, peak)
