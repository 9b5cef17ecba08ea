"""A package of somebody else's: a hash of 64 bits, and the signal type by which lists hold it."""

from itertools import pairwise

import numpy as np

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.signals import SignalType
from ingestgate.fingerprints.views import Picture

TOY_SIGNAL = SignalType("toyhash", SignalKind.PERCEPTUAL, 8, threshold=5)


class Toy:
    """Whether each of 8 x 8 fields is brighter than the picture."""

    name = "toyhash"
    bits = 64
    default_threshold = 5
    min_quality = None
    orientations = 1
    colour = False
    margin = 2

    def compute(self, picture: Picture) -> list[PerceptualView]:
        luma = np.asarray(picture.luma, float)
        rows, columns = (np.linspace(0, size, 9).astype(int) for size in luma.shape)
        fields = [
            luma[top : max(bottom, top + 1), left : max(right, left + 1)].mean()
            for top, bottom in pairwise(rows)
            for left, right in pairwise(columns)
        ]
        bits = np.packbits(np.array(fields) > luma.mean())
        return [PerceptualView(picture.frame, picture.view("full"), -1, bits.tobytes())]
