"""MD5, SHA-1 and SHA-256 as steps over a block of each of several contents, in LLVM's terms.

Each of these digests is a chain of steps of which each waits for the one before it; chains that
have nothing to do with one another are laid side by side, MD5's in vectors, those of SHA by the
processor's own instructions, which take turns.

Sources: RFC 1321 (MD5); FIPS 180-4 (SHA); Intel's "SHA Extensions" (order of words in registers).
"""

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, NamedTuple

from llvmlite import ir
from numba.core import codegen, config

from ingestgate.fingerprints.transposing import columns

_Steps = Generator[None, None, list[Any]]

_WORD: Final = ir.IntType(32)
_FOUR: Final = ir.VectorType(_WORD, 4)
_BYTES: Final = ir.VectorType(ir.IntType(8), 16)
_SINES: Final = [int(abs(math.sin(step + 1)) * 2**32) for step in range(64)]
#: By round: by how many bits each of four steps rotates.
_ROTATIONS: Final = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
#: By round: of which word each step takes: so many times the step and so many more.
_ORDERS: Final = ((1, 0), (5, 1), (3, 5), (7, 0))
_MD5_LANES: Final = 16
_LANE: Final = ir.VectorType(_WORD, _MD5_LANES)
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
        start: The words of a state before its first block.
        load: From vectors of the lanes' first words, second words and so on, to registers.
        add: From registers and each lane's pointer to a block, to the registers after it.
        store: From registers back to vectors of words.
    """

    lanes: int
    start: tuple[int, ...]
    load: Callable[[Any, list[Any]], list[Any]]
    add: Callable[[Any, list[Any], list[Any]], list[Any]]
    store: Callable[[Any, list[Any]], list[Any]]


def has_sha_instructions() -> bool:
    """Whether what is compiled here may use x86's instructions for SHA."""
    chosen = config.CPU_FEATURES
    features = codegen.get_host_cpu_features() if chosen is None else chosen
    return {"+sha", "+ssse3"} <= set(features.split(","))


def _as_they_are(builder: Any, words: list[Any]) -> list[Any]:
    return words


def _add_md5(builder: Any, before: list[Any], blocks: list[Any]) -> list[Any]:
    rows = [_read(builder, block, _LANE) for block in blocks]
    words = columns(builder, rows)
    a, b, c, d = before
    for step, sine in enumerate(_SINES):
        number, place = divmod(step, 16)
        times, more = _ORDERS[number]
        word = words[(times * place + more) % 16]
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
    return [builder.add(was, now) for was, now in zip(before, (a, b, c, d), strict=True)]


def _all(value: int) -> Any:
    return ir.Constant(_LANE, [value] * _MD5_LANES)


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
    words = [_big_endian(builder, row, reverse=False) for row in _quarters(builder, block)]
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

    return Steps(lanes, start, load, add, store)


def _read(builder: Any, pointer: Any, type: Any) -> Any:
    return builder.load(builder.bitcast(pointer, type.as_pointer()), align=1)


def _quarters(builder: Any, block: Any) -> list[Any]:
    index = ir.IntType(64)
    rows = builder.bitcast(block, _FOUR.as_pointer())
    return [builder.load(builder.gep(rows, [index(row)]), align=1) for row in range(4)]


def _big_endian(builder: Any, words: Any, *, reverse: bool) -> Any:
    """Returns four words from their bytes, the first one in the highest place if reversed."""
    order = [15 - n if reverse else n // 4 * 4 + 3 - n % 4 for n in range(16)]
    packed = builder.bitcast(words, _BYTES)
    return builder.bitcast(_shuffled(builder, packed, packed, order), _FOUR)


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

#: By name, those that are compiled here.
STEPS: Final = {
    "md5": Steps(_MD5_LANES, _SHA1_START[:4], _as_they_are, _add_md5, _as_they_are),
}
if has_sha_instructions():
    STEPS["sha1"] = _sha((3, 2, 1, 0, 7), _SHA1_START, _sha1_block)
    STEPS["sha256"] = _sha((3, 2, 7, 6, 1, 0, 5, 4), _SHA256_START, _sha256_block)
