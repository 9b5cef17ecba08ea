"""Faults at the seam to the file system: every call that changes something can be made to fail.

The layer stands between `ingestgate.assets.storage` (and whatever else writes) and the operating
system: it counts what creates, opens for writing, writes, syncs, renames and removes below a
folder, in its order, and lets the one with a given number fail as a full, broken or forbidding
disk would, once or from then on.
"""

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: What can go wrong, by name.
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
SHORT = "short write"  # fewer bytes are taken than were given; whoever writes must go on
DECODE = "decode"
_NAMED = ("fsync", "mkdir", "rmdir", "unlink", "remove", "utime", "chmod", "fchmod", "ftruncate")
FAULTS = (*ERRORS, SHORT)
#: What removes or dates things; what is left behind under a temporary name harms nobody.
CLEANING = ("unlink", "remove", "rmdir", "utime")


def faults_at(operation: str, fault: object) -> bool:
    """Whether an operation that is struck by a fault has to make a run fail.

    Short writes are made good by whoever buffers; what is appended to a log, or is not there.
    """
    if fault == SHORT:
        return operation == "append"
    return operation not in CLEANING


class FaultLayer:
    """Counts what is changed below a folder, and lets some of it fail.

    Args:
        patch: Sets an attribute, as `pytest.MonkeyPatch.setattr` does; undoing is its matter.
        below: Only paths below this one count.

    Attributes:
        operations: Name and path of each operation so far.
        struck: Names of those that the fault met.
        fault: What happens at ``at``: one of `FAULTS`, or a function that is called.
        at: Number of the operation; None lets everything pass.
        for_ever: Everything after it fails too.
    """

    def __init__(self, patch: Callable[[Any, str, Any], None], below: Path) -> None:
        self._below = os.path.join(below, "")
        self.operations: list[tuple[str, str]] = []
        self.struck: list[str] = []
        self.fault: str | Callable[[], None] = "EIO"
        self.at: int | None = None
        self.for_ever = False
        self.watches_decoding = False
        for name in (*_NAMED, "replace", "rename"):
            patch(os, name, self._guarded(name, getattr(os, name)))
        patch(os, "open", self._opening(os.open))
        patch(os, "write", self._appending(os.write))
        patch(os, "fdopen", self._wrapping(os.fdopen))
        opened = self._wrapping(builtins.open)
        patch(builtins, "open", opened)
        patch(io, "open", opened)  # by which pathlib opens

    def watch_decoding(self, patch: Callable[[Any, str, Any], None]) -> None:
        """Counts, too, when a request was sent to the decoder and its answer is awaited."""
        from ingestgate.fingerprints import isolated, protocol

        def receive(*arguments: Any) -> Any:
            # A decoder that is started answers, too, but to no request.
            if not threading.current_thread().name.startswith("decoder-starter"):
                self.strikes(DECODE, "")
            return protocol.receive(*arguments)

        patch(isolated, "receive", receive)
        self.watches_decoding = True

    def arm(self, at: int | None, fault: str | Callable[[], None], *, for_ever: bool) -> None:
        """Starts counting anew, and sets what fails."""
        self.operations.clear()
        self.struck.clear()
        self.at, self.fault, self.for_ever = at, fault, for_ever

    def counted(self, work: Callable[[], object]) -> list[tuple[str, str]]:
        """Does some work undisturbed; returns the operations that it takes."""
        self.arm(None, "EIO", for_ever=False)
        work()
        return list(self.operations)

    @staticmethod
    def every_fault(
        operations: Sequence[tuple[str, str]], *, cleaning: bool = False
    ) -> list[tuple[int, str, bool]]:
        """Returns each fault that each operation can meet: its number, which, and for how long."""
        return [
            (number, fault, for_ever)
            for number, (name, _) in enumerate(operations)
            if cleaning or name not in CLEANING
            for fault in FAULTS
            if fault != SHORT or name in ("write", "append")
            for for_ever in (False, True)
        ]

    def pass_through(self) -> None:
        """Lets everything pass from now on."""
        self.at = None

    def counts(self, target: object, dir_fd: int | None = None) -> str | None:
        """Returns the path of an operation's target if it counts."""
        if isinstance(target, int):
            target = os.readlink(f"/proc/self/fd/{target}")
        path = os.fsdecode(target) if isinstance(target, str | bytes | os.PathLike) else ""
        if dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
        return path if path.startswith(self._below) else None

    def strikes(self, operation: str, path: str) -> bool:
        """Counts an operation; raises or calls its fault; whether a write is to be short."""
        number = len(self.operations)
        self.operations.append((operation, path))
        if self.at is None or number < self.at or (number > self.at and not self.for_ever):
            return False
        self.struck.append(operation)
        if callable(self.fault):
            self.fault()
        elif self.fault in ERRORS:
            code = ERRORS[self.fault]
            raise OSError(code, os.strerror(code), path)
        return True

    def _guarded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            # Of a rename it is the new name that tells what it is for.
            target = arguments[1] if name in ("replace", "rename") else arguments[0]
            path = self.counts(target, more.get("dir_fd"))
            # Making a directory that is there changes nothing.
            if path is not None and not (name == "mkdir" and os.path.isdir(path)):
                self.strikes(name, path)
            return real(*arguments, **more)

        return call

    def _opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(target: Any, flags: int, *arguments: Any, **more: Any) -> int:
            path = self.counts(target, more.get("dir_fd"))
            if path is not None and flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                self.strikes("create" if flags & os.O_CREAT else "open", path)
            return real(target, flags, *arguments, **more)

        return call

    def _appending(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(target: int, data: Any) -> int:
            path, whole = self.counts(target), memoryview(data).cast("B")
            if path is not None and self.strikes("append", path) and len(whole) > 1:
                return real(target, whole[: len(whole) // 2])
            return real(target, whole)

        return call

    def _wrapping(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            path = self.counts(target)
            if path is None or not set(mode) & set("wxa+"):
                return real(target, mode, *arguments, **more)
            if not isinstance(target, int) and "opener" not in more:
                self.strikes("create", path)
            kind = mode.replace("b", "").replace("t", "")
            raw = _FaultyFile(self, path, target, kind, more.get("opener"))
            if (arguments[0] if arguments else more.get("buffering", -1)) == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, more.get("encoding"), newline=more.get("newline"))

        return call


class _FaultyFile(io.FileIO):
    """A file whose writes are counted."""

    def __init__(
        self, layer: FaultLayer, path: str, target: Any, mode: str, opener: Any = None
    ) -> None:
        super().__init__(target, mode, opener=opener)
        self._layer, self._path = layer, path

    def write(self, data: Any, /) -> int:
        whole = memoryview(data).cast("B")
        if self._layer.strikes("write", self._path) and len(whole) > 1:
            return super().write(whole[: len(whole) // 2])
        return super().write(whole)
