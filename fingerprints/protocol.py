"""What passes between the gate and the process that decodes for it.

Frames over a stream socket: a nonce of 8 bytes, a length, a payload, which is a list of byte
strings: a request (see there) one way, as many answers as it has assets the other. The gate draws
a nonce for each request and takes no answers but those under it, so that neither a delayed nor a
prepared answer can become another asset's.

The other end of the socket may be in the hands of whoever made the picture. So an answer is
plain fields, no pickle and no JSON; it is bounded before it is read; and every field is checked.
Whatever is not exactly an answer is a `ProtocolError`. What no check can tell is a lie: a process
that was taken over can answer with the hashes of another picture until it is replaced.
"""

import re
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple, NoReturn

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.verdict import REASONS, Reason, Verdict
from ingestgate.fingerprints.fingerprinter import Fingerprint
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import VIEW_NAME, PerceptualHash
from ingestgate.fingerprints.shared_bytes import SharedBytes
from ingestgate.fingerprints.unscannable import Unscannable

NONCE_BYTES = 8
QUICK, EXACT = b"quick", b"exact"  #: how assets are to be fingerprinted

_FRAME = struct.Struct("<8sQ")  # nonce, bytes of the payload
_SIZE = struct.Struct("<Q")  # bytes of the item that follows
_PICTURE = struct.Struct("<IIIBBB")  # width, height, frames, has a profile, is quick, bytes of type
_HASH = struct.Struct("<BBI")  # is of low quality, is doubtful, views
_VIEW = struct.Struct("<IbB")  # frame, quality, bytes of the view's name
_REASON = struct.Struct("<BH")  # bytes of the reason, of the detail

_FINGERPRINT, _UNSCANNABLE = b"F", b"U"
_MEDIA_TYPE = re.compile(rb"[a-z]+/[a-z0-9.+-]+")
_VIEW_NAME = re.compile(VIEW_NAME.pattern.encode())
_DETAIL = re.compile(rb"[\w ,.:;()/+-]{1,500}")
_REASONS = {reason.value.encode(): reason for reason in REASONS[Verdict.UNSCANNABLE]}

# Far more than any frame has: variants, scalings, with and without borders.
_VIEWS_PER_FRAME = 64


# Items up to this size are sent together; a larger one is not worth another copy.
_JOINED = 1 << 14


class ProtocolError(Exception):
    """The other end did not keep to the protocol, or is gone."""


def frame_bytes(items: int, content: int) -> int:
    """Returns the size of the payload of so many items that are so many bytes together."""
    return items * _SIZE.size + content


def request(way: bytes, contents: Sequence[bytes], shared: SharedBytes) -> list[bytes]:
    """Returns the items of a request.

    Args:
        way: `QUICK` or `EXACT`, the first item.
        contents: The assets. They lie in shared memory if there is room for them, and the second
            item says how long each is; else that is empty, and they are further items.
        shared: The memory.
    """
    if shared.put(contents):
        return [way, b"".join([_SIZE.pack(len(content)) for content in contents])]
    return [way, b"", *contents]


def read_request(items: Sequence[bytes], memory: memoryview) -> tuple[bool, Sequence[bytes]]:
    """Returns whether assets are to be fingerprinted exactly, and the assets.

    Args:
        items: Those of the request.
        memory: What is shared.

    Raises:
        ProtocolError: They are no request.
    """
    if len(items) < 2 or items[0] not in (QUICK, EXACT) or len(items[1]) % _SIZE.size:
        raise ProtocolError("a request does not say what is to be fingerprinted, or how")
    way, sizes, *contents = items
    if sizes:
        ends = list(accumulate(size for (size,) in _SIZE.iter_unpack(sizes)))
        if contents or ends[-1] > len(memory):
            raise ProtocolError("a request has assets where there are none")
        contents = [bytes(memory[start:stop]) for start, stop in pairwise([0, *ends])]
    return way == EXACT, contents


