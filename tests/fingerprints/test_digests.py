import hashlib

import pytest

from ingestgate.fingerprints.digests import DIGESTS, digests


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1_000_003])
def test_equal_to_hashlib_whatever_the_chunks(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    assert digests(content) == {name: hashlib.new(name, content).hexdigest() for name in DIGESTS}


def test_others_by_name() -> None:
    names = ("sha512", "sha384", "blake2b")
    content = b"x" * ((1 << 18) + 1)
    assert digests(content, names) == {n: hashlib.new(n, content).hexdigest() for n in names}


def test_published_values() -> None:
    assert digests(b"abc") == {
        "md5": "900150983cd24fb0d6963f7d28e17f72",
        "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
