"""The limit, and what others do with the same files: each starts from a file's bytes.

Peers are no dependencies: `make bench` installs them, in an environment of its own.
"""

import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

OfOne = Callable[[bytes], Any]
OfMany = Callable[[Sequence[bytes]], None]


def decode(content: bytes) -> None:
    """The limit: as fast as Pillow gets from a JPEG to luma."""
    image = Image.open(io.BytesIO(content))
    image.draft("L", image.size)
    image.load()


def rgb(content: bytes) -> Image.Image:
    """Decodes as most programs do."""
    return Image.open(io.BytesIO(content)).convert("RGB")


def imagededup_phash() -> OfOne | None:
    """Returns imagededup's hashing of a file, which matches nothing; None if it is not there."""
    if (methods := installed("imagededup.methods")) is None:
        return None
    hasher = methods.PHash(verbose=False)
    return lambda content: hasher.encode_image(image_array=np.asarray(rgb(content)))


def perception_phash() -> OfOne | None:
    """Returns perception's hashing of a file, which matches nothing; None if it is not there."""
    if (hashers := installed("perception.hashers")) is None:
        return None
    hasher = hashers.PHash()
    return lambda content: hasher.compute(rgb(content))


def installed(name: str) -> Any:
    """Returns a peer's module; None if it, or something that it needs, is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def each(function: OfOne) -> OfMany:
    """Returns a function that does something to each file, one after another."""

    def all_of_them(contents: Sequence[bytes]) -> None:
        for content in contents:
            function(content)

    return all_of_them
