"""The reference implementations of the perceptual hashes, as their documentation has them used."""

import io
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import imagehash
import numpy as np
from PIL import Image

from ingestgate.fingerprints.decoding import quiet
from ingestgate.fingerprints.sniffing import sniff

#: pdqhash is no requirement of the gate; without it PDQ has no reference here.
_PDQ = "pdqhash"


class Reference(NamedTuple):
    """Somebody else's implementation of one of the gate's hashes.

    Attributes:
        by: Its name and version.
        compute: Returns hash, in the byte order of its hex notation, and quality (-1: it has
            none) of a picture in mode RGB.
    """

    by: str
    compute: Callable[[Image.Image], tuple[bytes, int]]


def references() -> dict[str, Reference]:
    """Returns the references that are installed, by the names that the gate has for the hashes."""
    ways: dict[str, Callable[[Image.Image], Any]] = {
        "phash": imagehash.phash,
        "phash16": lambda image: imagehash.phash(image, hash_size=16),
        "dhash": imagehash.dhash,
        "ahash": imagehash.average_hash,
        "whash": imagehash.whash,
    }
    by = f"imagehash {version('imagehash')}"
    found = {name: Reference(by, _of_bits(way)) for name, way in ways.items()}
    found["colorhash"] = Reference(by, _colorhash)
    if find_spec(_PDQ):
        import pdqhash

        def pdq(image: Image.Image) -> tuple[bytes, int]:
            bits, quality = pdqhash.compute(np.asarray(image))
            return np.packbits(bits).tobytes(), quality

        found["pdq"] = Reference(f"{_PDQ} {version(_PDQ)}", pdq)
    return found


def as_rgb(content: bytes) -> Image.Image:
    """Returns what references hash of a file: its first frame, as Pillow converts it to RGB.

    For what the gate has decoded before; the decoder is the one that the gate took.
    """
    media = sniff(content)
    formats = [media.format] if media else []
    with quiet(), Image.open(io.BytesIO(content), formats=formats) as opened:
        return opened.convert("RGB")


def _of_bits(way: Callable[[Image.Image], Any]) -> Callable[[Image.Image], tuple[bytes, int]]:
    return lambda image: (np.packbits(way(image).hash).tobytes(), -1)


def _colorhash(image: Image.Image) -> tuple[bytes, int]:
    bits = imagehash.colorhash(image).hash.ravel()
    return np.packbits(np.pad(bits, (64 - bits.size, 0))).tobytes(), -1
