"""The pages of a TIFF, so that they show what other readers see in them.

Those read them with libtiff, as a rule, and so does Pillow here. But what numbers it hands over are
to mean, Pillow says, from what it has read of the page's directory itself.
"""

import io
import itertools
import struct
from typing import Any, cast

import numpy as np
from PIL import Image, ImageChops, TiffImagePlugin, TiffTags
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.unscannable import Unscannable

# Of more strips than there can be, Pillow's own way takes the last, others the first; and it takes
# planes of 16 bits for some of 8.
TiffImagePlugin.READ_LIBTIFF = True
# libtiff returns numbers in the machine's byte order, which Pillow takes for the file's.
_NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
_PREMULTIPLIED, _STORED = "RGBa", "RGBA"  # beginnings of raw modes
_MOST_BEYOND_ALPHA = 2  # of 255 levels: what rounding does, and shows nothing

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _MEANING = 256, 257, 258, 259, 262
_PLANES, _STRIPS, _ROWS, _PALETTE, _TILE_WIDTH, _TILE_HEIGHT, _TILES = (
    284,
    273,
    278,
    320,
    322,
    323,
    324,
)
# With the order of bits, the number of samples, and what samples there are beyond colours.
_DECIDING = frozenset({_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _MEANING, _PLANES, _PALETTE})
_DECIDING |= {266, 277, 338, 339}
_WHITE_IS_ZERO, _RGB, _INDEXES, _YCBCR = 0, 2, 3, 6
_BEYOND_COLOURS, _UNSPECIFIED = 338, 0
_LEVELS = 256  # of 8 bits
_IN_PLANES = 2
_JPEG = 7


def disagreement_on_page(content: bytes, page: TiffImageFile) -> str:
    """Returns what readers disagree about in the current page; "" if nothing is known.

    Args:
        content: The whole file.
        page: The file, opened; its page not loaded yet.

    Raises:
        Exception: What the page's directory says leads nowhere.
    """
    tags = _tags(content, page.tag_v2.offset)
    if len(set(tags)) < len(tags):
        return "that has a tag twice"
    if _STRIPS in tags and not {_TILE_WIDTH, _TILE_HEIGHT, _TILES}.isdisjoint(tags):
        return "of strips and tiles at once"
    if _MEANING not in tags or not _DECIDING.intersection(tags) <= set(page.tag_v2):
        return "that does not say in full what its numbers mean"
    meaning = page.tag_v2[_MEANING]
    if meaning == _WHITE_IS_ZERO and page.mode not in {"1", "L"}:
        return "of more than 8 bits, with zero for white"
    if meaning == _YCBCR and page.tag_v2.get(_PLANES) == _IN_PLANES:
        return "of luma and colours in planes of their own"
    if page.mode in {"P", "PA"} and not _has_whole_palette(page.tag_v2):
        return "whose palette is of more or fewer colours than its bits can name"
    if page.mode in {"P", "PA"} and 0 < max(page.tag_v2[_PALETTE]) < _LEVELS:
        return "whose palette is of 8 bits, or all but black"
    if meaning in {_RGB, _INDEXES} and page.tag_v2.get(_BEYOND_COLOURS, ())[:1] == (_UNSPECIFIED,):
        return "with a sample beside its colours of which it does not say whether it is alpha"
    if page.tag_v2.get(_COMPRESSION) == _JPEG and _is_larger_than_its_jpegs(content, page):
        return "of JPEGs that do not fill it"
    return ""


def _tags(content: bytes, start: int) -> list[int]:
    """Returns the tags of the directory that begins there, as they stand."""
    order = "<" if content.startswith(b"II") else ">"
    count, each = ("Q", 20) if content[2:3] == b"+" else ("H", 12)
    (fields,) = struct.unpack_from(order + count, content, start)
    start += struct.calcsize(order + count)
    return [
        struct.unpack_from(order + "H", content, start + each * number)[0]
        for number in range(fields)
    ]


def _has_whole_palette(directory: ImageFileDirectory_v2) -> bool:
    return (
        directory.tagtype[_PALETTE] == TiffTags.SHORT
        and len(directory[_PALETTE]) == 3 << directory[_BITS][0]
    )


def _is_larger_than_its_jpegs(content: bytes, page: TiffImageFile) -> bool:
    """Whether a strip or tile is of more pixels than its JPEG; what fills it then is chance."""
    tags = page.tag_v2
    if _TILES in tags:
        starts, sizes = tags[_TILES], [(tags[_TILE_WIDTH], tags[_TILE_HEIGHT])]
    else:
        width, height = tags[_WIDTH], tags[_HEIGHT]
        rows = tags.get(_ROWS) or height
        starts = tags[_STRIPS]
        sizes = [(width, min(rows, height - top)) for top in range(0, height, rows)]
    stream = io.BytesIO(content)
    for start, (width, height) in zip(starts, itertools.cycle(sizes)):  # the planes in turn
        stream.seek(start)
        jpeg = JpegImageFile(stream)
        if jpeg.width < width or jpeg.height < height:
            return True
    return False


def loaded(page: TiffImageFile) -> Image.Image:
    """Loads the current page, its numbers taken for what libtiff says that they are.

    Returns:
        The page; another image where colours are premultiplied by alpha.

    Raises:
        Unscannable: Colours are beyond what alpha allows, which some readers show as they stand;
            or numbers are below zero, which some take for large ones.
    """
    (tile,) = page.tile  # by libtiff, there is one
    raw_mode, *more = cast("tuple[Any, ...]", tile.args)
    stored = _NATIVE.get(raw_mode, raw_mode).replace(_PREMULTIPLIED, _STORED)
    page.tile = [tile._replace(args=(stored, *more))]
    page.load()
    if page.mode == "I" and np.asarray(page).min() < 0:
        raise _differing("of numbers below zero")
    if not raw_mode.startswith(_PREMULTIPLIED):
        return page
    red, green, blue, alpha = page.split()
    colour = ImageChops.lighter(red, ImageChops.lighter(green, blue))
    beyond = ImageChops.subtract(colour, alpha).histogram()
    if any(beyond[_MOST_BEYOND_ALPHA + 1 :]):
        raise _differing("of colours beyond what its alpha allows")
    return Image.merge("RGBa", page.split()).convert("RGBA")


def _differing(what: str) -> Unscannable:
    return Unscannable(Reason.UNDECODABLE, f"image/tiff {what}: readers differ")
