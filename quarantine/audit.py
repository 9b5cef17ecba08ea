"""The audit log: who did what to a quarantine, one line after another, none of them changeable.

``audit/log.jsonl``. A line is canonical JSON: its number, time, event and fields, the SHA-256 of
the line before (the chain), the public key of who acted, their Ed25519 signature, and a digest
of the line itself. A person's line is signed, so it vouches for every line before it. A
machine's line may be unsigned: what follows the last signed line is held only by a checkpoint
kept elsewhere (`audit_checkpoints`).

What cannot be logged is refused: a line is durable before the act it announces goes on.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import pre_authentication_encoding
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.signing_keys import parse_public_line, public_line

LINE_TYPE: Final = "application/vnd.ingestgate.audit-line+json"
#: What the first line names as the line before it.
GENESIS: Final = "0" * 64
_FIELDS: Final = frozenset(
    ("number", "time", "event", "fields", "key", "previous", "signature", "digest")
)
_CHUNK: Final = 1 << 20
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of a log.

    Attributes:
        count: How many lines it has.
        head: Hex SHA-256 of the last, `GENESIS` without any.
    """

    count: int
    head: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the log.

    Attributes:
        number: From 1.
        time: RFC 3339, UTC.
        event: What happened, ``asset.decided`` for one.
        fields: Of what kind depends on the event.
        key: Public line of who signed it, "" for an unsigned line of a machine.
        previous: Hex SHA-256 of the line before.
        signature: Base64, "" where there is no key.
    """

    number: int
    time: str
    event: str
    fields: Mapping[str, Any]
    key: str
    previous: str
    signature: str = ""

    def _said(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "time": self.time,
            "event": self.event,
            "fields": dict(self.fields),
            "key": self.key,
            "previous": self.previous,
        }

    def signed_bytes(self) -> bytes:
        """Returns what the signature is over: all but itself and the line's digest."""
        return pre_authentication_encoding(LINE_TYPE, _canonical(self._said()))

    def encoded(self) -> bytes:
        """Returns the line without its line feed."""
        said = self._said() | {"signature": self.signature}
        # Its own digest tells a changed line from one that follows a changed line.
        return _canonical(said | {"digest": hashlib.sha256(_canonical(said)).hexdigest()})


def make_line(
    after: AuditHead,
    time: str,
    event: str,
    fields: Mapping[str, Any],
    key: Ed25519PrivateKey | None,
) -> AuditLine:
    """Returns the line that follows the end of a log, signed where there is a key."""
    public = public_line(key.public_key()) if key else ""
    line = AuditLine(after.count + 1, time, event, fields, public, after.head)
    if key is None:
        return line
    signature = base64.b64encode(key.sign(line.signed_bytes())).decode()
    return AuditLine(after.count + 1, time, event, fields, public, after.head, signature)


def log_path(root: str) -> str:
    """Returns where a quarantine's log lies."""
    return storage.join(root, "audit", "log.jsonl")


@dataclass(frozen=True, slots=True)
class _Checked:
    """A log as this process has checked it: as long as it begins so, that need not be done again.

    Attributes:
        size: Bytes.
        digest: Their SHA-256.
        lines: What they say.
    """

    size: int
    digest: bytes
    lines: tuple[AuditLine, ...]


_NOTHING: Final = _Checked(0, hashlib.sha256().digest(), ())
_checked: Final[dict[str, _Checked]] = {}  # by path, of one log: the last that was read whole


def read_log(root: str) -> Iterator[AuditLine]:
    """Yields the lines of a quarantine's log, each checked before it is yielded.

    A command that writes many lines reads the log before each: of what it has checked already, only
    the digest is taken again.

    Raises:
        EvidenceError: A line was edited, dropped, put elsewhere or put in, or the log ends in
            the middle of one; names the first such line, never what it says.
        StorageError: The log cannot be read.
    """
    path = log_path(root)
    if not storage.exists(path):
        return
    with storage.open_read(path) as source:
        known = _checked.get(path, _NOTHING)
        hashed = hashlib.sha256()
        left = known.size
        while left and (part := source.read(min(_CHUNK, left))):
            hashed.update(part)
            left -= len(part)
        if hashed.digest() != known.digest:
            source.seek(0)
            known, hashed = _NOTHING, hashlib.sha256()
        lines, size = list(known.lines), known.size
        yield from known.lines
        end = head_after(lines[-1]) if lines else AuditHead(0, GENESIS)
        for line in check_lines(source, path, end):
            yield line
            raw = line.encoded() + b"\n"  # as it stands there: see `parse_line`
            hashed.update(raw)
            size += len(raw)
            lines.append(line)
    _checked.clear()
    _checked[path] = _Checked(size, hashed.digest(), tuple(lines))


