"""Digests of many contents at once, each in a lane beside others.

One content at a time leaves a processor idle, as each step of a digest waits for the one before
it. MD5 of thirty-two contents takes little longer than of one, SHA of sixteen no longer than of
two or three.
"""

import ctypes
import functools
import hashlib
import inspect
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, cast

import numpy as np
from llvmlite import ir
from numba import literally, njit, types
from numba.extending import intrinsic

from ingestgate.assets.errors import SelfTestError
from ingestgate.fingerprints import digest_steps
from ingestgate.fingerprints.digest_steps import STEPS

#: The digests that there are lanes for on this machine, by their names in `hashlib`.
LANED: Final = tuple(STEPS)
_BLOCK: Final = 64  # bytes


def worthwhile(name: str, contents: Sequence[bytes]) -> list[int]:
    """Returns the places of those contents whose digest is better taken together.

    The longest of them is by itself in the end: in one of many lanes that takes a multiple of
    `hashlib`'s time, so it must not be too large a part of all.
    """
    longest = sum(map(len, contents)) // STEPS[name].least
    return [place for place, content in enumerate(contents) if len(content) <= longest]


def digest_many(name: str, contents: Sequence[bytes]) -> list[bytes]:
    """Returns one of the digests in `LANED` of each content.

    Fastest for contents of about the same length, and many more than there are lanes; a lane
    whose content has ended takes the next one, the longest first, and the last ones have the
    registers for themselves.
    """
    if not contents:
        return []
    steps = STEPS[name]
    ends = [_end(content, steps.order) for content in contents]
    last = b"".join(ends)
    blocks = np.empty((len(contents), 2), np.int64)
    blocks[:, 0] = [len(content) // _BLOCK for content in contents]
    blocks[:, 1] = [len(end) // _BLOCK for end in ends]
    places = np.empty((len(contents), 2), np.uint64)
    places[:, 0] = [_address(content) for content in contents]
    places[:, 1] = _address(last) + _BLOCK * (np.cumsum(blocks[:, 1]) - blocks[:, 1])
    longest_first = np.argsort(-blocks[:, 0], kind="stable")
    start = np.repeat(np.array(steps.start, np.uint32)[:, None], steps.lanes, axis=1)
    digests = np.empty((len(contents), len(start)), np.uint32)
    _compiled(name)(places[longest_first], blocks[longest_first], start, digests)
    by_content = np.empty_like(digests, "<u4" if steps.order == "little" else ">u4")
    by_content[longest_first] = digests
    return [digest.tobytes() for digest in by_content]


def _end(content: bytes, order: Literal["little", "big"]) -> bytes:
    """Returns what follows a content's whole blocks: one block, or two."""
    size = len(content)
    rest = bytes(content[size - size % _BLOCK :])
    return b"".join((rest, b"\x80", bytes((-size - 9) % _BLOCK), (8 * size).to_bytes(8, order)))


def _address(content: bytes) -> int:
    # A quarter of the time that NumPy takes to say it.
    return ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value or 0


@functools.cache
def self_test() -> None:
    """Checks once in a process that this installation takes the digests that it must.

    A compiler or CPU that deviates would let listed files through in silence.

    Raises:
        SelfTestError: It does not.
    """
    contents = [bytes(range(size)) for size in range(0, 256, 5)]
    for name in LANED:
        expected = [hashlib.new(name, each, usedforsecurity=False).digest() for each in contents]
        if digest_many(name, contents) != expected:
            raise SelfTestError(
                f"fingerprints: the {name} of known texts is wrong; reinstall ingestgate's pinned "
                "dependencies, and clear numba's cache"
            )


@functools.cache
def _compiled(name: str) -> Callable[[Any, Any, Any, Any], None]:
    """Returns `_digest` of one kind."""
    kind = LANED.index(name)

    def digest(places: Any, blocks: Any, start: Any, digests: Any) -> None:
        _digest(kind, places, blocks, start, digests)

    # Numba keeps what it compiles under the function's name and its file's time: each kind has a
    # place of its own, and another one once its steps are others.
    steps = zlib.crc32(inspect.getsource(digest_steps).encode())
    digest.__qualname__ = f"{name}_{steps:08x}"
    return cast(Callable[[Any, Any, Any, Any], None], njit(cache=True, nogil=True)(digest))


@njit(nogil=True)
def _digest(kind: Any, places: Any, blocks: Any, start: Any, digests: Any) -> None:
    """Digests contents, in their order.

    Args:
        kind: Which digest, its place in `LANED`, a constant.
        places: uint64[n, 2], the address of each content's whole blocks, and of its last ones.
        blocks: int64[n, 2], how many these are.
        start: uint32[words, lanes], the states before the first blocks.
        digests: uint32[n, words]; takes the digests.
    """
    kind = literally(kind)
    states = start.copy()
    lanes = states.shape[1]
    at = np.zeros(lanes, np.uint64)
    steps = np.zeros(lanes, np.uint64)
    left = np.zeros(lanes, np.int64)
    owners = np.full(lanes, -1)
    parts = np.zeros(lanes, np.int64)
    following = 0
    while True:
        run = np.int64(0)
        for lane in range(lanes):
            while left[lane] == 0:
                owner = owners[lane]
                if owner >= 0 and parts[lane] == 0:
                    parts[lane] = 1
                else:
                    if owner >= 0:
                        digests[owner] = states[:, lane]
                    if following == len(places):
                        owners[lane] = -1
                        at[lane] = places[0, 1]  # a block that is there, again and again
                        steps[lane] = 0
                        break
                    owner = owners[lane] = following
                    following += 1
                    parts[lane] = 0
                    states[:, lane] = start[:, lane]
                    steps[lane] = _BLOCK
                at[lane] = places[owner, parts[lane]]
                left[lane] = blocks[owner, parts[lane]]
            if left[lane] and (run == 0 or left[lane] < run):
                run = left[lane]
        if run == 0:
            return
        _add_blocks(kind, states, at, steps, run)
        for lane in range(lanes):
            if owners[lane] >= 0:
                left[lane] -= run
                at[lane] += np.uint64(run) * steps[lane]


@intrinsic(prefer_literal=True)
def _add_blocks(_: Any, kind: Any, states: Any, at: Any, steps: Any, count: Any) -> Any:
    """Brings the lanes' states on by some blocks, the first of each at an address.

    Args:
        kind: Which digest, its place in `LANED`, a literal.
        states: uint32[words, lanes].
        at: uint64[lanes], addresses.
        steps: uint64[lanes], how many bytes lie from a block to the next, 0 to stay.
        count: int64, blocks; one or more.
    """
    digest = STEPS[LANED[kind.literal_value]]
    index = ir.IntType(64)
    row_type = ir.VectorType(ir.IntType(32), digest.lanes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(number: int, type: Any) -> Any:
            make = context.make_array(signature.args[number])
            whole = make(context, builder, arguments[number]).data
            return builder.bitcast(whole, type.as_pointer())

        rows = [builder.gep(data(1, row_type), [index(row)]) for row in range(len(digest.start))]
        addresses, steps = data(2, index), data(3, index)
        before = digest.load(builder, [builder.load(row, align=4) for row in rows])
        entry = builder.block
        loop, after = builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        number = builder.phi(index)
        number.add_incoming(index(0), entry)
        registers = [builder.phi(value.type) for value in before]
        for register, value in zip(registers, before, strict=True):
            register.add_incoming(value, entry)
        blocks = []
        for lane in range(digest.lanes):
            address = builder.load(builder.gep(addresses, [index(lane)]))
            step = builder.load(builder.gep(steps, [index(lane)]))
            address = builder.add(address, builder.mul(step, number))
            blocks.append(builder.inttoptr(address, ir.IntType(8).as_pointer()))
        found = digest.add(builder, registers, blocks)
        following = builder.add(number, index(1))
        number.add_incoming(following, builder.block)
        for register, value in zip(registers, found, strict=True):
            register.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, arguments[4]), loop, after)
        builder.position_at_end(after)
        for row, value in zip(rows, digest.store(builder, found), strict=True):
            builder.store(value, row, align=4)
        return context.get_dummy_value()

    return types.void(kind, states, at, steps, count), generate
