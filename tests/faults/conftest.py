"""The fault tests: a seeded few whenever tests are run, and all with INGESTGATE_FAULTS=all."""

import os
import random
from collections.abc import Sequence
from typing import TypeVar

from tests.e2e.conftest import _no_network, job, lists

__all__ = ["_no_network", "chosen", "job", "lists", "seeded", "thorough"]

T = TypeVar("T")


def thorough() -> bool:
    """Whether everything is to be tried."""
    return os.environ.get("INGESTGATE_FAULTS") == "all"


def chosen(points: Sequence[T], count: int, seed: object) -> list[T]:
    """Returns ``count`` of the points, by a seed; all of them for the long version."""
    return list(points) if thorough() else seeded(points, count, seed)


def seeded(points: Sequence[T], count: int, seed: object) -> list[T]:
    """Returns ``count`` of the points, by a seed, in the long version, too."""
    if len(points) <= count:
        return list(points)
    return sorted(random.Random(repr(seed)).sample(points, count))  # type: ignore[type-var]