def send(
    channel: socket.socket, nonce: bytes, items: Sequence[bytes], deadline: float | None = None
) -> None:
    """Sends a frame.

    Args:
        channel: A stream socket.
        nonce: Of `NONCE_BYTES`.
        items: The payload.
        deadline: By `time.monotonic`; None waits for ever.

    Raises:
        TimeoutError: The other end has not taken it all by the deadline.
        OSError: The other end is gone.
    """
    parts = [_FRAME.pack(nonce, frame_bytes(len(items), sum(map(len, items))))]
    for item in items:
        parts.append(_SIZE.pack(len(item)))
        if len(item) > _JOINED:
            _send(channel, b"".join(parts), deadline)
            _send(channel, item, deadline)
            parts = []
        else:
            parts.append(item)
    _send(channel, b"".join(parts), deadline)


def _send(channel: socket.socket, content: bytes, deadline: float | None) -> None:
    _wait_until(channel, deadline)
    channel.sendall(content)


def _wait_until(channel: socket.socket, deadline: float | None) -> None:
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        channel.settimeout(left)


def receive(
    channel: socket.socket, longest: int, deadline: float | None = None
) -> tuple[bytes, list[bytes]] | None:
    """Receives a frame: its nonce and items; None if the other end has ended before it.

    Args:
        channel: A stream socket.
        longest: Largest payload that is taken, in bytes.
        deadline: By `time.monotonic`; None waits for ever.

    Raises:
        TimeoutError: The frame is not whole by the deadline.
        ProtocolError: It is longer, ends early, or is none.
    """
    head = _receive(channel, _FRAME.size, deadline)
    if not head:
        return None
    if len(head) < _FRAME.size:
        raise ProtocolError("a frame ends early")
    nonce, left = _FRAME.unpack(head)
    if left > longest:
        raise ProtocolError("a frame is too long")
    items = []
    while left:
        if left < _SIZE.size:
            raise ProtocolError("a frame ends within an item")
        (size,) = _SIZE.unpack(_receive_whole(channel, _SIZE.size, deadline))
        left -= _SIZE.size + size
        if left < 0:
            raise ProtocolError("a frame ends within an item")
        items.append(_receive_whole(channel, size, deadline))
    return nonce, items


