"""MD5 of many contents at once, each in a lane of the processor's vector registers.

MD5 is a chain of steps of which each waits for the one before it, so that one content at a time
leaves a processor idle, and it is the slowest of the digests by far where there are instructions
for SHA. Sixteen chains that have nothing to do with one another take little longer than one.

Source: RFC 1321.
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ingestgate.assets.errors import SelfTestError

LANES: Final = 16
_BLOCK: Final = 64  # bytes
_WORDS: Final = 16  # of a block
_START: Final = np.array([0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476], np.uint32)
_SINES: Final = [int(abs(math.sin(step + 1)) * 2**32) for step in range(64)]
#: By round: by how many bits each of four steps rotates.
_ROTATIONS: Final = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
#: By round: of which word each step takes: so many times the step and so many more.
_ORDERS: Final = ((1, 0), (5, 1), (3, 5), (7, 0))
_LANE: Final = ir.VectorType(ir.IntType(32), LANES)


def md5_many(contents: Sequence[bytes]) -> list[bytes]:
    """Returns the MD5 of each content, of 16 bytes.

    Fastest for sixteen and more of about the same length; a lane whose content has ended takes the
    next one, the longest first, and the last ones have the registers for themselves.
    """
    lengths = np.array([len(content) for content in contents], np.int64)
    whole = lengths // _BLOCK
    ends = np.zeros((len(contents), 2 * _BLOCK), np.uint8)
    places = np.empty((len(contents), 2), np.uint64)
    for number, content in enumerate(contents):
        rest = content[whole[number] * _BLOCK :]
        ends[number, : len(rest)] = np.frombuffer(rest, np.uint8)
        ends[number, len(rest)] = 0x80
        if whole[number]:
            places[number, 0] = np.frombuffer(content, np.uint8).ctypes.data
    places[:, 1] = ends.ctypes.data + np.arange(len(contents)) * ends.shape[1]
    last = np.where(lengths % _BLOCK < _BLOCK - 8, 1, 2)
    bits = (8 * lengths).astype("<u8").view(np.uint8).reshape(-1, 8)
    for number, blocks in enumerate(last):
        ends[number, blocks * _BLOCK - 8 : blocks * _BLOCK] = bits[number]
    order = np.argsort(-lengths, kind="stable")
    digests = np.empty((len(contents), len(_START)), np.uint32)
    _digest(places[order], np.column_stack([whole, last])[order], _START, digests)
    by_content = np.empty_like(digests)
    by_content[order] = digests
    return [digest.tobytes() for digest in by_content]


@functools.cache
def self_test() -> None:
    """Checks once in a process that this installation takes the digests that it must.

    A compiler or CPU that deviates would let listed files through in silence.

    Raises:
        SelfTestError: It does not.
    """
    contents = [bytes(range(size)) for size in range(0, 256, 5)]
    expected = [hashlib.md5(each, usedforsecurity=False).digest() for each in contents]
    if md5_many(contents) != expected:
        raise SelfTestError(
            "fingerprints: the MD5 of known texts is wrong; reinstall ingestgate's pinned "
            "dependencies, and clear numba's cache"
        )


@njit(cache=True, nogil=True)
def _digest(places: Any, blocks: Any, start: Any, digests: Any) -> None:
    """Digests contents, in their order.

    Args:
        places: uint64[n, 2], the address of each content's whole blocks, and of its last ones.
        blocks: int64[n, 2], how many these are.
        start: uint32[4], the state before the first block.
        digests: uint32[n, 4]; takes the digests.
    """
    states = np.zeros((len(start), LANES), np.uint32)
    at = np.full(LANES, places[0, 1] if len(places) else 0, np.uint64)  # idle lanes read anything
    steps = np.zeros(LANES, np.uint64)
    left = np.zeros(LANES, np.int64)
    owners = np.full(LANES, -1)
    parts = np.zeros(LANES, np.int64)
    following = 0
    while True:
        run = np.int64(0)
        for lane in range(LANES):
            while left[lane] == 0:
                owner = owners[lane]
                if owner >= 0 and parts[lane] == 0:
                    parts[lane] = 1
                else:
                    if owner >= 0:
                        digests[owner] = states[:, lane]
                    if following == len(places):
                        owners[lane] = -1
                        steps[lane] = 0
                        break
                    owner = owners[lane] = following
                    following += 1
                    parts[lane] = 0
                    states[:, lane] = start
                    steps[lane] = _BLOCK
                at[lane] = places[owner, parts[lane]]
                left[lane] = blocks[owner, parts[lane]]
            if left[lane] and (run == 0 or left[lane] < run):
                run = left[lane]
        if run == 0:
            return
        for _ in range(run):
            _add_block(states, at)
            at += steps
        for lane in range(LANES):
            left[lane] -= run if owners[lane] >= 0 else 0


@intrinsic
def _add_block(typing_context: Any, states: Any, places: Any) -> Any:
    """Brings each lane's state on by the block of 64 bytes at an address.

    States are uint32[4, LANES], addresses uint64[LANES].
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(number: int) -> Any:
            make = context.make_array(signature.args[number])
            return make(context, builder, arguments[number]).data

        index = ir.IntType(64)
        at = builder.bitcast(data(0), _LANE.as_pointer())
        rows = [builder.gep(at, [index(row)]) for row in range(len(_START))]
        before = [builder.load(row, align=4) for row in rows]
        blocks = []
        for lane in range(LANES):
            address = builder.load(builder.gep(data(1), [index(lane)]))
            block = builder.inttoptr(address, _LANE.as_pointer())
            blocks.append(builder.load(block, align=1))
        after = _steps(builder, before, _transposed(builder, blocks))
        for row, was, now in zip(rows, before, after, strict=True):
            builder.store(builder.add(was, now), row, align=4)
        return context.get_dummy_value()

    return types.void(states, places), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Returns the columns of sixteen vectors of sixteen, by four perfect shuffles."""
    for _ in range(LANES.bit_length() - 1):
        shuffled = []
        for upper, lower in zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True):
            for begin in (0, LANES // 2):
                order = [begin + n // 2 + n % 2 * LANES for n in range(LANES)]
                mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
                shuffled.append(builder.shuffle_vector(upper, lower, mask))
        rows = shuffled
    return rows


def _steps(builder: Any, state: list[Any], words: list[Any]) -> list[Any]:
    """Returns the state after the 64 steps over a block's words."""
    a, b, c, d = state
    for step, sine in enumerate(_SINES):
        number, place = divmod(step, 16)
        times, more = _ORDERS[number]
        word = words[(times * place + more) % _WORDS]
        if number == 0:
            mixed = builder.xor(d, builder.and_(b, builder.xor(c, d)))
        elif number == 1:
            mixed = builder.xor(c, builder.and_(d, builder.xor(b, c)))
        elif number == 2:
            mixed = builder.xor(builder.xor(b, c), d)
        else:
            mixed = builder.xor(c, builder.or_(b, builder.not_(d)))
        known = builder.add(builder.add(a, word), _all(sine))
        total = builder.add(known, mixed)
        bits = _ROTATIONS[number][place % 4]
        left, right = builder.shl(total, _all(bits)), builder.lshr(total, _all(32 - bits))
        a, b, c, d = d, builder.add(b, builder.or_(left, right)), b, c
    return [a, b, c, d]


def _all(value: int) -> Any:
    return ir.Constant(_LANE, [value] * LANES)
