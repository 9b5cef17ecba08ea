"""The lists that runs have seen, so that no list goes back, vanishes or is swapped in silence.

One JSON file, where the operator says, out of reach of whoever can write to the lists: of each
list the highest version that a run was done with, its digest and its numbers of values. A file
that is not there yet remembers nothing; the first run writes it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.manifest import ListInfo, Sha256

_Model = ConfigDict(frozen=True, strict=True, extra="forbid")


class Seen(BaseModel):
    """What is remembered of a list: version, digest of its ``list.json``, numbers of values."""

    model_config = _Model

    version: Annotated[int, Field(gt=0)]
    digest: Sha256
    counts: dict[str, Annotated[int, Field(ge=0)]]


class Remembered(BaseModel):
    """What is remembered of every list, by id."""

    model_config = _Model

    format: Literal[1] = 1
    lists: dict[str, Seen] = {}


def check_remembered(path: str, infos: Sequence[ListInfo], max_change: float) -> None:
    """Compares lists with what is remembered of them.

    Args:
        path: The file.
        infos: The lists that are to be used.
        max_change: Largest share by which a list's values may have become fewer or more, in
            all and of any signal type, where its version is a higher one.

    Raises:
        ListError: A list is older than one that was seen, has other content under its version,
            is gone, or has changed beyond the share; or the file is not what it should be.
        StorageError: The file cannot be read.
    """
    seen = _read(path).lists
    for name in sorted(seen.keys() - {info.id for info in infos}):
        raise _refusal(path, name, f"list {name} was there before, and is gone", "put it back")
    for info in infos:
        if info.id not in seen:
            continue
        before = seen[info.id]
        if info.version < before.version:
            raise _refusal(
                path,
                info.id,
                f"{info.name} is older than version {before.version}, which was seen before",
                "put the newer one back, or get the partner's current list",
            )
        if info.version == before.version and info.digest != before.digest:
            raise _refusal(
                path,
                info.id,
                f"{info.name} is not the one that was seen before under that version",
                "put that one back, or compile this one as a higher version",
            )
        if info.version > before.version:
            _check_change(path, info, before, max_change)


def _check_change(path: str, info: ListInfo, before: Seen, max_change: float) -> None:
    total = sum(before.counts.values())
    pairs = {"values": (total, sum(info.listed.values()))}
    for name in sorted({*before.counts, *info.listed}):
        pairs[name] = (before.counts.get(name, 0), info.listed.get(name, 0))
    for what, (old, new) in pairs.items():
        # A signal type that is new is measured by all that the list held before.
        if abs(new - old) > max_change * (old or total):
            raise _refusal(
                path,
                info.id,
                f"{info.name} {'shrank' if new < old else 'grew'} from {old:,} {what} in version "
                f"{before.version} to {new:,}, by more than the policy's trust.max_change",
                "ask the partner whether that is right",
            )


def _refusal(path: str, list_id: str, problem: str, remedy: str) -> ListError:
    return ListError(
        f"{problem} (says {path}); {remedy}, or if it is meant to be so, "
        f"run 'ingestgate lists accept {list_id}'"
    )


def remember(path: str, infos: Iterable[ListInfo]) -> None:
    """Remembers lists; of a list that is remembered in a higher version, nothing changes.

    Raises:
        ListError: The file is not what it should be.
        StorageError: It cannot be read or written.
    """
    with _locked(path):
        known = _read(path)
        lists = dict(known.lists)
        for info in infos:
            if info.id not in lists or info.version > lists[info.id].version:
                lists[info.id] = _seen(info)
        _write(path, known, lists)


def accept(path: str, list_id: str, infos: Sequence[ListInfo]) -> ListInfo | None:
    """Remembers one list as it is now, whatever was seen before.

    Args:
        path: The file.
        list_id: The list's id.
        infos: The lists that are there now; without it among them it is forgotten.

    Returns:
        The list as it is now, or None if it was forgotten.

    Raises:
        UsageError: There is neither such a list nor a memory of it.
        ListError: The file is not what it should be.
        StorageError: It cannot be read or written.
    """
    info = next((info for info in infos if info.id == list_id), None)
    with _locked(path):
        known = _read(path)
        if info is None and list_id not in known.lists:
            raise UsageError(f"no list {list_id!r}, neither there nor in {path}")
        lists = {name: seen for name, seen in known.lists.items() if name != list_id}
        if info is not None:
            lists[list_id] = _seen(info)
        _write(path, known, lists)
    return info


def _seen(info: ListInfo) -> Seen:
    return Seen(version=info.version, digest=info.digest, counts=info.listed)


def _read(path: str) -> Remembered:
    if not storage.exists(path):
        return Remembered()
    try:
        return Remembered.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ListError(
            f"{path}: not a file of remembered lists{f' ({place})' if place else ''}; restore it "
            "from a copy, or remove it and look at what the next report says of the lists"
        ) from None


def _write(path: str, known: Remembered, lists: dict[str, Seen]) -> None:
    changed = Remembered(lists=dict(sorted(lists.items())))
    if changed != known or not storage.exists(path):
        content = (changed.model_dump_json(indent=1) + "\n").encode()
        storage.write_bytes(path, content, private=True)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Keeps two runs from forgetting what the other has seen; object stores have no locks."""
    if not storage.is_remote(path):
        storage.make_directory(storage.parent(path) or ".", private=True)
    with storage.lock(f"{path}.lock", seconds=math.inf):
        yield
