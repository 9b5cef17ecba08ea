"""Benign pictures that the tests make themselves, and how to encode and compare them."""

import io
from collections.abc import Callable
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits

Distance = Callable[[bytes, bytes], int]
ToFingerprint = Callable[[bytes], Fingerprint]


class Make(Protocol):
    def __call__(self, seed: int, width: int = 320, height: int = 240) -> Image.Image: ...


class Encode(Protocol):
    def __call__(self, image: Image.Image, format: str, **options: object) -> bytes: ...


@pytest.fixture(scope="session")
def make() -> Make:
    """Makes coloured clouds, with detail at every scale as photographs have it."""

    def make(seed: int, width: int = 320, height: int = 240) -> Image.Image:
        rng = np.random.default_rng(seed)
        total = np.zeros((height, width, 3))
        for cells in (3, 6, 12, 24, 48):
            colours = Image.fromarray(rng.integers(0, 256, (cells, cells + 1, 3), np.uint8))
            total += np.asarray(colours.resize((width, height), Image.Resampling.BICUBIC)) / cells
        total -= total.min()
        return Image.fromarray((total * (255 / total.max())).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def encode() -> Encode:
    def encode(image: Image.Image, format: str, **options: object) -> bytes:
        sink = io.BytesIO()
        image.save(sink, format, **options)
        return sink.getvalue()

    return encode


@pytest.fixture(scope="session")
def distance() -> Distance:
    def distance(left: bytes, right: bytes) -> int:
        difference = np.frombuffer(left, np.uint8) ^ np.frombuffer(right, np.uint8)
        return int(np.bitwise_count(difference).sum())

    return distance


@pytest.fixture(scope="session")
def fingerprint() -> ToFingerprint:
    return Fingerprinter(("pdq", "phash"), DecodeLimits()).fingerprint
