"""Benign generated pictures for tests."""

import io

import numpy as np
from PIL import Image, ImageDraw


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Returns a picture with structure at every scale; another seed, another picture."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = (int(random.integers(0, side)) for side in size)
        reach = int(random.integers(5, 40))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        draw.ellipse((x - reach, y - reach // 2, x + reach, y + reach // 2), fill=colour)
    return image


def encoded(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    """Returns an encoded picture."""
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def jpeg(seed: int, size: tuple[int, int] = (160, 120), quality: int = 90) -> bytes:
    """Returns a generated picture as JPEG."""
    return encoded(picture(seed, size), quality=quality)
