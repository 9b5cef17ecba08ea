import pytest

from ingestgate.assets.errors import SelfTestError
from ingestgate.fingerprints import selftest
from ingestgate.fingerprints.selftest import self_test


def test_this_installation_passes() -> None:
    self_test()


@pytest.mark.parametrize(
    ("constant", "says"), [("_PDQ", "pdq"), ("_PHASH", "phash"), ("_SHA1_OF_ABC", "digest")]
)
def test_a_deviation_is_named(monkeypatch, constant: str, says: str) -> None:
    monkeypatch.setattr(selftest, constant, "00")
    with pytest.raises(SelfTestError, match=says):
        self_test()


def test_an_undecodable_picture_is_a_failure(monkeypatch) -> None:
    monkeypatch.setattr(selftest, "_picture", lambda: b"")
    with pytest.raises(SelfTestError, match="unscannable"):
        self_test()
