"""One view of an asset under one perceptual hash, as it is computed, matched and recorded.

A module of its own, because the process that decodes loads it: it must not load what only the
ledger needs.
"""

from typing import NamedTuple


class PerceptualView(NamedTuple):
    """One view of one frame under one perceptual hash.

    Attributes:
        frame: 0-based frame or page.
        view: ``full``, ``thumbnail-512``, ...
        quality: The hash's own quality, 0 to 100; -1 where it has none.
        hashes: The raw hashes of all orientations, concatenated in the order of
            `fingerprints.views.ORIENTATIONS` (a hash without orientations has one).
        is_unsure: Whether so much of it is chance that it may be further than the hash's margin
            from what the exact way finds; not recorded.
    """

    frame: int
    view: str
    quality: int
    hashes: bytes
    is_unsure: bool = False
