import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.png_chunks import chunks
from ingestgate.fingerprints.unscannable import Unscannable
from tests.fingerprints.conftest import Encode, Make


@pytest.fixture(scope="module")
def animated(make: Make, encode: Encode) -> bytes:
    return encode(make(1), "PNG", save_all=True, append_images=[make(2)], duration=100)


def control(content: bytes) -> tuple[int, bytes]:
    """Where the chunk stands, and the chunk."""
    at = content.index(b"acTL") - 4
    return at, content[at : at + 20]


def test_an_animation_says_so_once(animated: bytes, make: Make, encode: Encode) -> None:
    assert chunks(animated, b"acTL") == 1
    assert chunks(encode(make(1), "PNG"), b"acTL") == 0


def test_what_says_so_twice_is_held(animated: bytes) -> None:
    at, chunk = control(animated)
    twice = animated[:at] + chunk + animated[at:]
    assert chunks(twice, b"acTL") == 2
    fingerprinter = Fingerprinter(["pdq"], DecodeLimits())
    assert fingerprinter.fingerprint(animated).frames == 2
    with pytest.raises(Unscannable, match="says twice how it is animated") as held:
        fingerprinter.fingerprint(twice)
    assert held.value.reason is Reason.UNDECODABLE


def test_behind_the_picture_it_is_nothing(animated: bytes) -> None:
    _, chunk = control(animated)
    end = animated.index(b"IEND") - 4
    assert chunks(animated[:end] + chunk + animated[end:], b"acTL") == 1


def test_what_says_twice_what_is_transparent_is_held(make: Make, encode: Encode) -> None:
    """Pillow takes the last, here that all is opaque; libpng the first."""
    shades = make(1).convert("L").convert("P")
    once = encode(shades, "PNG", transparency=bytes(range(256)))
    at = once.index(b"tRNS") - 4
    data = bytes([255] * 256)
    second = struct.pack(">I4s", 256, b"tRNS") + data
    second += struct.pack(">I", zlib.crc32(second[4:]))
    behind = at + len(second)
    fingerprinter = Fingerprinter(["pdq"], DecodeLimits())
    fingerprinter.fingerprint(once)
    with pytest.raises(Unscannable, match="says twice what is transparent") as held:
        fingerprinter.fingerprint(once[:behind] + second + once[behind:])
    assert held.value.reason is Reason.UNDECODABLE


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1))
def test_whatever_the_bytes_it_ends(content: bytes, length: int) -> None:
    chunks(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", length, b"acTL") + content, b"acTL")
