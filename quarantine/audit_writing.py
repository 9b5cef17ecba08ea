"""Writing the audit log: one writer at a time, durable before the act goes on.

On a local disk a line is appended and synced under an exclusive lock; a write that fails is
taken back. An object store has neither appending nor locks: there the object is written again
whole, in one step, and whoever runs people's commands has to see that they do not overlap.

A crash may leave the log in the middle of a line. The next writer puts that on record: the torn
piece goes, and a line ``log.repaired`` holds it.
"""

import base64
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from ingestgate.quarantine.audit import (
    GENESIS,
    AuditHead,
    AuditLine,
    check_lines,
    head_after,
    log_path,
    make_line,
    whole_log,
)
from ingestgate.quarantine.presence import require_log

_T = TypeVar("_T")

REPAIRED: Final = "log.repaired"
#: How long a writer waits for another. Writers hold the lock while they check the whole log.
LOCK_SECONDS = 60.0
#: A line names at most so many things, so that none becomes too long to handle.
PER_LINE = 500


class AuditWriter:
    """Appends to a log while its lock is held; `audit_writer` makes one.

    Attributes:
        lines: Every line so far, checked.
        repaired: Whether the log ended in the middle of a line.
    """

    def __init__(self, root: str) -> None:
        self._path = log_path(root)
        self.repaired = _repair_torn(self._path)
        self.lines, self._size = whole_log(root)

    @property
    def head(self) -> AuditHead:
        """The end of the log."""
        return head_after(self.lines[-1]) if self.lines else AuditHead(0, GENESIS)

    def add(
        self, event: str, fields: Mapping[str, Any], key: Ed25519PrivateKey | None
    ) -> AuditLine:
        """Appends a line, durably.

        Raises:
            StorageError: It could not be written; the log is as it was, and what the line
                announces must not be done.
        """
        line = make_line(self.head, _now(), event, fields, key)
        content = line.encoded() + b"\n"
        _append(self._path, content, self._size)
        self._size += len(content)
        self.lines.append(line)
        return line


def per_line(named: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yields what lines are to name, as many at a time as one line may."""
    for start in range(0, len(named), PER_LINE):
        yield named[start : start + PER_LINE]


@contextmanager
def audit_writer(root: str) -> Iterator[AuditWriter]:
    """Yields the only writer of a quarantine's log, after checking all of it.

    Raises:
        EvidenceError: The log does not hold; nothing is appended to it.
        StorageError: It cannot be read or written.
    """
    with _locked(root):
        yield AuditWriter(root)


def append_machine(
    root: str, event: str, fields: Mapping[str, Any], key: Ed25519PrivateKey | None = None
) -> AuditLine:
    """Appends a line of the program's own, signed if there is a key; raises as `audit_writer`."""
    with audit_writer(root) as writer:
        return writer.add(event, fields, key)


def repair(root: str) -> bool:
    """Takes a torn last line off a log and puts that on record; whether there was one."""
    with audit_writer(root) as writer:
        return writer.repaired


def require_sound_log(root: str) -> None:
    """Refuses work that could not be logged: checks the log before it begins, torn lines repaired.

    Raises:
        UsageError: There is no such quarantine.
        EvidenceError: The log is gone, or does not hold.
        StorageError: It cannot be read or written.
    """
    require_log(root)
    repair(root)


@contextmanager
def _locked(root: str) -> Iterator[None]:
    folder = storage.parent(log_path(root))
    storage.make_directory(folder, private=True)
    path = storage.join(folder, ".lock")
    with ExitStack() as stack:
        try:
            # A line takes a moment, so whoever holds the lock for long is stuck.
            held = stack.enter_context(storage.lock(path, seconds=LOCK_SECONDS))
        except StorageError as error:
            raise StorageError(f"{error}; what cannot be logged is refused") from error
        if not held:
            raise StorageError(
                f"{path}: held by somebody else; what cannot be logged is refused. See who is at "
                "work on the quarantine, then do it again"
            )
        yield


def _repair_torn(path: str) -> bool:
    """Puts a line that holds the torn piece in its place, in one step; whether there was one."""
    if not storage.exists(path):
        return False
    content = storage.read_bytes(path)
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return False
    end = AuditHead(0, GENESIS)
    for line in check_lines(io.BytesIO(content[:whole]), path):
        end = head_after(line)
    torn = {"torn": base64.b64encode(content[whole:]).decode()}
    line = make_line(end, _now(), REPAIRED, torn, None)
    storage.write_bytes(path, content[:whole] + line.encoded() + b"\n", private=True)
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _refuse_changed(path: str, size: int, known: int) -> None:
    if size != known:
        raise StorageError(
            f"{path}: has {size} bytes where {known} were read a moment ago; what cannot be logged "
            "is refused. See who else writes there, then do it again"
        )


def _append(path: str, line: bytes, size: int) -> None:
    """Appends a line to a log of so many bytes; to no other, and never in place of one."""
    if storage.is_remote(path):
        before = storage.read_bytes(path) if size or storage.exists(path) else b""
        _refuse_changed(path, len(before), size)
        storage.write_bytes(path, before + line, private=True)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; what cannot be logged is refused") from error
    try:
        _refuse_changed(path, os.fstat(handle).st_size, size)
        if not size:
            storage.sync_directory(storage.parent(path))  # its name is durable, too
        try:
            written = os.write(handle, line)
            os.fsync(handle)
            problem = "" if written == len(line) else "a part of the line could not be written"
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            with suppress(OSError):
                os.ftruncate(handle, size)
                os.fsync(handle)
            raise StorageError(f"{path}: {problem}; what cannot be logged is refused")
    finally:
        os.close(handle)
