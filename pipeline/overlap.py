"""What would be written into what else is there, told before anything is written.

Input patterns against the folders of a run, and its shards against those that others committed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import UsageError
from ingestgate.assets.evidence import records
from ingestgate.assets.receipts import how_to_remove, read_receipt
from ingestgate.assets.shard import Shard


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


def refuse_nested(shards: Sequence[Shard], evidence: str) -> None:
    """Refuses shards that would be published into an image folder of an earlier run, or around one.

    Each would be a part of what the other's receipt says, or would replace it.

    Args:
        shards: What the inputs resolve to; none of them lies in another.
        evidence: Where the receipts lie.

    Raises:
        UsageError: One would be; names both.
        StorageError: A receipt cannot be read.
    """
    names = {shard.name for shard in shards}
    folders = {shard.name for shard in shards if shard.format == "folder"}
    committed = records(storage.join(evidence, "receipts")).keys() - names
    for name in sorted(committed):
        for folder in _above(name):
            if folder in folders:
                raise _nested(evidence, folder, "is an image folder around", name)
    for name in sorted(names):
        for folder in _above(name):
            if folder in committed and _may_be_folder(evidence, folder):
                raise _nested(evidence, name, "lies inside the image folder", folder)


def _above(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _may_be_folder(evidence: str, shard: str) -> bool:
    receipt = read_receipt(evidence, shard)
    return receipt is None or receipt.format == "folder"


def _nested(evidence: str, name: str, lies: str, other: str) -> UsageError:
    return UsageError(
        f"{name}: {lies} {other}, which an earlier run has committed with this evidence; give "
        f"{name} an --output and --evidence of its own, or, if {other} is not meant any more, "
        f"{how_to_remove(evidence, other)}"
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
