"""PDQ, the 256-bit perceptual hash of ThreatExchange, as banded linear operators.

The reference blurs every pixel with two passes of box filters and then keeps 64 x 64 of them.
Both steps are linear and separable, so together they are one banded matrix from the left and
one from the right (see `operators`); so is the scaling that some ports of PDQ do before. The
2-D DCT-II of that 64 x 64 buffer, frequencies 1 to 16 each way, thresholded at its median, is
the hash.

Each orientation is the hash of the turned picture. That is not what the reference's own eight
("dihedral") hashes are: they change signs in one DCT, as if the blur and decimation were
symmetric, which they are not for every size. On photographs those differ from the hash of the
turned picture by up to 104 bits, and for one in a hundred by more than the threshold of 31. So
the operators are mirrored here, and four buffers transformed instead of one.

Source: "PDQ: An Algorithm for Image Hashing" (Meta, 2019) and its C++ reference. Equal to
`pdqhash.compute` of the turned pixels bit for bit, except where a coefficient lies within
float32's rounding of the median.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.fingerprints import halving
from ingestgate.fingerprints.image_memory import luma_of_colours
from ingestgate.fingerprints.operators import (
    BICUBIC,
    Banded,
    Paired,
    apply,
    compose,
    kept,
    nearest,
    paired,
    resampling,
    tent,
)
from ingestgate.fingerprints.views import (
    FULL,
    ORIENTATIONS,
    SQUARE,
    THUMBNAIL,
    Picture,
    scaled_size,
    scalings,
)

HASH_BYTES = 32
_SIDE = 64
_FREQUENCIES = 16
_REDUCING_GAP = 8
_MAGNITUDE = np.int32(0x7FFFFFFF)  # all bits of a float but the sign
_NOISE = 1.2  # levels, of 256: four standard deviations of what rounding does to luma
_MOST_UNDECIDED = 24  # bits of a hash; of these, no more flip than the margin allows (measured)
_SMALLEST = 5  # pixels; the reference gives smaller pictures an empty hash of quality 0


def _dct_matrix() -> NDArray[np.float32]:
    """Returns rows 1 to 16 of the DCT-II of 64 points, float32[16, 64].

    The scale is rounded to float32 before it is multiplied, as in the reference.
    """
    scale = float(np.float32(math.sqrt(2.0 / _SIDE)))
    angle = math.pi / 2.0 / _SIDE
    return np.array(
        [
            [scale * math.cos(angle * (i + 1) * (2 * j + 1)) for j in range(_SIDE)]
            for i in range(_FREQUENCIES)
        ],
        np.float32,
    )


_DCT = _dct_matrix()
_DCT_T = np.ascontiguousarray(_DCT.T)

# How each orientation, in the order of `views.ORIENTATIONS`, comes from the picture: mirrored
# top to bottom, mirrored left to right, then transposed.
_TURNS = np.array(
    [
        [0, 0, 0],
        [0, 1, 1],
        [1, 1, 0],
        [1, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 1, 1],
    ],
    np.uint8,
)


@njit(cache=True, nogil=True)
def _gradients(levels: Any, others: Any) -> Any:
    total = np.int32(0)
    for place in range(len(levels)):
        gradient = (levels[place] - others[place]) * np.float32(100.0) / np.float32(255.0)
        total += abs(np.int32(gradient))
    return total


@njit(cache=True, nogil=True)
def _quality(buffer: Any) -> int:
    """Returns the reference's image-domain quality, 0 to 100: the sum of large gradients."""
    levels = buffer.copy().ravel()
    total = _gradients(levels[:-_SIDE], levels[_SIDE:]) + _gradients(levels[:-1], levels[1:])
    total -= _gradients(buffer[:-1, -1], buffer[1:, 0])  # from the end of a row to the next one
    return min(int(total) // 90, 100)


@njit(cache=True, nogil=True)
def _product(left: Any, right: Any) -> Any:
    """Returns the matrix product of float32[n, 64] and float32[64, m].

    Each entry is added up in order, as the reference does, so that it rounds alike. Eight terms
    at a time: for an eighth of the loads and stores.
    """
    result = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for i in range(left.shape[0]):
        sums, w = result[i], left[i]
        for k in range(0, _SIDE, 8):
            w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
            w4, w5, w6, w7 = w[k + 4], w[k + 5], w[k + 6], w[k + 7]
            r0, r1, r2, r3 = right[k], right[k + 1], right[k + 2], right[k + 3]
            r4, r5, r6, r7 = right[k + 4], right[k + 5], right[k + 6], right[k + 7]
            for j in range(len(sums)):
                total = sums[j] + w0 * r0[j] + w1 * r1[j] + w2 * r2[j] + w3 * r3[j]
                sums[j] = total + w4 * r4[j] + w5 * r5[j] + w6 * r6[j] + w7 * r7[j]
    return result


@njit(cache=True, nogil=True)
def _undecided(coefficients: Any, median: Any, noise: Any) -> int:
    """Returns how many coefficients are as near to the median as noise."""
    count = 0
    for row in range(_FREQUENCIES):
        for column in range(_FREQUENCIES):
            count += abs(coefficients[row, column] - median) < noise
    return count


@njit(cache=True, nogil=True)
def _lower_median(coefficients: Any) -> Any:
    """Returns the 128th of 256 float32 coefficients by size, the lower of the middle two.

    By halving where it can lie: floats are in the order of their bits, read as integers, once
    those of negative ones are flipped. Counting has no branches, so takes a fifth of `partition`'s
    time.
    """
    keys = coefficients.copy().ravel().view(np.int32)
    for place in range(len(keys)):
        keys[place] ^= (keys[place] >> np.int32(31)) & _MAGNITUDE
    low, high = np.int64(keys.min()), np.int64(keys.max())
    while low < high:
        middle = (low + high) >> 1
        count = np.int32(0)
        for place in range(len(keys)):
            count += np.int32(keys[place] <= np.int32(middle))
        if 2 * count >= len(keys):
            high = middle
        else:
            low = middle + 1
    found = np.array([low], np.int32)
    return (found ^ ((found >> np.int32(31)) & _MAGNITUDE)).view(np.float32)[0]


@njit(cache=True, nogil=True)
def _write_hash(bits: Any, hash_bytes: Any) -> None:
    """Writes bits, uint8[16, 16], the first one last, to a hash, uint8[32]."""
    for row in range(_FREQUENCIES):
        packed = np.uint32(0)
        for column in range(_FREQUENCIES):
            packed |= np.uint32(bits[row, column]) << np.uint32(column)
        hash_bytes[31 - 2 * row] = np.uint8(packed & np.uint32(255))
        hash_bytes[30 - 2 * row] = np.uint8(packed >> np.uint32(8))


@njit(cache=True, nogil=True)
def _pdq(
    luma: Any, rows: Paired, columns: Paired, dct: Any, dct_t: Any, turns: Any, noise: Any
) -> tuple[Any, int, int]:
    """Returns hashes and quality, and how many bits of a hash such noise could flip, at most."""
    undecided = 0
    hashes = np.empty((len(turns), HASH_BYTES), np.uint8)
    # Rows 0 to 63 are upright, 64 to 127 mirrored top to bottom; columns, left to right.
    both = apply(luma, rows, columns)
    for flip_x in range(2):
        half = _product(dct, both[flip_x * _SIDE : (flip_x + 1) * _SIDE])
        for flip_y in range(2):
            # The DCT's frequencies 1 to 16 each way.
            coefficients = _product(half[:, flip_y * _SIDE : (flip_y + 1) * _SIDE], dct_t)
            median = _lower_median(coefficients)
            undecided = max(undecided, _undecided(coefficients, median, noise))
            bits = (coefficients > median).astype(np.uint8)
            for orientation in range(len(turns)):
                if turns[orientation, 0] == flip_x and turns[orientation, 1] == flip_y:
                    if turns[orientation, 2]:
                        _write_hash(bits.T, hashes[orientation])
                    else:
                        _write_hash(bits, hashes[orientation])
    return hashes, _quality(both[:_SIDE, :_SIDE]), undecided


@kept
def _along(length: int, points: int, scaling: str, halvings: int) -> Paired:
    """Returns the way along one axis from ``length`` points by a view's ``points`` to 64.

    It begins where they have been halved.
    """
    operator: Banded = tent(points, _SIDE)
    if scaling == SQUARE:
        operator = compose(operator, nearest(length, points))
    elif scaling == THUMBNAIL:
        operator = compose(operator, resampling(length, points, BICUBIC))
    pair: Paired = paired(operator, length, halvings)
    return pair


def pdq(
    luma: NDArray[np.uint8] | NDArray[np.float32], scaling: str = FULL
) -> tuple[NDArray[np.uint8], int]:
    """Returns the PDQ hashes of a picture in all eight orientations, and their quality.

    Args:
        luma: uint8 or float32, [height, width], 0 (black) to 255 (white), C-contiguous.
        scaling: One of the views of `views.scalings`.

    Returns:
        uint8[8, 32], in the order of `views.ORIENTATIONS`, each hash in the byte order of its
        hex notation; and the quality, 0 to 100. A picture of less than 5 pixels on a side has
        zeros for a hash, and quality 0.
    """
    hashes, quality, _ = _hashes(luma, luma.shape, scaling, 0)
    return hashes, quality


def pdq_nearly(picture: Picture, scaling: str = FULL) -> tuple[NDArray[np.uint8], int, int]:
    """Returns nearly what `pdq` makes of a picture's luma, several times as fast if it is large.

    The picture is halved for as long as each point of PDQ's buffer has 8 x 8 of it, where all of
    it is blurred: `SQUARE` takes single pixels.

    Returns:
        As `pdq`; and how many bits of a hash are decided by no more than what rounding does to
        luma, at most. Where nothing is as fine as what they stand for, that is half of them.
    """
    shape = picture.luma.shape
    halvings = 0 if scaling == SQUARE else halving.halvings(shape, _REDUCING_GAP * _SIDE)
    return _hashes(picture.halved(halvings), shape, scaling, halvings)


def _hashes(
    luma: NDArray[Any], shape: tuple[int, ...], scaling: str, halvings: int
) -> tuple[NDArray[np.uint8], int, int]:
    """Returns what `pdq_nearly` does of what had a shape before it was halved so many times."""
    height, width = scaled_size(shape[0], shape[1], scaling)
    if min(height, width) < _SMALLEST:
        return np.zeros((len(ORIENTATIONS), HASH_BYTES), np.uint8), 0, 0
    # Rounding is noise of its own in each pixel, once for luma, once for each halving. A point of
    # the buffer is the mean of so many pixels, and the DCT keeps the noise of its points.
    pixels = height * width if scaling == SQUARE else shape[0] * shape[1]
    rounded = 1 + halvings * 4**halvings
    noise = _NOISE * math.sqrt(rounded * min(1.0, _SIDE * _SIDE / pixels))
    hashes, quality, undecided = _pdq(
        luma,
        _along(shape[0], height, scaling, halvings),
        _along(shape[1], width, scaling, halvings),
        _DCT,
        _DCT_T,
        _TURNS,
        np.float32(noise),
    )
    return hashes, int(quality), int(undecided)


class Pdq:
    """PDQ as the gate uses it: up to three views, eight orientations, with quality."""

    name = "pdq"
    bits = 256
    default_threshold = 31  # the reference's recommendation
    min_quality: int | None = 50  # likewise
    orientations = len(ORIENTATIONS)
    colour = False
    margin = 16

    def compute(self, picture: Picture) -> list[PerceptualView]:
        luma = None if picture.colour is None else luma_of_colours(picture.colour)
        views = []
        for scaling in scalings(*picture.luma.shape):
            # Where colours were not asked for, near is enough: see `imagehashes.phash`.
            hashes, quality, undecided = (
                pdq_nearly(picture, scaling) if luma is None else (*pdq(luma, scaling), 0)
            )
            views.append(
                PerceptualView(
                    picture.frame,
                    picture.view(scaling),
                    quality,
                    hashes.tobytes(),
                    is_unsure=undecided > _MOST_UNDECIDED,
                )
            )
        return views
