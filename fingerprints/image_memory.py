"""The pixels of a Pillow image as an array, without a copy and without the libraries for one.

Pillow hands its memory over by the Arrow C data interface, which is one struct
(https://arrow.apache.org/docs/format/CDataInterface.html). It is read here directly: Arrow's own
library would be the largest one in the process that decodes, of which every worker has one.
"""

import ctypes
from typing import Any

import numpy as np
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
        ("children", ctypes.c_void_p),
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
    return _pixels(luma, "L", "|u1")


def fine_levels(luma: Image.Image) -> NDArray[np.float32]:
    """Returns the pixels of a picture in mode F, float32[height, width], read-only."""
    return _pixels(luma, "F", "=f4")


def _pixels(luma: Image.Image, mode: str, typestr: str) -> NDArray[Any]:
    if luma.mode != mode:
        raise ValueError(f"pixels of mode {mode} are wanted, not {luma.mode}")
    shape = (luma.height, luma.width)
    if luma.readonly:  # in memory of somebody else's, which Pillow 12.3 crashes on handing over
        return np.asarray(luma)
    try:
        _, capsule = luma.__arrow_c_array__()
    except ValueError:  # a large picture lies in several blocks of memory
        return np.asarray(luma)
    array = _ArrowArray.from_address(_pointer_of(capsule, b"arrow_array"))
    address = array.buffers[1] if array.n_buffers == 2 else None
    if address is None or array.length != shape[0] * shape[1] or array.offset:
        return np.asarray(luma)  # not as Pillow lays it out today
    return np.asarray(_Memory(capsule, address, shape, typestr))