def _receive_whole(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    content = _receive(channel, size, deadline)
    if len(content) < size:
        raise ProtocolError("a frame ends early")
    return content


def _receive(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    """Returns the next ``size`` bytes, fewer if the other end has ended."""
    parts: list[bytes] = []
    left = size
    while left:
        _wait_until(channel, deadline)
        # All of it where the socket waits for ever: an asset is then copied but once.
        part = channel.recv(left, socket.MSG_WAITALL)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _HashForm(NamedTuple):
    """How one hash's part of an answer looks: its name, and the bytes of each view's hashes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What an answer must look like; both ends derive it from the same hashes and limits.

    Attributes:
        hashes: In the order of their names.
        limits: What is decoded.
        longest: Largest answer to one asset, in bytes.
    """

    hashes: tuple[_HashForm, ...]
    limits: DecodeLimits
    longest: int

    @staticmethod
    def of(hashes: Iterable[PerceptualHash], limits: DecodeLimits) -> "AnswerForm":
        """Returns the form of answers with these hashes."""
        forms = tuple(
            sorted(_HashForm(each.name, each.bits // 8 * each.orientations) for each in hashes)
        )
        view = sum(_VIEW.size + 64 + form.size for form in forms)
        return AnswerForm(forms, limits, 4096 + limits.max_frames * _VIEWS_PER_FRAME * view)

    def encode(self, outcome: Fingerprint | Unscannable) -> bytes:
        """Returns an outcome as an answer.

        Raises:
            ProtocolError: It does not have this form: a plug-in's views are not what it said.
        """
        if isinstance(outcome, Unscannable):
            reason, detail = outcome.reason.encode(), outcome.detail.encode()
            return _UNSCANNABLE + _REASON.pack(len(reason), len(detail)) + reason + detail
        media_type = outcome.media_type.encode()
        parts = [
            _FINGERPRINT,
            _PICTURE.pack(
                outcome.width,
                outcome.height,
                outcome.frames,
                outcome.has_icc_profile,
                outcome.is_quick,
                len(media_type),
            ),
            media_type,
        ]
        for name, size in self.hashes:
            views = outcome.perceptual[name]
            flags = name in outcome.low_quality, name in outcome.doubtful
            parts.append(_HASH.pack(*flags, len(views)))
            for view in views:
                label = view.view.encode()
                if len(view.hashes) != size:
                    raise ProtocolError("a hash is not of the size it should be")
                parts += _VIEW.pack(view.frame, view.quality, len(label)), label, view.hashes
        answer = b"".join(parts)
        if len(answer) > self.longest:
            raise ProtocolError("an answer is too long")
        return answer

    def decode(self, answer: bytes) -> Fingerprint | Unscannable:
        """Returns the outcome that an answer is, if it is one in every detail.

        Raises:
            ProtocolError: It is not.
        """
        fields = _Fields(answer)
        kind = fields.take(1)
        outcome = (
            self._fingerprint(fields)
            if kind == _FINGERPRINT
            else _unscannable(fields)
            if kind == _UNSCANNABLE
            else _refuse("it is of no known kind")
        )
        fields.end()
        return outcome

    def _fingerprint(self, fields: "_Fields") -> Fingerprint:
        width, height, frames, has_profile, is_quick, length = fields.unpack(_PICTURE)
        media_type = fields.text(length, _MEDIA_TYPE)
        if not 0 < width * height <= self.limits.max_pixels:
            _refuse("its size in pixels is out of range")
        if not 0 < frames <= self.limits.max_frames:
            _refuse("its number of frames is out of range")
        if not {has_profile, is_quick} <= {0, 1}:
            _refuse("a flag in it is none")
        perceptual: dict[str, tuple[PerceptualView, ...]] = {}
        low_quality, doubtful = set(), set()
        for name, size in self.hashes:
            is_low, is_doubtful, count = fields.unpack(_HASH)
            if not {is_low, is_doubtful} <= {0, 1} or not count:
                _refuse("a hash has no views, or a flag that is none")
            if is_low:
                low_quality.add(name)
            if is_doubtful:
                doubtful.add(name)
            perceptual[name] = tuple(_view(fields, frames, size) for _ in range(count))
        return Fingerprint(
            media_type,
            width,
            height,
            frames,
            perceptual,
            frozenset(low_quality),
            frozenset(doubtful),
            is_quick == 1,
            has_profile == 1,
        )


class _Fields:
    """Takes the fields of an answer one after another."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._next = 0

    def take(self, size: int) -> bytes:
        start = self._pass(size)
        return self._answer[start : self._next]

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack_from(self._answer, self._pass(form.size))

    def _pass(self, size: int) -> int:
        """Goes on by so many bytes; returns where they begin."""
        start = self._next
        self._next = start + size
        if self._next > len(self._answer):
            _refuse("it ends early")
        return start

    def text(self, size: int, pattern: re.Pattern[bytes]) -> str:
        return _text(self.take(size), pattern)

    def end(self) -> None:
        if self._next != len(self._answer):
            _refuse("it goes on behind its end")


@lru_cache(maxsize=1024)  # nearly always the same few, and none is long
def _text(raw: bytes, pattern: re.Pattern[bytes]) -> str:
    if not pattern.fullmatch(raw):
        _refuse("a name in it is none")
    return raw.decode("ascii")


def _view(fields: _Fields, frames: int, size: int) -> PerceptualView:
    frame, quality, length = fields.unpack(_VIEW)
    if frame >= frames or not -1 <= quality <= 100:
        _refuse("a view's frame or quality is out of range")
    return PerceptualView(frame, fields.text(length, _VIEW_NAME), quality, fields.take(size))


def _unscannable(fields: _Fields) -> Unscannable:
    reason_size, detail_size = fields.unpack(_REASON)
    reason: Reason | None = _REASONS.get(fields.take(reason_size))
    if reason is None:
        _refuse("its reason is none")
    return Unscannable(reason, fields.text(detail_size, _DETAIL))


def _refuse(problem: str) -> NoReturn:
    raise ProtocolError(f"an answer is not one: {problem}")
