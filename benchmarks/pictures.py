"""The pictures of known size that are measured with, made from a folder's photographs."""

import io
import itertools
import random
from pathlib import Path

from PIL import Image

SEED = 20240
DISTINCT = 200  # at most; as many as are judged together, so that none has its like beside it
_QUALITY = 90
#: Of ten pictures of a mixed landing zone, the formats; all as they are found on the web.
_MIXED = ("JPEG",) * 6 + ("PNG", "WEBP", "WEBP", "GIF")
_LEAST_OF_A_SIDE, _MOST_OF_A_SIDE = 0.75, 0.95  # that a part of a picture keeps


def pictures(folder: Path, side: int, count: int = DISTINCT, *, mixed: bool = False) -> list[bytes]:
    """Returns files of ``side`` pixels on the longer side, ``count`` at most, always the same.

    JPEGs, or of several formats. From those of half the size and more, as a smaller one would be
    blank at close range; none with transparency, which are drawings. Where there are not as many,
    parts are cut out of them at random, which look otherwise to a hash.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rng = random.Random(SEED)
    rng.shuffle(files)
    found: list[bytes] = []

    def add(shown: Image.Image) -> None:
        scale = side / max(shown.size)
        size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
        sink = io.BytesIO()
        format = _MIXED[len(found) % len(_MIXED)] if mixed else "JPEG"
        shown.resize(size, Image.Resampling.LANCZOS).save(sink, format, quality=_QUALITY)
        found.append(sink.getvalue())

    taken: list[Path] = []  # and read again for a part: all of them decoded may be gigabytes
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
        add(whole)
        taken.append(path)
    for path in itertools.islice(itertools.cycle(taken), count - len(found)):
        with Image.open(path) as image:
            add(_part(image.convert("RGB"), rng))
    return found


def _part(whole: Image.Image, rng: random.Random) -> Image.Image:
    share = rng.uniform(_LEAST_OF_A_SIDE, _MOST_OF_A_SIDE)
    width, height = (max(1, int(length * share)) for length in whole.size)
    left, top = rng.randint(0, whole.width - width), rng.randint(0, whole.height - height)
    return whole.crop((left, top, left + width, top + height))


def demo_photographs() -> Path:
    """Returns the folder of public-domain photographs that the demo takes."""
    import skimage.data

    return Path(skimage.data.__file__).parent
