"""Cryptographic digests of an asset's original bytes, in one pass."""

import hashlib
from collections.abc import Iterable

#: Those that are taken of every asset.
DIGESTS = ("md5", "sha1", "sha256")

# All digests read a chunk while it lies in the CPU's second-level cache.
_CHUNK = 1 << 18


def digests(content: bytes, names: Iterable[str] = DIGESTS) -> dict[str, str]:
    """Returns the lower-case hex digest of ``content`` for each of some names `hashlib` knows.

    Partners publish MD5 and SHA-1 far more often than SHA-256. Nothing here relies on their
    resistance to collisions: a collision with a listed file is a false alarm, at worst.
    """
    states = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    with memoryview(content) as view:
        for start in range(0, len(view), _CHUNK):
            chunk = view[start : start + _CHUNK]
            for state in states.values():
                state.update(chunk)
    return {name: state.hexdigest() for name, state in states.items()}
