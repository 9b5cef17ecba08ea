"""Cryptographic digests of assets' original bytes."""

import hashlib
from collections.abc import Iterable, Sequence

#: Those that are taken of every asset.
DIGESTS = ("md5", "sha1", "sha256")

# All digests read a chunk while it lies in the CPU's second-level cache.
_CHUNK = 1 << 18

# Bytes from which on MD5 in lanes is worth its start: half a second, once in a process.
_MANY = 1 << 20

# The longest of some contents is by itself in the end: not longer than one part in so many of all.
_SHARE = 4


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


def digests_of(contents: Sequence[bytes], names: Sequence[str] = DIGESTS) -> list[dict[str, str]]:
    """Returns the `digests` of each content; of many, in less time than one by one.

    Raises:
        SelfTestError: This installation does not take them as it must.
    """
    together = _for_lanes(contents) if "md5" in names else []
    if not together:
        return [digests(content, names) for content in contents]
    from ingestgate.fingerprints import md5_lanes

    md5_lanes.self_test()
    md5s = dict(zip(together, md5_lanes.md5_many([contents[n] for n in together]), strict=True))
    found = []
    for number, content in enumerate(contents):
        known = {"md5": md5s[number].hex()} if number in md5s else {}
        computed = known | digests(content, [name for name in names if name not in known])
        found.append({name: computed[name] for name in names})
    return found


def _for_lanes(contents: Sequence[bytes]) -> list[int]:
    """Returns the places of the contents whose MD5 is better taken at once."""
    most = sum(map(len, contents)) // _SHARE
    places = [number for number, content in enumerate(contents) if len(content) <= most]
    return places if sum(len(contents[number]) for number in places) >= _MANY else []
