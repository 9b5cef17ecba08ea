"""Single instructions of the processor that compiled kernels use."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def popcount(typing_context: Any, word: Any) -> Any:
    """Number of ones in a uint64; an int64, to be added up."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, row: Any) -> Any:
    """Has a row of an array of one or two axes brought near, without waiting for it.

    Whatever the row, even beyond the end: a prefetch never fails.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        number = ir.IntType(32)
        first = [context.get_constant(types.intp, 0)] * (kind.ndim - 1)
        place = cgutils.get_item_pointer(
            context,
            builder,
            kind,
            context.make_array(kind)(context, builder, arguments[0]),
            [arguments[1], *first],
        )
        address = builder.bitcast(place, cgutils.voidptr_t)
        instruction = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [address.type, number, number, number]),
            "llvm.prefetch.p0",
        )
        to_read, near, data = number(0), number(3), number(1)
        builder.call(instruction, [address, to_read, near, data])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate
