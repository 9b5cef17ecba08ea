import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.verdict import REASONS, Reason, Verdict
from ingestgate.fingerprints.fingerprinter import Fingerprint
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.protocol import AnswerForm, ProtocolError, frame_bytes, receive, send
from ingestgate.fingerprints.unscannable import Unscannable

LIMITS = DecodeLimits(max_pixels=10_000, max_frames=5)
FORM = AnswerForm.of([perceptual_hashes()["pdq"], perceptual_hashes()["phash"]], LIMITS)
NONCE = b"12345678"

Ends = tuple[socket.socket, socket.socket]


def found(**changes: Any) -> Fingerprint:
    fields: dict[str, Any] = {
        "media_type": "image/png",
        "width": 100,
        "height": 50,
        "frames": 2,
        "perceptual": {
            "pdq": (
                PerceptualView(0, "full", 100, bytes(256)),
                PerceptualView(1, "on-black/full", 0, b"x" * 256),
            ),
            "phash": (PerceptualView(0, "full", -1, b"y" * 64),),
        },
        "low_quality": frozenset({"pdq"}),
        "doubtful": frozenset({"phash"}),
        "is_quick": True,
    }
    return Fingerprint(**{**fields, **changes})


def one_view(**changes: Any) -> Fingerprint:
    view = PerceptualView(0, "full", 100, bytes(256))._replace(**changes)
    return found(perceptual={**found().perceptual, "pdq": (view,)})


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_fingerprint_arrives_as_it_was_sent() -> None:
    assert FORM.decode(FORM.encode(found())) == found()


@given(st.sampled_from(sorted(REASONS[Verdict.UNSCANNABLE])))
def test_every_reason_arrives(reason: Reason) -> None:
    outcome = FORM.decode(FORM.encode(Unscannable(reason, "image/png: why (it is)")))
    assert isinstance(outcome, Unscannable)
    assert (outcome.reason, outcome.detail) == (reason, "image/png: why (it is)")


@pytest.mark.parametrize(
    "outcome",
    [
        found(width=0),
        found(width=101, height=100),
        found(frames=0),
        found(frames=6),
        found(media_type="image/p\nng"),
        found(media_type=""),
        found(has_icc_profile=2),
        found(perceptual={"pdq": (), "phash": found().perceptual["phash"]}),
        one_view(frame=2),
        one_view(quality=101),
        one_view(quality=-2),
        one_view(view=""),
        one_view(view="a b"),
        one_view(view="x" * 65),
        Unscannable(Reason.CLEAN, "admitted by its decoder"),
        Unscannable(Reason.EMPTY, ""),
        Unscannable(Reason.EMPTY, "two\nlines"),
        Unscannable(Reason.EMPTY, "x" * 501),
    ],
)
def test_what_cannot_be_is_refused(outcome: Fingerprint | Unscannable) -> None:
    answer = FORM.encode(outcome)
    with pytest.raises(ProtocolError):
        FORM.decode(answer)


def test_hashes_of_another_size_are_not_sent() -> None:
    with pytest.raises(ProtocolError, match="size"):
        FORM.encode(one_view(hashes=bytes(32)))


def test_the_flag_of_low_quality_is_a_flag() -> None:
    answer = bytearray(FORM.encode(found(low_quality=frozenset())))
    place = answer.index(b"image/png") + len(b"image/png")
    assert answer[place] == 0
    answer[place] = 2
    with pytest.raises(ProtocolError, match="flag"):
        FORM.decode(bytes(answer))


@given(st.data())
def test_a_cut_or_longer_answer_is_refused(data: st.DataObject) -> None:
    answer = FORM.encode(found())
    cut = data.draw(st.integers(0, len(answer) - 1))
    with pytest.raises(ProtocolError):
        FORM.decode(answer[:cut])
    with pytest.raises(ProtocolError):
        FORM.decode(answer + data.draw(st.binary(min_size=1, max_size=9)))


def check_form(outcome: Fingerprint | Unscannable) -> None:
    if isinstance(outcome, Unscannable):
        assert outcome.reason in REASONS[Verdict.UNSCANNABLE]
        return
    assert 0 < outcome.width * outcome.height <= LIMITS.max_pixels
    assert 0 < outcome.frames <= LIMITS.max_frames
    assert outcome.media_type.isprintable()
    assert outcome.low_quality <= set(outcome.perceptual) == {"pdq", "phash"}
    for name, size in (("pdq", 256), ("phash", 64)):
        assert outcome.perceptual[name]
        for view in outcome.perceptual[name]:
            assert len(view.hashes) == size
            assert view.frame < outcome.frames
            assert -1 <= view.quality <= 100
            assert view.view.isprintable()


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: b"F" + tail)))
def test_arbitrary_bytes_are_refused_or_well_formed(answer: bytes) -> None:
    try:
        outcome = FORM.decode(answer)
    except ProtocolError:
        return
    check_form(outcome)


@given(st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_changed_answer_is_refused_or_well_formed(changes: list[tuple[int, int]]) -> None:
    answer = bytearray(FORM.encode(found()))
    for place, value in changes:
        answer[place % len(answer)] = value
    try:
        outcome = FORM.decode(bytes(answer))
    except ProtocolError:
        return
    check_form(outcome)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_frames_arrive(items: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, NONCE, items)
        longest = frame_bytes(len(items), sum(map(len, items)))
        assert receive(theirs, longest) == (NONCE, items)
        ours.close()
        assert receive(theirs, longest) is None


@given(st.binary(min_size=1, max_size=200))
def test_arbitrary_frames_are_refused_or_lists_of_bytes(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(sent)
        try:
            received = receive(theirs, 1000, time.monotonic() + 10)
        except ProtocolError:
            return
    assert received is not None
    assert sum(map(len, received[1])) <= len(sent)


def test_a_frame_that_claims_to_be_huge_is_refused(ends: Ends) -> None:
    ours, theirs = ends
    ours.sendall(struct.pack("<8sQ", NONCE, 1 << 62))
    with pytest.raises(ProtocolError, match="too long"):
        receive(theirs, 1000)


def test_an_item_that_claims_to_be_huge_is_refused(ends: Ends) -> None:
    ours, theirs = ends
    ours.sendall(struct.pack("<8sQQ", NONCE, 8, 1 << 62))
    with pytest.raises(ProtocolError, match="within an item"):
        receive(theirs, 1000)


def test_half_a_frame_times_out(ends: Ends) -> None:
    ours, theirs = ends
    ours.sendall(struct.pack("<8sQ", NONCE, 8))
    with pytest.raises(TimeoutError):
        receive(theirs, 1000, time.monotonic() + 0.05)
    with pytest.raises(TimeoutError):
        receive(theirs, 1000, time.monotonic() - 1)


def test_a_frame_that_is_not_taken_times_out(ends: Ends) -> None:
    """However slowly: each byte that is taken must not start the clock anew."""
    ours, theirs = ends
    with pytest.raises(TimeoutError):
        send(ours, NONCE, [bytes(8 << 20)], time.monotonic() + 0.05)
    received = theirs.recv(100)
    assert received[: len(NONCE)] == NONCE
    with pytest.raises(TimeoutError):
        send(ours, NONCE, [b""], time.monotonic() - 1)
