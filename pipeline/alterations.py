"""What happens to pictures on their way round the web, as functions from a picture to a file.

The first group is that of the benchmark of Thorn's `perception`; the others are what evades a
matcher that hashes what a decoder hands it: turning, borders, file modes, screenshots.
"""

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Alteration = Callable[[Image.Image], bytes]
_SEED = 7


def encode(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """Returns a picture as a file; as JPEG of quality 90 unless something else is said."""
    sink = io.BytesIO()
    if format == "JPEG":
        options.setdefault("quality", 90)
    image.save(sink, format, **options)
    return sink.getvalue()


def _resized(image: Image.Image, factor: float) -> Image.Image:
    width, height = image.size
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _cropped(image: Image.Image, share: float) -> Image.Image:
    across, down = round(image.width * share), round(image.height * share)
    return image.crop((across, down, image.width - across, image.height - down))


def _bordered(image: Image.Image, share: float, colour: str) -> Image.Image:
    across, down = max(1, round(image.width * share)), max(1, round(image.height * share))
    return ImageOps.expand(image, (across, down), colour)


def _noisy(image: Image.Image, deviation: float) -> Image.Image:
    noise = np.random.default_rng(_SEED).normal(0.0, deviation, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _gamma(image: Image.Image, gamma: float) -> Image.Image:
    return image.point([round(255 * (level / 255) ** gamma) for level in range(256)] * 3)


def _vignette(image: Image.Image) -> Image.Image:
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    shade = 1.0 - 0.35 * (x * x + y * y)
    return Image.fromarray((np.asarray(image) * shade[:, :, None]).astype(np.uint8))


def _text(image: Image.Image, text: str, place: float, opacity: int) -> Image.Image:
    """Writes a line across the middle 60 % of a picture, at a height from 0 (top) to 1."""
    line = Image.new("L", ImageDraw.Draw(image).textbbox((0, 0), text)[2:], 0)  # type: ignore[arg-type]
    ImageDraw.Draw(line).text((0, 0), text, fill=opacity)
    width = max(1, round(image.width * 0.6))
    line = line.resize((width, max(1, round(line.height * width / line.width))))
    written = image.copy()
    at = ((image.width - line.width) // 2, round((image.height - line.height) * place))
    written.paste((255, 255, 255), at, line)
    return written


def _screenshot(image: Image.Image) -> Image.Image:
    """Shows a picture on a telephone's screen (9:19.5), black around it."""
    width = min(image.width, 1080)
    height = round(width * 19.5 / 9)
    screen = Image.new("RGB", (width, height))
    shown = ImageOps.contain(image, (width, height))
    screen.paste(shown, ((width - shown.width) // 2, (height - shown.height) // 2))
    return screen


def _deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def _hidden(image: Image.Image) -> Image.Image:
    """Puts a picture into the alpha channel of a black one."""
    hidden = Image.new("LA", image.size)
    hidden.putalpha(ImageOps.invert(image.convert("L")))
    return hidden


def _oriented(image: Image.Image) -> bytes:
    """Stores a picture turned, with the EXIF tag that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _jpeg(function: Callable[..., Image.Image], *arguments: Any) -> Alteration:
    return lambda image: encode(function(image, *arguments))


def _turned(turn: Image.Transpose) -> Alteration:
    return lambda image: encode(image.transpose(turn))


ALTERATIONS: dict[str, dict[str, Alteration]] = {
    "perception": {
        "jpeg quality 95": functools.partial(encode, quality=95),
        "jpeg quality 50": functools.partial(encode, quality=50),
        "resize to 50 %": _jpeg(_resized, 0.5),
        "resize to 200 %": _jpeg(_resized, 2.0),
        "blur": lambda image: encode(
            image.filter(ImageFilter.GaussianBlur(max(image.size) / 200)),
        ),
        "noise": _jpeg(_noisy, 12.0),
        "gamma 0.7": _jpeg(_gamma, 0.7),
        "gamma 1.4": _jpeg(_gamma, 1.4),
        "contrast": lambda image: encode(ImageEnhance.Contrast(image).enhance(1.3)),
        "vignette": _jpeg(_vignette),
        "grayscale": lambda image: encode(image.convert("L")),
        "watermark": _jpeg(_text, "watermark", 0.5, 110),
        "text": _jpeg(_text, "a line of text", 0.95, 255),
        "rotate 4 degrees": lambda image: encode(image.rotate(4, Image.Resampling.BICUBIC)),
        "crop 5 %": _jpeg(_cropped, 0.05),
        "pad 20 %": _jpeg(_bordered, 0.2, "black"),
    },
    "orientations": {
        turn.name.lower().replace("_", " "): _turned(turn) for turn in Image.Transpose
    },
    "borders": {
        f"border {share} %, {colour}": _jpeg(_bordered, share / 100, colour)
        for share in (1, 2, 5)
        for colour in ("black", "white", "#207040")
    },
    "screenshots": {
        "screenshot": _jpeg(_screenshot),
        "screenshot, turned": lambda image: encode(_screenshot(image).rotate(90, expand=True)),
    },
    "file modes": {
        "CMYK": lambda image: encode(image.convert("CMYK")),
        "palette": lambda image: encode(image.quantize(256), "PNG"),
        "GIF": lambda image: encode(image, "GIF"),
        "1 bit": lambda image: encode(image.convert("1"), "PNG"),
        "16 bits": lambda image: encode(_deep(image), "PNG"),
        "alpha only": lambda image: encode(_hidden(image), "PNG"),
        "EXIF orientation": _oriented,
        "WebP": lambda image: encode(image, "WEBP", quality=80),
        "AVIF": lambda image: encode(image, "AVIF", quality=60, speed=9),
        "TIFF": lambda image: encode(image, "TIFF"),
        "BMP": lambda image: encode(image, "BMP"),
    },
}
