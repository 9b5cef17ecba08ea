"""MD5, SHA-1 and SHA-256 as steps over a block of each of several contents, in LLVM's terms.

Each of these digests is a chain of steps of which each waits for the one before it; chains that
have nothing to do with one another are laid side by side. In vectors, a register holds one word of
each of sixteen contents; where registers are too short for that, SHA has instructions of its own
on many processors, of which two chains take turns.

Sources: RFC 1321 (MD5); FIPS 180-4 (SHA); Intel's "SHA Extensions" (order of words in registers).
"""

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Literal, NamedTuple

from llvmlite import ir
from numba.core import codegen, config

from ingestgate.fingerprints.transposing import columns

_Steps = Generator[None, None, list[Any]]

_WORD: Final = ir.IntType(32)
_FOUR: Final = ir.VectorType(_WORD, 4)
_SINES: Final = [int(abs(math.sin(step + 1)) * 2**32) for step in range(64)]
#: By round: by how many bits each of four steps rotates.
_ROTATIONS: Final = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
#: By round: of which word each step takes: so many times the step and so many more.
_ORDERS: Final = ((1, 0), (5, 1), (3, 5), (7, 0))
_ROW: Final = ir.VectorType(_WORD, 16)  # a block
_SHA1_ADDED: Final = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)
# fmt: off
_SHA256_ADDED: Final = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)
# fmt: on


class Steps(NamedTuple):
    """One digest, so that blocks can be added to several states at once.

    Attributes:
        lanes: How many contents go side by side.
        least: So many, of one length, take no longer side by side than one by one.
        order: Of the bytes in a word.
        start: The words of a state before its first block.
        load: From vectors of the lanes' first words, second words and so on, to registers.
        add: From registers and each lane's pointer to a block, to the registers after it.
        store: From registers back to vectors of words.
    """

    lanes: int
    least: int
    order: Literal["little", "big"]
    start: tuple[int, ...]
    load: Callable[[Any, list[Any]], list[Any]]
    add: Callable[[Any, list[Any], list[Any]], list[Any]]
    store: Callable[[Any, list[Any]], list[Any]]


def has_wide_registers() -> bool:
    """Whether what is compiled here may use registers of sixteen words, and many of them."""
    return _has("+avx512f", "+avx512bw")


def has_sha_instructions() -> bool:
    """Whether what is compiled here may use x86's instructions for SHA."""
    return _has("+sha", "+ssse3")


def _has(*features: str) -> bool:
    chosen = config.CPU_FEATURES
    there = codegen.get_host_cpu_features() if chosen is None else chosen
    return set(features) <= set(there.split(","))


def _in_vectors(
    lanes: int,
    least: int,
    order: Literal["little", "big"],
    start: tuple[int, ...],
    add: Callable[[Any, list[Any], list[Any]], list[Any]],
) -> Steps:
    """Returns a digest whose words are vectors, by what adds a block of sixteen of these."""

    def as_they_are(builder: Any, words: list[Any]) -> list[Any]:
        return words

    def add_blocks(builder: Any, before: list[Any], blocks: list[Any]) -> list[Any]:
        rows = [_read(builder, block, _ROW) for block in blocks]
        if order == "big":
            rows = [_big_endian(builder, row) for row in rows]
        words = columns(builder, rows[:16])
        for first in range(16, lanes, 16):
            more = columns(builder, rows[first : first + 16])
            all_lanes = list(range(first + 16))
            words = [_shuffled(builder, *both, all_lanes) for both in zip(words, more, strict=True)]
        after = add(builder, before, words)
        return [builder.add(was, now) for was, now in zip(before, after, strict=True)]

    return Steps(lanes, least, order, start, as_they_are, add_blocks, as_they_are)


def _add_md5(builder: Any, before: list[Any], words: list[Any]) -> list[Any]:
    a, b, c, d = before
    for step, sine in enumerate(_SINES):
        number, place = divmod(step, 16)
        times, more = _ORDERS[number]
        word = words[(times * place + more) % 16]
        if number == 0:
            mixed = _choice(builder, b, c, d)
        elif number == 1:
            mixed = _choice(builder, d, b, c)
        elif number == 2:
            mixed = _parity(builder, b, c, d)
        else:
            mixed = builder.xor(c, builder.or_(b, builder.not_(d)))
        known = builder.add(builder.add(a, word), _all(word, sine))
        total = builder.add(known, mixed)
        turned = _rotated(builder, total, _ROTATIONS[number][place % 4])
        a, b, c, d = d, builder.add(b, turned), b, c
    return [a, b, c, d]


