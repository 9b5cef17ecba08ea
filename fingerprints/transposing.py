"""Transposes of matrices, by blocks of 16 x 16 that are turned within vector registers.

A block is sixteen vectors of sixteen; four perfect shuffles (H. Stone, "Parallel Processing with
the Perfect Shuffle", IEEE Transactions on Computers, 1971) make its columns of its rows.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_SIDE: Final = 16
_LINE = ir.VectorType(ir.FloatType(), _SIDE)
_FLOAT_BYTES: Final = 4


def columns(builder: Any, rows: list[Any]) -> list[Any]:
    """Returns the columns of sixteen vectors of sixteen, of whatever element, as LLVM values."""
    half = _SIDE // 2
    for _ in range(_SIDE.bit_length() - 1):
        shuffled = []
        for upper, lower in zip(rows[:half], rows[half:], strict=True):
            for begin in (0, half):
                order = [begin + n // 2 + n % 2 * _SIDE for n in range(_SIDE)]
                mask = ir.Constant(ir.VectorType(ir.IntType(32), _SIDE), order)
                shuffled.append(builder.shuffle_vector(upper, lower, mask))
        rows = shuffled
    return rows


@intrinsic
def _turn(typing_context: Any, source: Any, row: Any, column: Any, target: Any) -> Any:
    """Writes the transpose of ``source[row : row + 16, column : column + 16]`` to the target."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, row, column, to_array = arguments

        def lines(kind: Any, array: Any, first: Any, left: Any) -> Iterator[Any]:
            made = context.make_array(kind)(context, builder, array)
            for number in range(_SIDE):
                line = builder.add(first, context.get_constant(types.intp, number))
                place = cgutils.get_item_pointer(context, builder, kind, made, [line, left])
                yield builder.bitcast(place, _LINE.as_pointer())

        places = lines(source, from_array, row, column)
        rows = [builder.load(place, align=_FLOAT_BYTES) for place in places]
        for line, place in zip(
            columns(builder, rows), lines(target, to_array, column, row), strict=True
        ):
            builder.store(line, place, align=_FLOAT_BYTES)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target), generate


@njit(cache=True, nogil=True)
def transposed(matrix: Any) -> Any:
    """Returns ``matrix.T``, C-contiguous; both float32."""
    height, width = matrix.shape
    result = np.empty((width, height), np.float32)
    rows, whole = height - height % _SIDE, width - width % _SIDE
    for x in range(0, whole, _SIDE):
        for y in range(0, rows, _SIDE):
            _turn(matrix, y, x, result)
    for x in range(width):
        for y in range(rows if x < whole else 0, height):
            result[x, y] = matrix[y, x]
    return result
