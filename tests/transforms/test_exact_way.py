"""What comes near an entry by the quick way to luma is decided by the exact way."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.shard import Kind, Member
from ingestgate.assets.verdict import Reason, Verdict
from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.looking import Look, Looker
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import open_judge
from tests.pictures import picture

THRESHOLD = 31
MakeJudge = Callable[[bytes], Judge]


def clipped(seed: int) -> bytes:
    """A JPEG whose colours go beyond what RGB holds, so that the two ways differ."""
    rng = np.random.default_rng(seed)
    luma = np.asarray(picture(seed, (640, 480)).convert("L"))
    planes = [luma, *(rng.choice([60, 128, 200], (480 // 8, 640 // 8)) for _ in range(2))]
    channels = [
        Image.fromarray(plane.astype(np.uint8)).resize((640, 480), Image.Resampling.BICUBIC)
        for plane in planes
    ]
    sink = io.BytesIO()
    Image.merge("YCbCr", channels).save(sink, "JPEG", quality=92)
    return sink.getvalue()


@pytest.fixture(scope="module")
def fingerprinter() -> Fingerprinter:
    return Fingerprinter(["pdq"], DecodeLimits())


@pytest.fixture
def judge(tmp_path: Path) -> MakeJudge:
    def make(listed: bytes) -> Judge:
        (tmp_path / "pdq.txt").write_text(listed.hex() + "\n")
        compile_list(
            id="partner",
            version=1,
            sources=[("pdq", str(tmp_path / "pdq.txt"))],
            to=str(tmp_path / "lists"),
            issued=datetime(2026, 1, 1, tzinfo=UTC),
        )
        return open_judge(Policy(perceptual=("pdq",)), str(tmp_path / "lists"))

    return make


def upright(fingerprinter: Fingerprinter, content: bytes, *, exact: bool) -> np.ndarray:
    found = fingerprinter.fingerprint(content, exact=exact).perceptual["pdq"][0]
    return np.unpackbits(np.frombuffer(found.hashes[:32], np.uint8))


def at(bits: np.ndarray, distance: int, among: np.ndarray) -> bytes:
    """Returns a hash at a distance, with bits flipped that are among those given."""
    flipped = bits.copy()
    flipped[np.flatnonzero(among)[:distance]] ^= 1
    return np.packbits(flipped).tobytes()


def differing(
    fingerprinter: Fingerprinter, least: int = 2, most: int = 8
) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Returns a picture on which the ways differ by so many bits, and its hash by each."""
    for seed in range(60):
        content = clipped(seed)
        quick = upright(fingerprinter, content, exact=False)
        exact = upright(fingerprinter, content, exact=True)
        if least <= (quick != exact).sum() <= most:
            return content, quick, exact
    raise AssertionError("no picture on which the ways differ")


@pytest.mark.parametrize(("least", "most"), [(2, 8), (14, 16)])  # pictures as they are: 8
def test_beyond_the_threshold_the_quick_way_and_within_it_the_exact_way(
    fingerprinter: Fingerprinter, judge: MakeJudge, least: int, most: int
) -> None:
    content, quick, exact = differing(fingerprinter, least, most)
    listed = at(exact, THRESHOLD, quick == exact)
    apart = int((np.unpackbits(np.frombuffer(listed, np.uint8)) != quick).sum())
    assert apart == THRESHOLD + (quick != exact).sum()
    checked = judge(listed).check(Member("a.jpg", 0, content, Kind.PICTURE), {})
    assert checked.verdict is Verdict.QUARANTINED
    (finding,) = checked.evidence.findings
    assert finding.distance == THRESHOLD
    assert checked.fingerprint is not None
    # What is recorded is what decided.
    recorded = checked.fingerprint.perceptual["pdq"][0].hashes[:32]
    assert recorded == np.packbits(exact).tobytes()


def test_within_the_threshold_the_quick_way_and_beyond_it_the_exact_way(
    fingerprinter: Fingerprinter, judge: MakeJudge
) -> None:
    content, quick, exact = differing(fingerprinter)
    listed = at(quick, THRESHOLD, quick == exact)
    checked = judge(listed).check(Member("a.jpg", 0, content, Kind.PICTURE), {})
    assert (checked.verdict, checked.reason) == (Verdict.ADMITTED, Reason.CLEAN)


@pytest.mark.parametrize("distance", range(THRESHOLD - 2, THRESHOLD + 9))
def test_the_threshold_is_the_exact_ways(
    fingerprinter: Fingerprinter, judge: MakeJudge, distance: int
) -> None:
    content, _, exact = differing(fingerprinter)
    listed = at(exact, distance, np.ones(256, bool))
    checked = judge(listed).check(Member("a.jpg", 0, content, Kind.PICTURE), {})
    assert (checked.verdict is Verdict.QUARANTINED) == (distance <= THRESHOLD)


