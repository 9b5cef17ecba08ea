"""The family of Python's `imagehash`: small thumbnails, thresholded.

Each hash resizes the picture to a few pixels and compares these, or their frequencies, with one
another. `imagehash` 4.3.2 is the reference: the upright hash equals its hash of the same picture
in mode L (colorhash: in mode RGB) bit for bit, in the byte order of its hex notation.

Every hash but colorhash, which does not see how a picture is turned, comes in all eight
orientations: the hash of the turned thumbnail. (Turning the full picture before it is resized
may differ in the last bit of some pixels, because Pillow rounds between columns and rows; that
moves 0 to 2 bits of the hash.)
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

import imagehash
import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.fingerprints.resizing import resize, resize_nearly
from ingestgate.fingerprints.views import FULL, ORIENTATIONS, Picture

_SIDE: Final = 8  # bits of a hash in each direction, unless it says otherwise
_OVERSAMPLING: Final = 4  # pixels of the thumbnail per frequency, in each direction
_TIE: Final = 1e-3  # between coefficients of up to 1e6, whose rounding is far less


def _turned(
    upright: NDArray[np.generic], sideways: NDArray[np.generic]
) -> list[NDArray[np.generic]]:
    """Returns the thumbnails of the turned picture, in the order of `views.ORIENTATIONS`.

    Args:
        upright: Thumbnail of the picture.
        sideways: Thumbnail of the transposed picture, transposed back.
    """
    transposed = sideways.T
    return [
        upright,
        transposed[::-1],
        upright[::-1, ::-1],
        transposed[:, ::-1],
        upright[::-1],
        upright[:, ::-1],
        transposed,
        transposed[::-1, ::-1],
    ]


@cache
def _dct_matrix(side: int) -> NDArray[np.float64]:
    """Returns the first rows of the DCT-II (as scaled by `scipy.fftpack`), float64[side, n]."""
    points = side * _OVERSAMPLING
    angles = np.outer(np.arange(side), 2 * np.arange(points) + 1) * (np.pi / (2 * points))
    matrix: NDArray[np.float64] = 2.0 * np.cos(angles)
    return matrix


def phash(picture: Picture, side: int = _SIDE) -> NDArray[np.bool_]:
    """Returns pHash: the lowest frequencies (2-D DCT-II) above their median.

    Args:
        picture: The picture.
        side: Frequencies in each direction, the mean among them.

    Returns:
        bool[8, side * side].
    """
    # Where colours were not asked for, near is enough: whatever matters is looked at again.
    points = side * _OVERSAMPLING
    quick = picture.colour is None
    small = resize_nearly(picture, points) if quick else resize(picture.luma, points, points)
    bits, gap = _phash_bits(small, _dct_matrix(side))
    return _phash_of_ties(small, side) if gap < _TIE else bits


#: The two orientations that come of each way of mirroring a picture, which changes the signs of
#: odd rows of frequencies (second and fourth) and of odd columns (third and fourth): as they are,
#: and transposed.
_MIRRORED = np.array([(0, 6), (4, 3), (5, 1), (2, 7)])


@njit(cache=True, nogil=True)
def _phash_bits(small: Any, dct: Any) -> tuple[Any, float]:
    """Returns bool[8, side * side], and the least distance of a median's two neighbours."""
    side, points = dct.shape
    half = np.zeros((side, points))
    for i in range(side):
        for k in range(points):
            for j in range(points):
                half[i, j] += dct[i, k] * small[k, j]
    low = np.zeros((side, side))
    for i in range(side):
        for j in range(side):
            for k in range(points):
                low[i, j] += half[i, k] * dct[j, k]
    bits = np.empty((8, side * side), np.bool_)
    gap = np.inf
    signed = np.empty((side, side))
    for mirrored in range(4):
        for i in range(side):
            for j in range(side):
                flips = (i & mirrored & 1) ^ (j & (mirrored >> 1))
                signed[i, j] = -low[i, j] if flips & 1 else low[i, j]
        ordered = np.sort(signed.ravel())
        below, above = ordered[side * side // 2 - 1], ordered[side * side // 2]
        gap = min(gap, above - below)
        upright, transposed = _MIRRORED[mirrored]
        for i in range(side):
            for j in range(side):
                bits[upright, i * side + j] = signed[i, j] >= above
                bits[transposed, j * side + i] = signed[i, j] >= above
    return bits, gap


def _phash_of_ties(small: NDArray[np.uint8], side: int) -> NDArray[np.bool_]:
    """Returns pHash where frequencies tie with the median: the reference's rounding decides."""
    # Takes a sixth of a second to import, in every process; most never need it.
    import scipy.fftpack

    pixels = np.stack(_turned(small, small))
    dct = scipy.fftpack.dct(scipy.fftpack.dct(pixels, axis=1), axis=2)
    low = dct[:, :side, :side].reshape(len(ORIENTATIONS), -1)
    bits: NDArray[np.bool_] = low > np.median(low, axis=1, keepdims=True)
    return bits


def phash16(picture: Picture) -> NDArray[np.bool_]:
    """Returns pHash of 16 x 16 frequencies, bool[8, 256]."""
    return phash(picture, 16)


def dhash(picture: Picture) -> NDArray[np.bool_]:
    """Returns dHash, bool[8, 64]: whether a pixel is brighter than the one to its left."""
    upright = resize(picture.luma, _SIDE, _SIDE + 1)
    sideways = resize(picture.luma, _SIDE + 1, _SIDE)
    pixels = np.stack(_turned(upright, sideways))
    bits: NDArray[np.bool_] = pixels[:, :, 1:] > pixels[:, :, :-1]
    return bits.reshape(len(ORIENTATIONS), -1)


def ahash(picture: Picture) -> NDArray[np.bool_]:
    """Returns aHash, bool[8, 64]: which pixels are brighter than the mean."""
    small = resize(picture.luma, _SIDE, _SIDE)
    return _flat(small > small.mean())


def whash(picture: Picture) -> NDArray[np.bool_]:
    """Returns wHash, bool[8, 64]: which Haar approximation coefficients are above their median.

    They are the means of 8 x 8 blocks of the picture, resized to a power of two each way.
    """
    side = max(_SIDE, 1 << (min(picture.luma.shape).bit_length() - 1))
    resized = picture.image.resize((side, side), Image.Resampling.LANCZOS)
    block = side // _SIDE
    sums = np.asarray(resized).reshape(_SIDE, block, _SIDE, block).sum((1, 3), np.int64)
    low, high = np.partition(sums.ravel(), (31, 32))[31:33]
    if low == high:
        # Equal to the median: the reference's rounding decides.
        return _flat(np.asarray(imagehash.whash(picture.image).hash))
    return _flat(sums > low)


def _flat(bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.stack(_turned(bits, bits)).reshape(len(ORIENTATIONS), -1)


def colorhash(picture: Picture) -> NDArray[np.bool_]:
    """Returns colorhash, bool[1, 64]: the shares of black, gray and twelve colours, 3 bits each.

    Its 42 bits are the last of the 64, so that the hash is the number that `imagehash` prints,
    with zeros in front.
    """
    if picture.colour is None:
        raise ValueError("colorhash needs a picture that was decoded with its colours")
    bits = imagehash.colorhash(picture.colour).hash.reshape(1, -1)
    return np.pad(bits, ((0, 0), (64 - bits.size, 0)))


class ImageHash(NamedTuple):
    """A hash of the family: the full view, no quality of its own. See `PerceptualHash`.

    Attributes:
        compute_bits: Returns bool[orientations, bits] of a picture.
    """

    name: str
    bits: int
    default_threshold: int
    compute_bits: Callable[[Picture], NDArray[np.bool_]]
    margin: int
    orientations: int = len(ORIENTATIONS)
    min_quality: int | None = None
    colour: bool = False

    def compute(self, picture: Picture) -> list[PerceptualView]:
        """Returns the hashes of a picture."""
        hashes = np.packbits(self.compute_bits(picture), axis=1).tobytes()
        return [PerceptualView(picture.frame, picture.view(FULL), -1, hashes)]


# The thresholds are those of `blocklists.signals`, where they are accounted for.
FAMILY = (
    ImageHash("phash", 64, 6, phash, 4),
    ImageHash("phash16", 256, 24, phash16, 24),
    ImageHash("dhash", 64, 4, dhash, 6),
    ImageHash("ahash", 64, 2, ahash, 6),
    ImageHash("whash", 64, 2, whash, 24),
    ImageHash("colorhash", 64, 0, colorhash, 0, orientations=1, colour=True),
)
