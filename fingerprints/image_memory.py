"""The pixels of a Pillow image as an array, without a copy and without the libraries for one.

And their luma, by Pillow's own weights and rounding (`Convert.c`), several times as fast.

Pillow hands its memory over by the Arrow C data interface, which is one struct
(https://arrow.apache.org/docs/format/CDataInterface.html). It is read here directly: Arrow's own
library would be the largest one in the process that decodes, of which every worker has one.
"""

import ctypes
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image


class _ArrowArray(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.POINTER(ctypes.c_void_p)),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = (ctypes.py_object, ctypes.c_char_p)


class _Memory:
    """Lends an image's memory to an array, and holds it for as long as the array is there."""

    def __init__(self, capsule: Any, address: int, shape: tuple[int, int], typestr: str) -> None:
        self._capsule = capsule  # its end gives the memory back
        self.__array_interface__ = {
            "version": 3,
            "typestr": typestr,
            "shape": shape,
            "data": (address, True),  # read-only
        }


def levels(luma: Image.Image) -> NDArray[np.uint8]:
    """Returns the pixels of a loaded picture in mode L, uint8[height, width], read-only."""
    if luma.mode != "L":
        raise ValueError(f"pixels of mode L are wanted, not {luma.mode}")
    found = _pixels(luma, 1)
    return np.asarray(luma) if found is None else found


def levels_of_colours(colour: Image.Image) -> NDArray[np.uint8]:
    """Returns what `levels` does of a picture in mode RGB, after ``colour.convert("L")``."""
    pixels = _colours(colour)
    if pixels is None:
        return levels(colour.convert("L"))
    found: NDArray[np.uint8] = _levels(pixels)
    found.flags.writeable = False
    return found


def luma_of_colours(colour: Image.Image) -> NDArray[np.float32]:
    """Returns the luma of a picture in mode RGB, float32[height, width], 0 to 255, read-only.

    As ``colour.convert("F")`` has it, and PDQ's reference: not rounded to levels, which in faint
    pictures hides what there is to see.
    """
    pixels = _colours(colour)
    if pixels is None:
        return np.asarray(colour.convert("F"))
    found: NDArray[np.float32] = _luma(pixels)
    found.flags.writeable = False
    return found


def _colours(colour: Image.Image) -> NDArray[np.uint32] | None:
    """Returns pixels of red, green, blue and padding, from the lowest byte on."""
    if colour.mode != "RGB":
        raise ValueError(f"pixels of mode RGB are wanted, not {colour.mode}")
    return _pixels(colour, 4)


@njit(cache=True, nogil=True)
def _levels(pixels: Any) -> Any:
    result = np.empty(pixels.shape, np.uint8)
    for row in range(pixels.shape[0]):
        line, to = pixels[row], result[row]
        for x in range(len(line)):
            red, green, blue = line[x] & 255, (line[x] >> 8) & 255, (line[x] >> 16) & 255
            weighted = np.uint32(19595 * red + 38470 * green + 7471 * blue + 32768)
            to[x] = np.uint8(weighted >> 16)
    return result


@njit(cache=True, nogil=True)
def _luma(pixels: Any) -> Any:
    thousand = np.float32(1000.0)
    result = np.empty(pixels.shape, np.float32)
    for row in range(pixels.shape[0]):
        line, to = pixels[row], result[row]
        for x in range(len(line)):
            red, green, blue = line[x] & 255, (line[x] >> 8) & 255, (line[x] >> 16) & 255
            weighted = np.int32(299 * red + 587 * green + 114 * blue)
            to[x] = np.float32(weighted) / thousand
    return result


def _pixels(image: Image.Image, width: int) -> NDArray[Any] | None:
    """Returns an image's memory, of so many bytes a pixel; None if it cannot be had."""
    shape = (image.height, image.width)
    if image.readonly:  # in memory of somebody else's, which Pillow 12.3 crashes on handing over
        return None
    try:
        _, capsule = image.__arrow_c_array__()
    except ValueError:  # a large picture lies in several blocks of memory
        return None
    array = _ArrowArray.from_address(_pointer_of(capsule, b"arrow_array"))
    if width > 1 and array.n_children == 1 and not array.offset:
        array = _ArrowArray.from_address(array.children[0])
    address = array.buffers[1] if array.n_buffers == 2 else None
    if address is None or array.length != shape[0] * shape[1] * width or array.offset:
        return None  # not as Pillow lays it out today
    return np.asarray(_Memory(capsule, address, shape, f"=u{width}"))
