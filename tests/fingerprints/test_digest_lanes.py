import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import codegen

from ingestgate.assets.errors import SelfTestError
from ingestgate.fingerprints import digest_lanes
from ingestgate.fingerprints.digest_lanes import LANED, digest_many
from ingestgate.fingerprints.digest_steps import has_sha_instructions, has_wide_registers
from ingestgate.fingerprints.digests import digests_of

# RFC 1321, appendix A.5, and the examples that NIST publishes for FIPS 180.
PUBLISHED = {
    "md5": {
        b"": "d41d8cd98f00b204e9800998ecf8427e",
        b"a": "0cc175b9c0f1b6a831c399e269772661",
        b"abc": "900150983cd24fb0d6963f7d28e17f72",
        b"message digest": "f96b697d7cb7938d525a2f31aaf161d0",
        b"abcdefghijklmnopqrstuvwxyz": "c3fcd3d76192e4007dfb496cca67e13b",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": (
            "d174ab98d277d9f5a5611c2c9f419d9f"
        ),
        b"1234567890" * 8: "57edf4a22be3c955ac49da2e2107b67a",
    },
    "sha1": {
        b"abc": "a9993e364706816aba3e25717850c26c9cd0d89d",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        ),
        b"a" * 1_000_000: "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
    },
    "sha256": {
        b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        b"a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    },
}
NAMES = tuple(PUBLISHED)
COMPILED_FOR = """
import random
from ingestgate.fingerprints.digest_steps import STEPS
from ingestgate.fingerprints.digests import digests, digests_of

chance = random.Random(0)
contents = [chance.randbytes(chance.randrange(1 << 16)) for _ in range(70)]
assert digests_of(contents) == [digests(content) for content in contents]
print(*(f"{name}:{steps.lanes}" for name, steps in STEPS.items()))
"""

# A page that may not be read lies behind the ends of the contents; one of two lanes is idle soon.
GUARDED = """
import ctypes, mmap, sys
from ingestgate.fingerprints import digest_lanes

contents, name = [bytes(10_000), b"x"], sys.argv[1]
page = mmap.mmap(-1, 2 * mmap.PAGESIZE)
behind = ctypes.addressof(ctypes.c_char.from_buffer(page)) + mmap.PAGESIZE
protect = ctypes.CDLL(None, use_errno=True).mprotect
protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
assert protect(behind, mmap.PAGESIZE, 0) == 0
real = digest_lanes._address

def address(content):
    if content in contents:
        return real(content)
    ctypes.memmove(behind - len(content), content, len(content))
    return behind - len(content)

digest_lanes._address = address
print(*(digest.hex() for digest in digest_lanes.digest_many(name, contents)))
"""


def needs(name: str) -> None:
    if name not in LANED:
        pytest.skip("this processor has neither wide registers nor instructions for SHA")


LENGTHS = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 40_000)), max_size=60)


def expected(name: str, contents: list[bytes]) -> list[str]:
    return [hashlib.new(name, each, usedforsecurity=False).hexdigest() for each in contents]


def found(name: str, contents: list[bytes]) -> list[str]:
    return [digest.hex() for digest in digest_many(name, contents)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values(name: str) -> None:
    needs(name)
    assert found(name, list(PUBLISHED[name])) == list(PUBLISHED[name].values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 15, 16, 17, 48])
def test_as_many_as_there_are(name: str, count: int) -> None:
    needs(name)
    contents = [bytes([number]) * 1000 for number in range(count)]
    assert found(name, contents) == expected(name, contents)


@pytest.mark.parametrize("name", NAMES)
def test_every_length_around_the_ends_of_blocks(name: str) -> None:
    needs(name)
    contents = [random.Random(n).randbytes(n) for n in range(260)]
    assert found(name, contents) == expected(name, contents)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(lengths=LENGTHS, chance=st.randoms())
def test_equal_to_hashlib_whatever_the_lengths(
    name: str, lengths: list[int], chance: random.Random
) -> None:
    """Lanes whose content has ended take another, until there are none left."""
    needs(name)
    contents = [chance.randbytes(length) for length in lengths]
    assert found(name, contents) == expected(name, contents)


@pytest.mark.parametrize("name", NAMES)
def test_a_deviation_is_noticed_before_it_decides(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    needs(name)
    contents = [bytes(1 << 17)] * 20
    assert {each[name] for each in digests_of(contents)} == {*expected(name, contents)}
    digest_lanes.self_test.cache_clear()
    real = digest_lanes._compiled

    def deviating(of: str) -> Any:
        def digest(*arguments: Any) -> None:
            real(of)(*arguments)
            arguments[-1][3] ^= of == name

        return digest

    monkeypatch.setattr(digest_lanes, "_compiled", deviating)
    with pytest.raises(SelfTestError, match=f"the {name} of known texts"):
        digests_of(contents)


def narrow() -> str:
    """The features of this processor but for its wide registers."""
    features = codegen.get_host_cpu_features().split(",")
    return ",".join(f"-{one[1:]}" if one.startswith("+avx512") else one for one in features)


@pytest.mark.parametrize(
    ("variable", "value", "lanes", "can"),
    [
        ("CPU_NAME", lambda: "generic", "md5:16", lambda: True),
        ("CPU_FEATURES", narrow, "md5:16 sha1:2 sha256:2", has_sha_instructions),
        (
            *("CPU_FEATURES", codegen.get_host_cpu_features),
            *("md5:32 sha1:16 sha256:16", has_wide_registers),
        ),
    ],
    ids=["plain", "instructions for SHA", "wide registers"],
)
def test_each_kind_of_processor(
    variable: str, value: Callable[[], str], lanes: str, can: Callable[[], bool]
) -> None:
    """In a process of its own, as what is compiled for is settled when numba is loaded."""
    if not can():
        pytest.skip("this processor is of another kind")
    told = subprocess.run(
        [sys.executable, "-c", COMPILED_FOR],
        env=os.environ | {f"NUMBA_{variable}": value()},
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == lanes


@pytest.mark.parametrize("name", NAMES)
def test_idle_lanes_read_nothing_that_is_not_there(name: str) -> None:
    needs(name)
    told = subprocess.run(
        [sys.executable, "-c", GUARDED, name], check=False, capture_output=True, text=True
    )
    assert told.returncode == 0, told
    assert told.stdout.split() == expected(name, [bytes(10_000), b"x"])
