"""Input patterns against the folders of a run, before anything is written into either."""

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import UsageError


def refuse_overlap(inputs: Sequence[str], folders: Mapping[str, str]) -> None:
    """Refuses inputs that lie in a folder of the run, or reach into one once it is there.

    The first run would still go well, and a second one take what the first one wrote for input.

    Args:
        inputs: Paths or patterns of the landing zone.
        folders: What each folder is to the run, by its absolute path.

    Raises:
        UsageError: Says which lies in which.
    """
    for pattern in inputs:
        for folder, what in folders.items():
            place = _meeting(storage.absolute(pattern), folder)
            if place:
                raise UsageError(
                    f"{_said(pattern, folder, what, place)}; input, output, quarantine, evidence "
                    "and lists need folders of their own"
                )


def _said(pattern: str, folder: str, what: str, place: str) -> str:
    if place == "inside":
        return f"the input {shown(pattern)} lies in {shown(folder)}, the {what}"
    return f"{shown(folder)}, the {what}, lies where the input {shown(pattern)} reaches"


def _meeting(pattern: str, folder: str) -> str:
    """Returns ``inside`` (the input lies in the folder), ``around``, or "" (they are apart)."""
    literal = not storage.has_wildcard(pattern) or _is_there(pattern)
    wanted, there = _parts(pattern, literal), _parts(folder, True)
    for number, part in enumerate(there):
        if number == len(wanted):
            return "around"
        if not literal and "**" in wanted[number]:
            return "around"
        if part != wanted[number] and (literal or not fnmatchcase(part, wanted[number])):
            return ""
    return "inside" if wanted[: len(there)] == there else "around"


def _parts(path: str, literal: bool) -> list[str]:
    """Returns a path's components; links are followed as far as nothing in it is a pattern."""
    if storage.is_remote(path):
        return path.rstrip("/").split("/")
    parts = path.split("/")
    count = len(parts)
    if not literal:
        count = next(n for n, part in enumerate(parts) if storage.has_wildcard(part))
    fixed = os.path.realpath("/".join(parts[:count]) or "/").rstrip("/")
    return [*fixed.split("/"), *parts[count:]]


def _is_there(pattern: str) -> bool:
    # As discovery takes it: a name with brackets that is there is meant as it is written.
    return not storage.is_remote(pattern) and storage.exists(pattern)
