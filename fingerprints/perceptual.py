"""The one interface of perceptual hashes, and the hashes there are.

Third parties (a licensed hash, say) add theirs by an entry point in the group
``ingestgate.fingerprints`` that names a class or function; called without arguments, it returns
a `PerceptualHash`.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from ingestgate.assets.errors import UsageError
from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.fingerprints.imagehashes import FAMILY
from ingestgate.fingerprints.pdq import Pdq
from ingestgate.fingerprints.views import Picture

ENTRY_POINTS = "ingestgate.fingerprints"

#: By how much the quick way to luma may move a quality; as measured for `PerceptualHash.margin`.
QUALITY_MARGIN = 5

#: What a view may be called.
VIEW_NAME = re.compile(r"[!-~]{1,64}")

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_MOST_BITS = 4096


class BadViews(Exception):  # noqa: N818 - of the views, not of the program
    """A hash's views are not what it says of itself."""


class PerceptualHash(Protocol):
    """A hash that similar pictures share all but a few bits of.

    Attributes:
        name: The signal type: what lists call it, and the ledger's column. 1 to 32 of a-z, 0-9,
            _ and -, a letter first.
        bits: Width of one hash; a multiple of 8, 4,096 at most.
        default_threshold: The largest Hamming distance that counts as a match unless a list
            or the policy says otherwise; half the bits at most.
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
        """Returns the hashes of a picture in each of this hash's views, the full one first.

        At least one view, each of the picture's frame, of 1 to 64 printable ASCII characters
        for a name (`Picture.view`), a quality of -1 (none) or 0 to 100, and of as many hashes as
        there are orientations. Whatever else is returned holds the asset as `internal_error`.
        """
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
            problem = _problem(plugin)
        except Exception as error:
            raise UsageError(
                f"the perceptual hash {entry.name!r} of {entry.value!r} cannot be loaded: "
                f"{type(error).__name__}; repair or uninstall its package"
            ) from error
        if problem is None and plugin.name in hashes:
            problem = f"its name {plugin.name!r} is taken"
        if problem:
            raise UsageError(
                f"the perceptual hash {entry.name!r} of {entry.value!r} is refused: {problem}; "
                "repair or uninstall its package"
            )
        hashes[plugin.name] = plugin
    return hashes


def chosen_hashes(names: Iterable[str]) -> dict[str, PerceptualHash]:
    """Returns some of all perceptual hashes, each once, in the order of their names.

    Raises:
        UsageError: There is none of such a name; or as of `perceptual_hashes`.
    """
    known, chosen = perceptual_hashes(), sorted(set(names))
    if unknown := [name for name in chosen if name not in known]:
        raise UsageError(
            f"no perceptual hash {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    return {name: known[name] for name in chosen}


def _problem(plugin: Any) -> str | None:
    """Returns what of a plug-in is not as `PerceptualHash` has it; None if all of it is."""
    if not isinstance(plugin.name, str) or not _NAME.fullmatch(plugin.name):
        return "its name is not 1 to 32 of a-z, 0-9, _ and -, a letter first"
    if not _is_number(plugin.bits, 8, _MOST_BITS) or plugin.bits % 8:
        return f"its bits are not a multiple of 8 up to {_MOST_BITS}"
    if not _is_number(plugin.default_threshold, 0, plugin.bits // 2):
        return "its default threshold is not 0 to half its bits"
    if not _is_number(plugin.margin, 0, plugin.bits):
        return "its margin is not 0 to its bits"
    if plugin.min_quality is not None and not _is_number(plugin.min_quality, 0, 100):
        return "its least quality is neither None nor 0 to 100"
    if not _is_number(plugin.orientations, 1, 1) and not _is_number(plugin.orientations, 8, 8):
        return "its orientations are neither 1 nor 8"
    if not isinstance(plugin.colour, bool):
        return "whether it needs colours is not True or False"
    return None if callable(plugin.compute) else "its compute cannot be called"


def _is_number(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def check_views(scheme: PerceptualHash, picture: Picture, views: Any) -> None:
    """Checks that what a hash computed of a picture is what it says of itself.

    No view at all would be no query, and so no match.

    Raises:
        BadViews: It is not.
    """
    size = scheme.bits // 8 * scheme.orientations
    if not views:
        raise BadViews
    for view in views:
        if (
            view.frame != picture.frame
            or type(view.hashes) is not bytes
            or len(view.hashes) != size
            or not _is_number(view.quality, -1, 100)
            or not isinstance(view.view, str)
            or not VIEW_NAME.fullmatch(view.view)
        ):
            raise BadViews
