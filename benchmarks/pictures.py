"""The pictures of known size that are measured with, made from a folder's photographs."""

import io
import random
from pathlib import Path

from PIL import Image

SEED = 20240
DISTINCT = 100  # at most
_QUALITY = 90
#: Of ten pictures of a mixed landing zone, the formats; all as they are found on the web.
_MIXED = ("JPEG",) * 6 + ("PNG", "WEBP", "WEBP", "GIF")


def pictures(folder: Path, side: int, count: int = DISTINCT, *, mixed: bool = False) -> list[bytes]:
    """Returns files of ``side`` pixels on the longer side, ``count`` at most, always the same.

    JPEGs, or of several formats. From those of half the size and more, as a smaller one would be
    blank at close range; none with transparency, which are drawings.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(SEED).shuffle(files)
    found: list[bytes] = []
    for path in files:
        if len(found) == count:
            break
        try:
            with Image.open(path) as image:
                if image.has_transparency_data or 2 * max(image.size) < side:
                    continue
                whole = image.convert("RGB")
        except (OSError, SyntaxError, ValueError):
            continue
        scale = side / max(whole.size)
        size = (max(1, round(whole.width * scale)), max(1, round(whole.height * scale)))
        sink = io.BytesIO()
        format = _MIXED[len(found) % len(_MIXED)] if mixed else "JPEG"
        whole.resize(size, Image.Resampling.LANCZOS).save(sink, format, quality=_QUALITY)
        found.append(sink.getvalue())
    return found


def demo_photographs() -> Path:
    """Returns the folder of public-domain photographs that the demo takes."""
    import skimage.data

    return Path(skimage.data.__file__).parent
