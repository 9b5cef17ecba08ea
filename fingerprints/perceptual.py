"""The one interface of perceptual hashes, and the hashes there are.

Third parties (a licensed hash, say) add theirs by an entry point in the group
``ingestgate.fingerprints`` that names a class or function; called without arguments, it returns
a `PerceptualHash`.
"""

from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from ingestgate.assets.errors import UsageError
from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.fingerprints.imagehashes import FAMILY
from ingestgate.fingerprints.pdq import Pdq
from ingestgate.fingerprints.views import Picture

ENTRY_POINTS = "ingestgate.fingerprints"

#: By how much the quick way to luma may move a quality; as measured for `PerceptualHash.margin`.
QUALITY_MARGIN = 5


class PerceptualHash(Protocol):
    """A hash that similar pictures share all but a few bits of.

    Attributes:
        name: The signal type: what lists call it, and the ledger's column.
        bits: Width of one hash; a multiple of 8.
        default_threshold: The largest Hamming distance that counts as a match unless a list
            or the policy says otherwise.
        min_quality: The lowest quality at which a hash is relied on; None for a hash without
            quality of its own.
        orientations: How many hashes a view has: 8 (see `views.ORIENTATIONS`) or 1 (upright).
        colour: Whether it needs `views.Picture.colour`.
        margin: By how many bits a hash may be moved by the quick way to luma (see
            `decoding`); a candidate within threshold and margin is looked at the exact way.
    """

    @property
    def name(self) -> str: ...
    @property
    def bits(self) -> int: ...
    @property
    def default_threshold(self) -> int: ...
    @property
    def min_quality(self) -> int | None: ...
    @property
    def orientations(self) -> int: ...
    @property
    def colour(self) -> bool: ...
    @property
    def margin(self) -> int: ...

    def compute(self, picture: Picture) -> list[PerceptualView]:
        """Returns the hashes of a picture in each of this hash's views, the full one first."""
        ...


@cache
def perceptual_hashes() -> dict[str, PerceptualHash]:
    """Returns all perceptual hashes by name: the built-in ones and the plug-ins'.

    Raises:
        UsageError: A plug-in cannot be loaded, or takes the name of another hash.
    """
    hashes: dict[str, PerceptualHash] = {scheme.name: scheme for scheme in (Pdq(), *FAMILY)}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            plugin: PerceptualHash = entry.load()()
            name, bits, _ = plugin.name, plugin.bits, (plugin.colour, plugin.margin)
        except Exception as error:
            raise UsageError(
                f"the perceptual hash {entry.name!r} of {entry.value!r} cannot be loaded: "
                f"{type(error).__name__}; repair or uninstall its package"
            ) from error
        if name in hashes or bits % 8:
            raise UsageError(
                f"the perceptual hash {name!r} of {entry.value!r} is refused: its name is taken, "
                f"or its {bits} bits are not whole bytes; uninstall its package"
            )
        hashes[name] = plugin
    return hashes
