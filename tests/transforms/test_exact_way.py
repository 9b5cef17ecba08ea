"""What comes near an entry by the quick way to luma is decided by the exact way."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ingestgate.assets.shard import Kind, Member
from ingestgate.assets.verdict import Reason, Verdict
from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.transforms.judging import Judge
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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bool]]:
    """What fingerprinters are asked for: each content, and whether the exact way."""
    noted: list[tuple[bytes, bool]] = []
    real = IsolatedFingerprinter.fingerprint_many

    def noting(self: Any, contents: list[bytes], *, exact: bool = False) -> object:
        noted.extend((content, exact) for content in contents)
        return real(self, contents, exact=exact)

    monkeypatch.setattr(IsolatedFingerprinter, "fingerprint_many", noting)
    return noted


def faded(spread: int, format: str = "JPEG") -> bytes:
    """A picture of whose levels so many parts in 256 are left."""
    levels = picture(9, (256, 256)).convert("L")
    gray = levels.point(lambda level: 128 + (level - 128) * spread // 256)
    sink = io.BytesIO()
    gray.convert("RGB").save(sink, format, quality=95)
    return sink.getvalue()


def test_quality_about_what_is_needed_is_looked_at_the_exact_way(
    fingerprinter: Fingerprinter, judge: MakeJudge, asked: list[tuple[bytes, bool]]
) -> None:
    one = judge(bytes(range(32)))
    seen: dict[int, bool] = {}
    for spread in range(24, 128, 2):  # of less, nothing can be seen
        content = faded(spread)
        found = fingerprinter.fingerprint(content)
        quality = max(view.quality for view in found.perceptual["pdq"])
        checked = one.check(Member("a.jpg", 0, content, Kind.PICTURE), {})
        seen[quality] = (content, True) in asked
        assert seen[quality] == bool(found.doubtful)
        if not 45 <= quality < 55:
            assert (checked.reason is Reason.LOW_QUALITY) == (quality < 50)
    assert all(again for quality, again in seen.items() if 45 <= quality < 55)
    assert not any(again for quality, again in seen.items() if 20 <= quality < 45)
    assert not any(again for quality, again in seen.items() if quality >= 55)
    for low, high in ((20, 45), (45, 50), (50, 55), (55, 100)):
        assert any(low <= quality < high for quality in seen)


def test_what_is_mostly_chance_is_matched_the_exact_way(
    fingerprinter: Fingerprinter, judge: MakeJudge, asked: list[tuple[bytes, bool]]
) -> None:
    """Nothing in it is as fine as what half of the bits stand for: rounding decides them."""
    coarse = picture(9, (600, 600)).resize((5, 5)).resize((600, 600), Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    coarse.save(sink, "JPEG", quality=90)
    content = sink.getvalue()
    bits = upright(fingerprinter, content, exact=True)
    quick = upright(fingerprinter, content, exact=False)
    listed = at(bits, THRESHOLD, bits == quick)
    assert int((bits != quick).sum()) > 16  # beyond what is found with a margin
    one = judge(listed)
    asked.clear()
    checked = one.check(Member("a.jpg", 0, content, Kind.PICTURE), {})
    assert asked == [(content, False), (content, True)]
    assert [finding.distance for finding in checked.evidence.findings] == [THRESHOLD]


@pytest.mark.parametrize(("distance", "found"), [(THRESHOLD, [THRESHOLD]), (THRESHOLD + 1, [])])
def test_what_has_no_quick_way_is_not_looked_at_twice(
    fingerprinter: Fingerprinter,
    judge: MakeJudge,
    asked: list[tuple[bytes, bool]],
    distance: int,
    found: list[int],
) -> None:
    """Neither near an entry nor for its quality, and the threshold is its own all the same."""
    near, flat = faded(256, "PNG"), faded(20, "PNG")
    bits = upright(fingerprinter, near, exact=True)
    one = judge(at(bits, distance, np.ones(256, bool)))
    asked.clear()  # of the canary
    checked = one.check(Member("a.png", 0, near, Kind.PICTURE), {})
    assert [finding.distance for finding in checked.evidence.findings] == found
    assert one.check(Member("b.png", 0, flat, Kind.PICTURE), {}).reason is Reason.LOW_QUALITY
    assert asked == [(near, False), (flat, False)]
