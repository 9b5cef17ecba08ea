"""All perceptual fingerprints of an asset, by the hashes that the loaded lists need."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ingestgate.assets.errors import UsageError
from ingestgate.assets.ledger import PerceptualView
from ingestgate.fingerprints.decoding import decode
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import PerceptualHash, perceptual_hashes
from ingestgate.fingerprints.views import EXIF_THUMBNAIL, Picture

# Levels of luma, of 256, that a frame must span for there to be anything to see in it.
_VISIBLE_SPAN = 16


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an asset's pictures look like.

    Attributes:
        media_type: MIME type, by signature.
        width: Of the first frame as stored, in pixels.
        height: Likewise.
        frames: Frames or pages.
        perceptual: For each hash asked for, every view of every picture, without those whose
            hashes and quality an earlier view has had; the first frame's full view comes first.
        low_quality: The hashes that cannot be relied on for this asset. A frame counts as seen
            by a hash if one of the frame's views (EXIF thumbnail aside) has the hash's minimum
            quality; a hash without quality sees every frame that is not blank. Blank frames
            (luma spans less than 16 levels) need not be seen, as there is nothing to see; but
            one frame must be, and so must every frame that is not blank.
    """

    media_type: str
    width: int
    height: int
    frames: int
    perceptual: Mapping[str, tuple[PerceptualView, ...]]
    low_quality: frozenset[str]


class Fingerprinter:
    """Computes the fingerprints of assets; made once per worker, as compiling takes a second.

    Args:
        names: The perceptual hashes to compute; the others cost nothing.
        limits: What is decoded, and how much of it.

    Raises:
        UsageError: There is no hash of such a name.
    """

    def __init__(self, names: Iterable[str], limits: DecodeLimits) -> None:
        known = perceptual_hashes()
        names = sorted(set(names))
        if unknown := [name for name in names if name not in known]:
            raise UsageError(
                f"no perceptual hash {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        self._hashes = {name: known[name] for name in names}
        self._limits = limits
        for scheme in self._hashes.values():
            _compile(scheme)

    def fingerprint(self, content: bytes) -> Fingerprint:
        """Returns the fingerprints of an asset's bytes.

        Raises:
            Unscannable: They are no picture that can be decoded in full within the limits.
        """
        decoded = decode(content, self._limits)
        found = {name: _Views(scheme) for name, scheme in self._hashes.items()}
        for picture in decoded.pictures():
            for views in found.values():
                views.add(picture)
        return Fingerprint(
            decoded.media_type,
            decoded.width,
            decoded.height,
            decoded.frames,
            {name: tuple(views.distinct.values()) for name, views in found.items()},
            frozenset(name for name, views in found.items() if not views.reliable()),
        )


class _Views:
    """The views of one asset under one hash."""

    def __init__(self, scheme: PerceptualHash) -> None:
        self._scheme = scheme
        self._seen: dict[int, bool] = {}  # by frame that is not blank, whether it is seen
        self.distinct: dict[tuple[int, bytes], PerceptualView] = {}

    def add(self, picture: Picture) -> None:
        views = self._scheme.compute(picture)
        for view in views:
            self.distinct.setdefault((view.quality, view.hashes), view)
        if picture.variant != EXIF_THUMBNAIL and not _blank(picture):
            seen = self._scheme.min_quality is None or any(
                view.quality >= self._scheme.min_quality for view in views
            )
            self._seen[picture.frame] = seen or self._seen.get(picture.frame, False)

    def reliable(self) -> bool:
        return bool(self._seen) and all(self._seen.values())


def _blank(picture: Picture) -> bool:
    return int(picture.luma.max()) - int(picture.luma.min()) < _VISIBLE_SPAN


def _compile(scheme: PerceptualHash) -> None:
    """Has a hash compile (or load from disk) its kernels, on a picture that has every view."""
    luma = np.zeros((600, 600), np.uint8)
    scheme.compute(Picture(0, "", Image.fromarray(luma), luma))
