"""Damage to bytes: bits flipped, cut off, parts lost, repeated and put where they do not belong."""

from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

KEPT = Path(__file__).parent / "kept"  # what once failed, by reader; replayed every time

#: Kind, two places and a length; places are taken modulo the content's length.
Change = tuple[str, int, int, int]
KINDS = ("flip", "cut", "lose", "splice", "repeat")


def mutated(content: bytes, changes: Sequence[Change]) -> bytes:
    """Returns content with changes made to it, one after another."""
    damaged = bytearray(content)
    for kind, place, other, length in changes:
        if not damaged:
            break
        at, from_ = place % len(damaged), other % len(damaged)
        if kind == "flip":
            damaged[at] ^= 1 << other % 8
        elif kind == "cut":
            del damaged[at:]
        elif kind == "lose":
            del damaged[at : at + length]
        elif kind == "splice":
            damaged[at : at + length] = damaged[from_ : from_ + length]
        else:
            damaged[at:at] = damaged[from_ : from_ + length]
    return bytes(damaged)


def changes(unit: int = 1) -> st.SearchStrategy[list[Change]]:
    """Returns changes of which about half keep to a container's blocks of ``unit`` bytes."""
    place = st.one_of(st.integers(0, 1 << 20), st.integers(0, 64).map(lambda n: n * unit))
    length = st.one_of(st.integers(1, 600), st.integers(1, 4).map(lambda n: n * unit))
    change = st.tuples(st.sampled_from(KINDS), place, place, length)
    return st.lists(change, min_size=1, max_size=4)


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """Returns content with one bit flipped."""
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def kept(reader: str) -> list[bytes]:
    """Returns the inputs of a reader that once failed."""
    return [path.read_bytes() for path in sorted((KEPT / reader).glob("*"))]
