"""All perceptual fingerprints of an asset, by the hashes that the loaded lists need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from PIL import Image

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.decoding import decode, quiet
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import (
    QUALITY_MARGIN,
    BadViews,
    PerceptualHash,
    check_views,
    chosen_hashes,
)
from ingestgate.fingerprints.trimming import layers
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import CLIPPED, NEED_NOT_BE_SEEN, Picture

# Levels, of 256, that luma or a colour must span for there to be anything to see in a picture.
_VISIBLE_SPAN = 16

# A clipped picture of which no more than one part in so many is less than white shows the black
# specks of what is seen whole when it is scaled, as every photograph of 16 bits has them.
_WASHED_OUT = 8


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an asset's pictures look like.

    Attributes:
        media_type: MIME type, by signature.
        width: Of the first frame as stored, in pixels.
        height: Likewise.
        frames: Frames or pages.
        perceptual: For each hash asked for, every view of every picture, with and without its
            borders, but no view whose hashes and quality an earlier one has had; the first
            frame's full view comes first.
        low_quality: The hashes that cannot be relied on for this asset. What a frame shows, in
            each way that it is shown (on white, on black, without alpha...), counts as seen by a
            hash if one of the views of it has the hash's minimum quality; a hash without
            quality sees all that is not blank. What is blank (luma and colours span less than
            16 levels) need not be seen, as there is nothing to see; but something must be, and
            so must all that is not blank. A deep frame is blank only if all that it stores is one
            value: what is faint in it is spread out, and must be seen so. EXIF thumbnails, gain
            maps, indexes and what shows on gray count for nothing here, nor does a deep picture
            clipped if seven eighths of it are white.
        doubtful: The hashes of which only the exact way can tell what they are, or whether they can
            be relied on: they came the quick way, and are unsure (see `PerceptualView`), or of
            about the quality that is needed.
        is_quick: Whether any of it came the quick way (see `decoding`); if not, the exact way
            finds the same.
        has_icc_profile: Whether the first frame has an ICC profile; it is not applied.
    """

    media_type: str
    width: int
    height: int
    frames: int
    perceptual: Mapping[str, tuple[PerceptualView, ...]]
    low_quality: frozenset[str]
    doubtful: frozenset[str] = frozenset()
    is_quick: bool = False
    has_icc_profile: bool = False


class Fingerprinter:
    """Computes the fingerprints of assets; made once per worker, as compiling takes a second.

    Args:
        names: The perceptual hashes to compute; the others cost nothing.
        limits: What is decoded, and how much of it.

    Raises:
        UsageError: There is no hash of such a name.
    """

    def __init__(self, names: Iterable[str], limits: DecodeLimits) -> None:
        self._hashes = chosen_hashes(names)
        self._limits = limits
        self._colour = any(scheme.colour for scheme in self._hashes.values())
        for scheme in self._hashes.values():
            _compile(scheme)

    @property
    def is_exact(self) -> bool:
        """Whether there is but one way, the exact one: a hash needs colours."""
        return self._colour

    def fingerprint(self, content: bytes, *, exact: bool = False) -> Fingerprint:
        """Returns the fingerprints of an asset's bytes.

        Args:
            content: The whole file.
            exact: Go the way through RGB, as the references do, and not the quick one.

        Raises:
            Unscannable: They are no picture that can be decoded in full within the limits, or a
                hash raised or returned what it must not.
        """
        (outcome,) = self.fingerprint_many([content], exact=exact)
        if isinstance(outcome, Unscannable):
            raise outcome
        return outcome

    def fingerprint_many(
        self, contents: Iterable[bytes], *, exact: bool = False
    ) -> list[Fingerprint | Unscannable]:
        """Returns the fingerprints of several assets, or why one has none, in their order."""
        with quiet():  # once, as setting filters costs a tenth of decoding a small picture
            return [self._attempt(content, colour=exact or self._colour) for content in contents]

    def _attempt(self, content: bytes, *, colour: bool) -> Fingerprint | Unscannable:
        try:
            return self._fingerprint(content, colour=colour)
        except Unscannable as error:
            return error
        except MemoryError:
            return Unscannable(Reason.OUT_OF_MEMORY, "it takes more memory than there is")
        except BadViews:
            return Unscannable(Reason.INTERNAL_ERROR, "a hash returned no valid views")
        except Exception as error:  # noqa: BLE001 - whatever a hash raises, the asset is held
            # The message may quote the asset, so the type alone is passed on.
            name = type(error).__name__.encode("ascii", "replace").decode()
            return Unscannable(Reason.INTERNAL_ERROR, f"a hash raised {name}")

    def _fingerprint(self, content: bytes, *, colour: bool) -> Fingerprint:
        decoded = decode(content, self._limits, colour=colour)
        found = {name: _Views(scheme) for name, scheme in self._hashes.items()}
        for picture in decoded.pictures():
            shown = tuple(layers(picture))
            # Of a sequence's still, too: `still/on-gray`.
            kind = picture.variant.rpartition("/")[2]
            counts = kind not in NEED_NOT_BE_SEEN and not _is_washed_out(picture, kind)
            if counts and not _spans(picture.luma, _VISIBLE_SPAN):
                if decoded.is_quick:  # by which nothing is known of the colours
                    return self._fingerprint(content, colour=True)
                counts = _is_coloured(picture)
            for views in found.values():
                views.add(shown, counts=counts)
        if not decoded.frames:
            raise Unscannable(Reason.UNDECODABLE, f"{decoded.media_type} without any picture")
        return Fingerprint(
            decoded.media_type,
            decoded.width,
            decoded.height,
            decoded.frames,
            {name: tuple(views.distinct.values()) for name, views in found.items()},
            frozenset(name for name, views in found.items() if not views.reliable()),
            frozenset(name for name, views in found.items() if views.doubtful())
            if decoded.is_quick
            else frozenset(),
            decoded.is_quick,
            decoded.has_icc_profile,
        )


