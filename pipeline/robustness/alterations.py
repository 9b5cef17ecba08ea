"""What happens to pictures on their way round the web, as functions from a picture to a file.

The first group is that of the benchmark of Thorn's `perception`, with the parameters that its
documentation had while it was run with imgaug (until 2024; those since are drawn at random). The
second is like it, of more kinds and other strengths; the others are what evades a matcher that
hashes what a decoder hands it: turning, borders, file modes, screenshots.

Whatever is not a file mode of its own is written as JPEG of quality 90.
"""

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

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


def _padded(image: Image.Image, share: float) -> Image.Image:
    """Adds black above and below alone."""
    return ImageOps.expand(image, (0, max(1, round(image.height * share))), "black")


def _noisy(image: Image.Image, deviation: float, channels: int = 3) -> Image.Image:
    """Adds noise, in levels; the same to all colours with one channel of it."""
    shape = (image.height, image.width, channels)
    noise = np.random.default_rng(_SEED).normal(0.0, deviation, shape)
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _gamma(image: Image.Image, gamma: float) -> Image.Image:
    return image.point([round(255 * (level / 255) ** gamma) for level in range(256)] * 3)


def _shaded(image: Image.Image, shade: Callable[[Any, Any], Any]) -> Image.Image:
    """Darkens a picture by a factor of the place, which is -1 to 1 in either direction."""
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    return Image.fromarray((np.asarray(image) * shade(x, y)[:, :, None]).astype(np.uint8))


def _resized_to(image: Image.Image, side: int) -> Image.Image:
    return _resized(image, side / max(image.size))


def _watermarked(image: Image.Image) -> Image.Image:
    """Writes TEXT across a fifth of the width, near the lower left corner, nearly black."""
    font = ImageFont.load_default(100)
    left, top, right, bottom = font.getbbox("TEXT", stroke_width=2)
    line = Image.new("L", (round(right - left), round(bottom - top)))
    ImageDraw.Draw(line).text((-left, -top), "TEXT", font=font, fill=200, stroke_width=2)
    line = _resized(line, 0.2 * image.width / line.width)
    written = image.copy()
    written.paste((0, 0, 0), (line.height, max(0, image.height - 2 * line.height)), line)
    return written


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


def _blurred(image: Image.Image, deviation: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(deviation))


def _jpeg(function: Callable[..., Image.Image], *arguments: Any) -> Alteration:
    return lambda image: encode(function(image, *arguments))


def _turned(turn: Image.Transpose) -> Alteration:
    return lambda image: encode(image.transpose(turn))


ALTERATIONS: dict[str, dict[str, Alteration]] = {
    "perception": {
        "perception: noop": _jpeg(_resized_to, 256),
        "perception: watermark": _jpeg(_watermarked),
        "perception: blur2": _jpeg(_blurred, 2.0),
        "perception: vignette": _jpeg(_shaded, lambda x, y: np.exp(-(x * x + y * y) / 2)),
        "perception: gamma2": _jpeg(_gamma, 2.0),
        "perception: jpeg95": functools.partial(encode, quality=7),  # 95 of 100 is the strength
        "perception: pad0.2": _jpeg(_padded, 0.2),
        "perception: crop0.05": _jpeg(_cropped, 0.05),
        "perception: noise0.2": _jpeg(_noisy, 51.0, 1),
        "perception: rotate4": lambda image: encode(image.rotate(-4, Image.Resampling.BILINEAR)),
    },
    "everyday": {
        "JPEG quality 95": functools.partial(encode, quality=95),
        "JPEG quality 50": functools.partial(encode, quality=50),
        "resize to 50 %": _jpeg(_resized, 0.5),
        "resize to 200 %": _jpeg(_resized, 2.0),
        "blur, 0.5 % of the side": lambda image: encode(_blurred(image, max(image.size) / 200)),
        "noise of 12 levels": _jpeg(_noisy, 12.0),
        "gamma 0.7": _jpeg(_gamma, 0.7),
        "gamma 1.4": _jpeg(_gamma, 1.4),
        "contrast 1.3": lambda image: encode(ImageEnhance.Contrast(image).enhance(1.3)),
        "vignette": _jpeg(_shaded, lambda x, y: 1 - 0.35 * (x * x + y * y)),
        "grayscale": lambda image: encode(image.convert("L")),
        "watermark, across": _jpeg(_text, "watermark", 0.5, 110),
        "text": _jpeg(_text, "a line of text", 0.95, 255),
        "pad 20 %, all around": _jpeg(_bordered, 0.2, "black"),
    },
    "orientations": {
        turn.name.lower().replace("_", " "): _turned(turn) for turn in Image.Transpose
    },
    "borders": {
        f"border {share} %, {colour}": _jpeg(_bordered, share / 100, colour)
        for share in (1, 2, 3, 4, 5)
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
