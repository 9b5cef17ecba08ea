import hashlib
from collections.abc import Iterator

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists import signals
from ingestgate.blocklists.signals import SignalType, signal_type, signal_types


class Point:
    value = "plugin.module:signal"

    def __init__(self, loaded: object) -> None:
        self._loaded = loaded

    def load(self) -> object:
        return self._loaded


@pytest.fixture(autouse=True)
def _uncached() -> Iterator[None]:
    signal_types.cache_clear()
    yield
    signal_types.cache_clear()


def test_widths_of_digests_are_those_of_the_algorithms() -> None:
    for signal in signal_types().values():
        if signal.kind is SignalKind.DIGEST:
            assert signal.width == hashlib.new(signal.name).digest_size


def test_defaults_of_perceptual_hashes() -> None:
    assert (signal_type("pdq").bits, signal_type("pdq").threshold) == (256, 31)
    assert (signal_type("phash").bits, signal_type("phash").threshold) == (64, 6)
    assert (signal_type("phash16").bits, signal_type("phash16").threshold) == (256, 24)
    assert (signal_type("colorhash").bits, signal_type("colorhash").threshold) == (64, 0)


def test_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no signal type 'md6'; known are .*md5"):
        signal_type("md6")


def test_plug_in_adds_a_perceptual_type(monkeypatch: pytest.MonkeyPatch) -> None:
    licensed = SignalType("licensed", SignalKind.PERCEPTUAL, 144, 10)
    monkeypatch.setattr(signals, "entry_points", lambda group: [Point(licensed)])
    assert signal_type("licensed") is licensed


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        ("text", "not a perceptual SignalType"),
        (SignalType("x", SignalKind.DIGEST, 16), "not a perceptual SignalType"),
        (SignalType("x", SignalKind.PERCEPTUAL, 12, 3), "not a perceptual SignalType"),
        (SignalType("x", SignalKind.PERCEPTUAL, 8, 33), "not a perceptual SignalType"),
        (SignalType("pdq", SignalKind.PERCEPTUAL, 32, 60), "a signal type pdq already"),
    ],
)
def test_plug_in_is_refused(monkeypatch: pytest.MonkeyPatch, offered: object, reason: str) -> None:
    monkeypatch.setattr(signals, "entry_points", lambda group: [Point(offered)])
    with pytest.raises(UsageError, match=reason):
        signal_types()
