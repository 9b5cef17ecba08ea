from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ingestgate.assets.errors import SelfTestError
from ingestgate.fingerprints import decoding, digest_lanes, selftest
from ingestgate.fingerprints.decoding import decode
from ingestgate.fingerprints.known_jpeg import known_jpeg
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.pdq import pdq
from ingestgate.fingerprints.selftest import self_test
from ingestgate.fingerprints.views import Picture


@pytest.fixture(autouse=True)
def _anew() -> None:
    self_test.cache_clear()


def test_this_installation_passes() -> None:
    self_test()


@pytest.mark.parametrize(
    ("constant", "says"),
    [
        ("_PDQ", "pdq of a known PNG"),
        ("_PHASH", "phash of a known PNG"),
        ("_QUICK_PDQ", "pdq of a known JPEG"),
        ("_EXACT_PDQ", "pdq of a known JPEG"),
        ("_JPEG_PHASH", "phash of a known JPEG"),
        ("_SHA1_OF_ABC", "digest"),
    ],
)
def test_a_deviation_is_named(monkeypatch: pytest.MonkeyPatch, constant: str, says: str) -> None:
    monkeypatch.setattr(selftest, constant, "00")
    with pytest.raises(SelfTestError, match=says):
        self_test()


def test_a_deviation_of_the_quick_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = decoding.Decoded._shown

    def shown(self: decoding.Decoded, number: int) -> Iterator[Picture]:
        for picture in real(self, number):
            mirrored = np.ascontiguousarray(picture.luma[:, ::-1])
            yield replace(picture, luma=mirrored) if self.is_quick else picture

    monkeypatch.setattr(decoding.Decoded, "_shown", shown)
    with pytest.raises(SelfTestError, match="of a known JPEG is wrong"):
        self_test()


def test_digests_in_lanes_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    digest_lanes.self_test.cache_clear()
    monkeypatch.setattr(digest_lanes, "digest_many", lambda _, contents: [b""] * len(contents))
    with pytest.raises(SelfTestError, match="the md5 of known texts is wrong"):
        self_test()


def test_the_known_jpeg_goes_both_ways() -> None:
    for colour in (False, True):
        decoded = decode(known_jpeg(), DecodeLimits(), colour=colour)
        assert list(decoded.pictures())
        assert decoded.is_quick is not colour


def test_an_undecodable_picture_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "_picture", lambda: b"")
    with pytest.raises(SelfTestError, match="unscannable"):
        self_test()


@pytest.mark.parametrize("what", ["pdq", "phash's thumbnail"])
def test_a_deviation_in_what_is_halved_is_named(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    halved = Picture.halved

    def moved(picture: Picture, times: int) -> np.ndarray:
        found = np.roll(halved(picture, times), 40 if times else 0, axis=1)
        found.flags.writeable = False
        return found

    monkeypatch.setattr(Picture, "halved", moved)
    if what != "pdq":
        exactly = lambda shown, scaling: (*pdq(shown.luma, scaling), 0)  # noqa: E731
        monkeypatch.setattr(selftest, "pdq_nearly", exactly)
    with pytest.raises(SelfTestError, match=f"{what} of a halved picture"):
        self_test()