class _Views:
    """The views of one asset under one hash."""

    def __init__(self, scheme: PerceptualHash) -> None:
        self._scheme = scheme
        # The best quality of a view, by frame and variant that is not blank.
        self._best: dict[tuple[int, str], int] = {}
        self._is_unsure = False
        self.distinct: dict[tuple[int, bytes], PerceptualView] = {}

    def add(self, shown: Sequence[Picture], *, counts: bool) -> None:
        """Adds the views of one picture.

        Args:
            shown: The picture, then the picture without its borders.
            counts: Whether it must be seen, in one of these.
        """
        best = -1
        for picture in shown:
            views = self._scheme.compute(picture)
            check_views(self._scheme, picture, views)
            for view in views:
                self.distinct.setdefault((view.quality, view.hashes), view)
                best = max(best, view.quality)
                self._is_unsure |= view.is_unsure
        if counts:
            self._best[shown[0].frame, shown[0].variant] = best

    def reliable(self) -> bool:
        least = self._scheme.min_quality
        return bool(self._best) and (least is None or min(self._best.values()) >= least)

    def doubtful(self) -> bool:
        """Whether views, or `reliable`, could be otherwise by the exact way."""
        least = self._scheme.min_quality
        if self._is_unsure or least is None or not self._best:
            return self._is_unsure
        return -QUALITY_MARGIN <= min(self._best.values()) - least < QUALITY_MARGIN


@njit(cache=True, nogil=True)
def _spans(luma: Any, levels: int) -> bool:
    """Whether a picture's luma, uint8[height, width], spans so many levels; found out soon."""
    low = high = luma[0, 0]
    for row in range(luma.shape[0]):
        for column in range(luma.shape[1]):
            low = min(low, luma[row, column])
            high = max(high, luma[row, column])
        if int(high) - int(low) >= levels:
            return True
    return False


def _is_washed_out(picture: Picture, kind: str) -> bool:
    if kind != CLIPPED:
        return False
    return int(np.count_nonzero(picture.luma < 255)) * _WASHED_OUT <= picture.luma.size


def _is_coloured(picture: Picture) -> bool:
    """Whether a picture without luma to see shows something by its colours."""
    if picture.colour is None:
        return False
    extrema: Any = picture.colour.getextrema()
    return any(high - low >= _VISIBLE_SPAN for low, high in extrema)


def _compile(scheme: PerceptualHash) -> None:
    """Has a hash compile (or load from disk) its kernels, on a picture that has every view."""
    luma = np.zeros((1100, 1100), np.uint8)  # large enough to be halved
    luma.flags.writeable = False  # as decoded pictures are: another type to the compiler
    scheme.compute(Picture(0, "", luma, Image.fromarray(luma).convert("RGB")))
    if not scheme.colour:  # the quick way: other types again
        scheme.compute(Picture(0, "", luma))
