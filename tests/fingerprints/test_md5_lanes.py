import hashlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.assets.errors import SelfTestError
from ingestgate.fingerprints import md5_lanes
from ingestgate.fingerprints.digests import digests_of
from ingestgate.fingerprints.md5_lanes import LANES, md5_many

# RFC 1321, appendix A.5.
PUBLISHED = {
    b"": "d41d8cd98f00b204e9800998ecf8427e",
    b"a": "0cc175b9c0f1b6a831c399e269772661",
    b"abc": "900150983cd24fb0d6963f7d28e17f72",
    b"message digest": "f96b697d7cb7938d525a2f31aaf161d0",
    b"abcdefghijklmnopqrstuvwxyz": "c3fcd3d76192e4007dfb496cca67e13b",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": (
        "d174ab98d277d9f5a5611c2c9f419d9f"
    ),
    b"1234567890" * 8: "57edf4a22be3c955ac49da2e2107b67a",
}


def expected(contents: list[bytes]) -> list[str]:
    return [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in contents]


def found(contents: list[bytes]) -> list[str]:
    return [digest.hex() for digest in md5_many(contents)]


def test_published_values() -> None:
    assert found(list(PUBLISHED)) == list(PUBLISHED.values())


@pytest.mark.parametrize("count", [0, 1, LANES - 1, LANES, LANES + 1, 3 * LANES])
def test_as_many_as_there_are(count: int) -> None:
    contents = [bytes([number]) * 1000 for number in range(count)]
    assert found(contents) == expected(contents)


def test_every_length_around_the_ends_of_blocks() -> None:
    contents = [random.Random(n).randbytes(n) for n in range(260)]
    assert found(contents) == expected(contents)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 40_000)), max_size=60), st.randoms())
def test_equal_to_hashlib_whatever_the_lengths(lengths: list[int], chance: random.Random) -> None:
    """Lanes whose content has ended take another, until there are none left."""
    contents = [chance.randbytes(length) for length in lengths]
    assert found(contents) == expected(contents)


def test_a_deviation_is_noticed_before_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [bytes(1 << 17)] * 20
    assert {each["md5"] for each in digests_of(contents)} == {*expected(contents)}
    md5_lanes.self_test.cache_clear()
    real = md5_lanes._digest

    def deviating(*arguments: Any) -> None:
        real(*arguments)
        arguments[-1][3] ^= 1

    monkeypatch.setattr(md5_lanes, "_digest", deviating)
    with pytest.raises(SelfTestError, match="MD5 of known texts"):
        digests_of(contents)
