"""What can be wrong with a quarantine, and how it is named."""

from enum import StrEnum
from typing import NamedTuple


class Problem(StrEnum):
    """What can be wrong with what a quarantine holds."""

    MISSING = "missing"  #: an object, its key file or a manifest is not there
    CHANGED = "changed"  #: it is not what was sealed
    UNOPENED = "unopened"  #: the identity does not open it, or it is damaged
    UNNAMED = "unnamed"  #: no manifest names it: an earlier run's, or somebody else's
    UNLOGGED = "unlogged"  #: a manifest that no run put on record
    NOT_DESTROYED = "not_destroyed"  #: a receipt says it was, but it is there
    RECEIPT = "receipt"  #: the receipt of a destruction does not hold


class Fault(NamedTuple):
    """Something that is wrong.

    Attributes:
        problem: What kind.
        path: Of the file, below the quarantine's root.
        detail: A sentence for people.
        assets: Ids of the assets concerned.
    """

    problem: Problem
    path: str
    detail: str
    assets: tuple[str, ...] = ()
