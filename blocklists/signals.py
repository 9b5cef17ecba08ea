"""The signal types that lists can hold: which family, how wide, how near is a match.

A third party adds a perceptual hash through the entry point group ``ingestgate.signals``, whose
entries load to a `SignalType` (PhotoDNA and other licensed hashes cannot ship here, but plug in).
"""

import functools
import hashlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import NamedTuple

from ingestgate.assets.errors import UsageError
from ingestgate.assets.verdict import SignalKind

ENTRY_POINTS = "ingestgate.signals"


class SignalType(NamedTuple):
    """One kind of value that a partner can list.

    Attributes:
        name: ``md5``, ``pdq``, ``domain``, ...; as on the command line and in findings.
        kind: Its family, which decides how it is matched.
        width: Bytes of one stored value; sources are stored as SHA-256 of an expression, and
            ``expression`` is what a partner lists hashed already. Perceptual hashes have a
            multiple of 8; zeros behind shorter ones, in lists and in what is computed, change no
            distance.
        threshold: Largest Hamming distance, in bits, that is a match unless a list or the
            policy says otherwise; 0 for digests and sources, which match exactly.
    """

    name: str
    kind: SignalKind
    width: int
    threshold: int = 0

    @property
    def bits(self) -> int:
        """Width in bits."""
        return 8 * self.width

    @property
    def never_match(self) -> frozenset[bytes]:
        """Values no list may hold, because accidents produce them and they match anything.

        Partner lists have carried each of them: all zeros and all ones (uninitialised or flat
        pictures), and the digest of the empty file; of sources, those of no expression at all
        and of a path without a host.
        """
        values = {bytes(self.width), b"\xff" * self.width}
        if self.kind is SignalKind.SOURCE:
            values.update(hashlib.sha256(text).digest() for text in (b"", b"/"))
        if self.kind is SignalKind.DIGEST:
            values.add(hashlib.new(self.name, usedforsecurity=False).digest())
        return frozenset(values)


# Thresholds of the imagehash family, measured on 890 photographs. Recompressing, blurring, halving
# and brightening move 99 in 100 by no more than the threshold under phash, phash16 and dhash, and
# of the 395,605 pairs 1, none and 1 are as near in any orientation. Under ahash and whash 2 bits
# bring 5 and 19 pairs as near, and halving alone moves 1 and 4; colorhash is the same for 2,855
# pairs. Those three are for lists that observe, not for lists that quarantine.
BUILT_IN = (
    SignalType("md5", SignalKind.DIGEST, 16),
    SignalType("sha1", SignalKind.DIGEST, 20),
    SignalType("sha256", SignalKind.DIGEST, 32),
    SignalType("sha512", SignalKind.DIGEST, 64),
    SignalType("pdq", SignalKind.PERCEPTUAL, 32, threshold=31),
    SignalType("phash", SignalKind.PERCEPTUAL, 8, threshold=6),
    SignalType("phash16", SignalKind.PERCEPTUAL, 32, threshold=24),
    SignalType("dhash", SignalKind.PERCEPTUAL, 8, threshold=4),
    SignalType("ahash", SignalKind.PERCEPTUAL, 8, threshold=2),
    SignalType("whash", SignalKind.PERCEPTUAL, 8, threshold=2),
    # 42 bits: the number that imagehash prints, with zeros in front to 16 digits.
    SignalType("colorhash", SignalKind.PERCEPTUAL, 8, threshold=0),
    SignalType("domain", SignalKind.SOURCE, 32),
    SignalType("url", SignalKind.SOURCE, 32),
    SignalType("expression", SignalKind.SOURCE, 32),
)


@functools.cache
def signal_types() -> Mapping[str, SignalType]:
    """Returns every signal type by name, those of installed plug-ins included.

    Raises:
        UsageError: A plug-in offers something that is no perceptual signal type, or a name
            that is taken.
    """
    found = {signal.name: signal for signal in BUILT_IN}
    for point in entry_points(group=ENTRY_POINTS):
        signal = point.load()
        if (
            not isinstance(signal, SignalType)
            or signal.kind is not SignalKind.PERCEPTUAL
            or signal.width <= 0
            or signal.width % 8
            or not 0 <= signal.threshold <= signal.bits // 2
        ):
            raise UsageError(
                f"plug-in {point.value}: not a perceptual SignalType whose width is a multiple of "
                "8 bytes (put zeros behind shorter hashes) and whose threshold is at most half its "
                "bits; correct or uninstall it"
            )
        if signal.name in found:
            raise UsageError(
                f"plug-in {point.value}: there is a signal type {signal.name} already; uninstall it"
            )
        found[signal.name] = signal
    return MappingProxyType(found)


def signal_type(name: str) -> SignalType:
    """Returns the signal type of a name.

    Raises:
        UsageError: There is none.
    """
    try:
        return signal_types()[name]
    except KeyError:
        known = ", ".join(sorted(signal_types()))
        raise UsageError(f"no signal type {name!r}; known are {known}") from None
