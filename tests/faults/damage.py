"""Files damaged one way after another: cut off around each record's end, single bits flipped."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.faults.conftest import chosen, thorough
from tests.faults.mutating import flipped

_BITS = 2_000  # about as many of a file's are flipped in the long version, or all if it has less


class Damage(NamedTuple):
    """One way in which a file's content is not what was written.

    Attributes:
        what: ``cut`` or ``flip``.
        place: Where: how much is left, or which byte holds the bit.
        content: What the file holds instead.
    """

    what: str
    place: int
    content: bytes


def cuts(content: bytes, ends: Iterable[int], count: int, seed: object) -> list[Damage]:
    """Returns a content cut off at the ends of its records, a byte before and a byte after."""
    places = {at for end in (0, *ends) for at in (end - 1, end, end + 1)}
    within = sorted(at for at in places if 0 <= at < len(content))
    return [Damage("cut", at, content[:at]) for at in chosen(within, count, ("cut", seed))]


def bits(content: bytes, count: int, seed: object, within: range | None = None) -> list[Damage]:
    """Returns a content with one bit flipped, at places spread over all of it, or some bytes."""
    within = range(len(content)) if within is None else within
    places = [(at, bit) for at in within for bit in range(8)]
    places = chosen(places, count, ("flip", seed))
    if thorough():
        places = places[:: max(1, len(places) // _BITS)]
    return [Damage("flip", at, flipped(content, at, bit)) for at, bit in places]


def ends_of_lines(content: bytes) -> list[int]:
    """Returns where the lines of a text end."""
    return [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]


def every(step: int, content: bytes) -> list[int]:
    """Returns the ends of records that are all as long, or padded to a multiple."""
    return list(range(step, len(content) + 1, step))


@contextmanager
def in_place(path: Path, damage: Damage) -> Iterator[None]:
    """Puts damage in a file's place; what was there comes back, time and all."""
    whole, status = path.read_bytes(), path.stat()
    path.write_bytes(damage.content)
    try:
        yield
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
