"""The frames of a GIF to readers that never take one away before they draw the next.

TensorFlow is one: it draws each frame over the one before, on black, whatever its disposal method.
"""

import io
import itertools
from collections.abc import Iterator

from PIL import Image
from PIL.GifImagePlugin import GifImageFile


def undisposed(content: bytes) -> Iterator[Image.Image]:
    """Yields the frames, in mode RGB; each is to be done with before the next is taken.

    Args:
        content: The whole file.

    Raises:
        Exception: Whatever Pillow raises; EOFError behind the last frame.
    """
    image = GifImageFile(io.BytesIO(content))
    for number in itertools.count():
        image.seek(number)
        image.load()
        image.dispose = None  # by which the next frame would begin
        frame = image.convert("RGBA")
        yield Image.alpha_composite(Image.new("RGBA", frame.size, "black"), frame).convert("RGB")