def framed_differing(fingerprinter: Fingerprinter) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Returns a picture with a border, and what lies within hashed the quick and the exact way."""
    for seed in range(20):
        framed = Image.new("RGB", (700, 560), (250, 250, 250))
        framed.paste(Image.open(io.BytesIO(clipped(seed))).convert("RGB"), (30, 40))
        sink = io.BytesIO()
        framed.save(sink, "JPEG", quality=90)
        both = []
        for exact in (False, True):
            views = fingerprinter.fingerprint(sink.getvalue(), exact=exact).perceptual["pdq"]
            (within,) = (view.hashes[:32] for view in views if view.view == "trimmed/full")
            both.append(np.unpackbits(np.frombuffer(within, np.uint8)))
        if (both[0] != both[1]).any():
            return sink.getvalue(), both[0], both[1]
    raise AssertionError


@pytest.mark.parametrize("distance", [THRESHOLD - 1, THRESHOLD, THRESHOLD + 1])
def test_what_lies_within_a_border_is_decided_the_exact_way(
    fingerprinter: Fingerprinter, judge: MakeJudge, distance: int
) -> None:
    content, quick, exact = framed_differing(fingerprinter)
    listed = at(exact, distance, quick == exact)  # further away the quick way
    checked = judge(listed).check(Member("a.jpg", 0, content, Kind.PICTURE), {})
    assert (checked.verdict is Verdict.QUARANTINED) == (distance <= THRESHOLD)


def test_the_isolated_child_knows_both_ways(fingerprinter: Fingerprinter, judge: MakeJudge) -> None:
    content, quick, exact = differing(fingerprinter)
    isolated = judge(bytes(range(32))).fingerprinter
    for way, bits in ((False, quick), (True, exact)):
        found = isolated.fingerprint(content, exact=way).perceptual["pdq"][0]
        assert found.hashes[:32] == np.packbits(bits).tobytes()


def test_quality_near_what_is_needed_is_looked_at_the_exact_way(
    judge: MakeJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blurred until its quality lies just where it still suffices."""
    one = judge(bytes(range(32)))
    asked: list[bool] = []
    real = type(one.fingerprinter).fingerprint_many

    def noting(self: Any, contents: list[bytes], *, exact: bool = False) -> object:
        asked.append(exact)
        return real(self, contents, exact=exact)

    monkeypatch.setattr(type(one.fingerprinter), "fingerprint_many", noting)
    qualities = set()
    for spread in range(2, 128, 2):
        gray = (
            picture(9, (256, 256))
            .convert("L")
            .point(lambda v, s=spread: 128 + (v - 128) * s // 256)
        )
        sink = io.BytesIO()
        gray.convert("RGB").save(sink, "JPEG", quality=95)
        asked.clear()
        checked = one.check(Member("a.jpg", 0, sink.getvalue(), Kind.PICTURE), {})
        assert checked.fingerprint is not None
        best = max(view.quality for view in checked.fingerprint.perceptual["pdq"])
        qualities.add(best)
        assert (True in asked) == (best < 55), best
    assert any(50 <= quality < 55 for quality in qualities)
    assert any(quality >= 55 for quality in qualities)


@pytest.mark.parametrize(
    ("views", "doubtful"),
    [
        ([(0, "full", 90), (1, "full", 52)], True),
        ([(0, "full", 90), (0, "on-black/full", 54)], True),
        ([(0, "full", 90), (1, "full", 55)], False),
        ([(0, "full", 90), (1, "full", 52), (1, "trimmed/full", 80)], False),
        ([(0, "full", 90), (0, "exif-thumbnail/full", 52), (0, "on-gray/full", 52)], False),
    ],
    ids=["frame", "variant", "beyond", "trimmed", "need-not-be-seen"],
)
def test_each_way_a_frame_is_shown_is_seen_by_enough_or_looked_at_again(
    judge: MakeJudge, views: list[tuple[int, str, int]], doubtful: bool
) -> None:
    own = judge(b"\x55" * 32)
    looker = Looker(own.policy, own.lists, own.fingerprinter)
    found = tuple(PerceptualView(*view, bytes(256)) for view in views)
    outcome = Fingerprint("image/jpeg", 8, 8, 2, {"pdq": found}, frozenset())
    assert looker.is_in_doubt(Look(outcome)) is doubtful