def whole_log(root: str) -> tuple[list[AuditLine], int]:
    """Returns the lines of a quarantine's log and its bytes; raises as `read_log` does."""
    lines = list(read_log(root))
    return lines, _checked[log_path(root)].size if lines else 0


def check_lines(
    source: BinaryIO, path: str, end: AuditHead = AuditHead(0, GENESIS)
) -> Iterator[AuditLine]:
    """Yields the lines of an opened log that follow its ``end``; raises as `read_log` does."""
    for raw in source:
        line = _checked_line(raw, end, path)
        yield line
        end = AuditHead(line.number, digest_of(raw[:-1]))


def _checked_line(raw: bytes, end: AuditHead, path: str) -> AuditLine:
    at = end.count + 1
    if not raw.endswith(b"\n"):
        raise _refusal(path, at, "the log ends in the middle of it; see `ingestgate audit repair`")
    line = parse_line(raw[:-1])
    if line is None:
        raise _refusal(path, at, "not a line of the log as it was written: it was edited")
    if line.number != at:
        raise _refusal(
            path, at, f"line {line.number} stands here: lines were dropped, put in or reordered"
        )
    if line.key and not _is_signed(line):
        raise _refusal(path, at, "its signature does not verify: it was edited")
    if line.previous != end.head:
        # The line is whole in itself: what it follows is not what it was written after.
        named = max(end.count, 1)
        raise _refusal(path, named, f"not the line that line {at} was written after: replaced")
    return line


def parse_line(raw: bytes) -> AuditLine | None:
    """Returns a line that is whole and in its canonical form; None for anything else."""
    try:
        said = json.loads(raw)
        if set(said) != _FIELDS:
            return None
        del said["digest"]
        line = AuditLine(**said)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (line.time, line.event, line.key, line.previous, line.signature)
    if type(line.number) is not int or not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(line.fields, dict) or not _TIME.fullmatch(line.time):
        return None
    # Whatever else the text could say, it is the one text that these fields have.
    try:
        return line if line.encoded() == raw and bool(line.key) == bool(line.signature) else None
    except (ValueError, RecursionError):
        return None


def _is_signed(line: AuditLine) -> bool:
    try:
        signature = base64.b64decode(line.signature, validate=True)
        parse_public_line(line.key).verify(signature, line.signed_bytes())
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def head(root: str) -> AuditHead:
    """Returns the end of a quarantine's log, after checking all of it.

    Raises:
        EvidenceError, StorageError: As `read_log` does.
    """
    end = AuditHead(0, GENESIS)
    for line in read_log(root):
        end = head_after(line)
    return end


def head_after(line: AuditLine) -> AuditHead:
    """Returns the end of a log whose last line this is."""
    return AuditHead(line.number, digest_of(line.encoded()))


def digest_of(line: bytes) -> str:
    """Returns the hex SHA-256 that the next line names a line by (without its line feed)."""
    return hashlib.sha256(line).hexdigest()


def require_head(root: str, stated: AuditHead, where: str) -> AuditHead:
    """Checks a log against an end it had once; returns its end now.

    Args:
        root: The quarantine.
        stated: What a checkpoint or a certificate states.
        where: What states it, for the message.

    Raises:
        EvidenceError: The log does not hold, is shorter than it was, or the line that was its
            last is another.
        StorageError: It cannot be read.
    """
    end = AuditHead(0, GENESIS)
    for line in read_log(root):
        end = head_after(line)
        if end.count == stated.count and end.head != stated.head:
            raise _refusal(
                log_path(root), end.count, f"not the line that {where} states: it was replaced"
            )
    if end.count < stated.count:
        problem = f"missing: {where} states {stated.count} lines; the log was truncated"
        raise _refusal(log_path(root), end.count + 1, problem)
    return end


def _refusal(path: str, number: int, problem: str) -> EvidenceError:
    return EvidenceError(f"{path}:{number}: {problem}")


def _canonical(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