def _add_sha1(builder: Any, before: list[Any], words: list[Any]) -> list[Any]:
    a, b, c, d, e = before
    for step in range(80):
        if step >= 16:
            mixed = _parity(builder, words[step - 3], words[step - 8], words[step - 14])
            words.append(_rotated(builder, builder.xor(mixed, words[step - 16]), 1))
        mix = (_choice, _parity, _majority, _parity)[step // 20]
        known = builder.add(builder.add(e, words[step]), _all(e, _SHA1_ADDED[step // 20]))
        total = builder.add(builder.add(known, mix(builder, b, c, d)), _rotated(builder, a, 5))
        a, b, c, d, e = total, a, _rotated(builder, b, 30), c, d
    return [a, b, c, d, e]


def _add_sha256(builder: Any, before: list[Any], words: list[Any]) -> list[Any]:
    a, b, c, d, e, f, g, h = before

    def turned(word: Any, *bits: int) -> list[Any]:
        return [_rotated(builder, word, 32 - each) for each in bits]

    def spread(word: Any, first: int, second: int, shift: int) -> Any:
        shifted = builder.lshr(word, _all(word, shift))
        return _parity(builder, shifted, *turned(word, first, second))

    for step, added in enumerate(_SHA256_ADDED):
        if step >= 16:
            known = builder.add(words[step - 16], words[step - 7])
            known = builder.add(known, spread(words[step - 15], 7, 18, 3))
            words.append(builder.add(known, spread(words[step - 2], 17, 19, 10)))
        known = builder.add(builder.add(h, words[step]), _all(h, added))
        known = builder.add(known, _choice(builder, e, f, g))
        first = builder.add(known, _parity(builder, *turned(e, 6, 11, 25)))
        second = _parity(builder, *turned(a, 2, 13, 22))
        second = builder.add(second, _majority(builder, a, b, c))
        a, b, c, d, e, f, g, h = builder.add(first, second), a, b, c, builder.add(d, first), e, f, g
    return [a, b, c, d, e, f, g, h]


def _choice(builder: Any, which: Any, if_set: Any, if_not: Any) -> Any:
    return builder.xor(if_not, builder.and_(which, builder.xor(if_set, if_not)))


def _parity(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.xor(builder.xor(a, b), c)


def _majority(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))


def _rotated(builder: Any, words: Any, bits: int) -> Any:
    """Returns words rotated to the left."""
    left, right = builder.shl(words, _all(words, bits)), builder.lshr(words, _all(words, 32 - bits))
    return builder.or_(left, right)


def _all(words: Any, value: int) -> Any:
    """Returns a value for each of so many words."""
    return ir.Constant(words.type, [value] * words.type.count)


def _sha1_block(builder: Any, before: list[Any], block: Any) -> _Steps:
    """From a, b, c, d and e, the first in the highest place, by four steps of the eighty a turn."""
    words = [_big_endian(builder, row, reverse=True) for row in _quarters(builder, block)]
    upper, e = before
    earlier = upper
    for turn in range(20):
        if turn >= 4:
            mixed = _call(builder, "sha1msg1", words[turn - 4], words[turn - 3])
            mixed = builder.xor(mixed, words[turn - 2])
            words.append(_call(builder, "sha1msg2", mixed, words[turn - 1]))
        if turn == 0:
            added = builder.add(e, words[0])
        else:
            added = _call(builder, "sha1nexte", earlier, words[turn])
        earlier = upper
        function = ir.Constant(ir.IntType(8), turn // 5)
        upper = _call(builder, "sha1rnds4", upper, added, function)
        yield
    e = _call(builder, "sha1nexte", earlier, e)
    return [builder.add(upper, before[0]), e]


def _sha256_block(builder: Any, before: list[Any], block: Any) -> _Steps:
    """From (f, e, b, a) and (h, g, d, c), by four steps of the sixty-four a turn."""
    words = [_big_endian(builder, row) for row in _quarters(builder, block)]
    abef, cdgh = before
    for turn in range(16):
        if turn >= 4:
            mixed = _call(builder, "sha256msg1", words[turn - 4], words[turn - 3])
            middle = _shuffled(builder, words[turn - 2], words[turn - 1], [1, 2, 3, 4])
            mixed = builder.add(mixed, middle)
            words.append(_call(builder, "sha256msg2", mixed, words[turn - 1]))
        known = ir.Constant(_FOUR, list(_SHA256_ADDED[4 * turn : 4 * turn + 4]))
        added = builder.add(words[turn], known)
        cdgh = _call(builder, "sha256rnds2", cdgh, abef, added)
        added = _shuffled(builder, added, added, [2, 3, 2, 3])
        abef = _call(builder, "sha256rnds2", abef, cdgh, added)
        yield
    return [builder.add(abef, before[0]), builder.add(cdgh, before[1])]


def _sha(places: Sequence[int], start: tuple[int, ...], block: Callable[..., _Steps]) -> Steps:
    """Returns two lanes of a digest whose words lie in two registers, each at its place."""
    lanes = 2

    def load(builder: Any, words: list[Any]) -> list[Any]:
        registers = []
        for lane in range(lanes):
            both = [ir.Constant(_FOUR, [0] * 4)] * 2
            for place, word in zip(places, words, strict=True):
                value = builder.extract_element(word, _WORD(lane))
                both[place // 4] = builder.insert_element(both[place // 4], value, _WORD(place % 4))
            registers += both
        return registers

    def add(builder: Any, registers: list[Any], blocks: list[Any]) -> list[Any]:
        running = {
            lane: block(builder, registers[2 * lane : 2 * lane + 2], blocks[lane])
            for lane in range(lanes)
        }
        found: dict[int, list[Any]] = {}
        # In turns also in the program's order: what a processor sees ahead of it is not enough.
        while len(found) < lanes:
            for lane, steps in running.items():
                try:
                    next(steps)
                except StopIteration as end:
                    found[lane] = end.value
        return [register for lane in range(lanes) for register in found[lane]]

    def store(builder: Any, registers: list[Any]) -> list[Any]:
        words = []
        for place in places:
            word = ir.Constant(ir.VectorType(_WORD, lanes), [0] * lanes)
            for lane in range(lanes):
                register = registers[2 * lane + place // 4]
                value = builder.extract_element(register, _WORD(place % 4))
                word = builder.insert_element(word, value, _WORD(lane))
            words.append(word)
        return words

    return Steps(lanes, 1, "big", start, load, add, store)


def _read(builder: Any, pointer: Any, type: Any) -> Any:
    return builder.load(builder.bitcast(pointer, type.as_pointer()), align=1)


def _quarters(builder: Any, block: Any) -> list[Any]:
    index = ir.IntType(64)
    rows = builder.bitcast(block, _FOUR.as_pointer())
    return [builder.load(builder.gep(rows, [index(row)]), align=1) for row in range(4)]


def _big_endian(builder: Any, words: Any, *, reverse: bool = False) -> Any:
    """Returns words from their bytes, the first one in the highest place if reversed."""
    size = 4 * words.type.count
    order = [size - 1 - n if reverse else n // 4 * 4 + 3 - n % 4 for n in range(size)]
    packed = builder.bitcast(words, ir.VectorType(ir.IntType(8), size))
    return builder.bitcast(_shuffled(builder, packed, packed, order), words.type)


def _shuffled(builder: Any, first: Any, second: Any, order: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_WORD, len(order)), order)
    return builder.shuffle_vector(first, second, mask)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    """Calls an instruction of x86."""
    of = ir.FunctionType(_FOUR, [argument.type for argument in arguments])
    name = f"llvm.x86.{name}"
    known = builder.module.globals.get(name)
    return builder.call(known or ir.Function(builder.module, of, name), arguments)


_SHA1_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_SHA256_START: Final = (
    *(0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A),
    *(0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
)

# Registers are too few for thirty-two lanes of SHA, and each word is read once.
_WIDE: Final = has_wide_registers()
_MD5: Final = _in_vectors(32 if _WIDE else 16, 4, "little", _SHA1_START[:4], _add_md5)

#: By name, those that are compiled here.
STEPS: Final = {"md5": _MD5}
if _WIDE:
    STEPS["sha1"] = _in_vectors(16, 6, "big", _SHA1_START, _add_sha1)
    STEPS["sha256"] = _in_vectors(16, 8, "big", _SHA256_START, _add_sha256)
elif has_sha_instructions():
    STEPS["sha1"] = _sha((3, 2, 1, 0, 7), _SHA1_START, _sha1_block)
    STEPS["sha256"] = _sha((3, 2, 7, 6, 1, 0, 5, 4), _SHA256_START, _sha256_block)
