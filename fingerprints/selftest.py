"""A known-answer test of the whole way from bytes to fingerprints."""

import functools
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingestgate.assets.errors import SelfTestError
from ingestgate.fingerprints import digest_lanes
from ingestgate.fingerprints.digests import digests
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.known_jpeg import known_jpeg
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.pdq import pdq, pdq_nearly
from ingestgate.fingerprints.resizing import resize, resize_nearly
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import FULL, THUMBNAIL, Picture

_SHA1_OF_ABC = "a9993e364706816aba3e25717850c26c9cd0d89d"  # FIPS 180
_PDQ = "389c1acaecb1f87838f18568c273d0e1c30b2f96370b6a15dd6eb88e3a9ed570"
_PHASH = "c2073c383b757ab4"
# Two bits apart: which way luma was had is seen.
_QUICK_PDQ = "c72938d01b39ed16d8cfb934c746c6cf3b30373124f4d8e9a9d646cf07462cd0"
_EXACT_PDQ = "c72938d01b39ed16d8cfb914e746c6cf3b30373124f4d8e9a9d646cf07462cd0"
_JPEG_PHASH = "8a053179b54b975e"
_NEAR = 4  # bits of a hash, or levels of a thumbnail, by which halving may move them


@functools.cache  # asked for twice, and a quarter of all this
def _luma() -> NDArray[np.uint8]:
    """Returns a benign generated picture, uint8[480, 640]: a wavy gradient and three shapes."""
    y, x = np.mgrid[0:480, 0:640]
    luma = (x * 3 + y * 5) // 25 + ((x // 40) * (y // 48) * 7) % 60
    luma[(x - 200) ** 2 + (y - 150) ** 2 < 90**2] = 250
    luma[300:430, 380:600] = 15
    luma[(x + 2 * y > 1250) & (x < 560)] = 128
    levels: NDArray[np.uint8] = luma.astype(np.uint8)
    levels.flags.writeable = False
    return levels


def _picture() -> bytes:
    """Returns the same as PNG."""
    sink = io.BytesIO()
    Image.fromarray(_luma()).save(sink, "PNG", compress_level=1)
    return sink.getvalue()


@functools.cache
def self_test() -> None:
    """Checks once in a process that this installation computes the fingerprints that it must.

    A decoder, compiler or CPU that deviates would let everything through in silence.

    Raises:
        SelfTestError: It does not.
    """
    if digests(b"abc")["sha1"] != _SHA1_OF_ABC:
        raise SelfTestError("fingerprints: the digest of a known text is wrong")
    digest_lanes.self_test()
    fingerprinter = Fingerprinter(("pdq", "phash"), DecodeLimits())
    _check(fingerprinter, "PNG", _picture(), _PDQ, _PHASH)
    _check(fingerprinter, "JPEG", known_jpeg(), _QUICK_PDQ, _JPEG_PHASH)
    _check(fingerprinter, "JPEG", known_jpeg(), _EXACT_PDQ, _JPEG_PHASH, exact=True)
    _check_halving()


def _check(
    fingerprinter: Fingerprinter,
    format: str,
    content: bytes,
    pdq: str,
    phash: str,
    *,
    exact: bool = False,
) -> None:
    try:
        found = fingerprinter.fingerprint(content, exact=exact)
    except Unscannable as error:
        raise SelfTestError(f"fingerprints: a known {format} is unscannable: {error}") from error
    for name, width, expected in (("pdq", 32, pdq), ("phash", 8, phash)):
        if found.low_quality or found.perceptual[name][0].hashes[:width].hex() != expected:
            raise _wrong(f"{name} of a known {format}")


def _check_halving() -> None:
    """Checks that a large picture's hashes by the quick way are near what they are in full."""
    luma = _luma().repeat(2, axis=0).repeat(2, axis=1)
    luma.flags.writeable = False  # as decoded pictures are: another type to the compiler
    picture = Picture(0, "", luma)
    for scaling in (FULL, THUMBNAIL):
        (near, _, _), (exact, _) = pdq_nearly(picture, scaling), pdq(luma, scaling)
        _refuse_far("pdq", int(np.bitwise_count(near ^ exact).sum(axis=1).max()))
    difference = resize_nearly(picture, 32).astype(int) - resize(luma, 32, 32)
    _refuse_far("phash's thumbnail", int(abs(difference).max()))


def _refuse_far(what: str, distance: int) -> None:
    if distance > _NEAR:
        raise _wrong(f"{what} of a halved picture")


def _wrong(what: str) -> SelfTestError:
    return SelfTestError(
        f"fingerprints: {what} is wrong; reinstall ingestgate's pinned dependencies, and clear "
        "numba's cache"
    )
