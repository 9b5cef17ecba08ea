"""What came to lists since a version: which two versions of each list a rescan compares."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.transforms.policy import Policy


@dataclass(frozen=True, slots=True)
class Since:
    """From which version on lists are looked at.

    Attributes:
        named: By list id.
        every: Of all others; None: whole.
    """

    named: Mapping[str, int]
    every: int | None = None

    def version(self, info: ListInfo) -> int | None:
        """Returns from which version on a list is looked at; None: whole.

        A list that has not come as far as ``every`` has not changed since.
        """
        if info.id in self.named:
            return self.named[info.id]
        return None if self.every is None else min(self.every, info.version)


#: Every list whole.
WHOLE: Final = Since({})


class Older(NamedTuple):
    """The version of a list that the one in force is compared with.

    Attributes:
        version: Its number.
        digest: Of its ``list.json``: one of the same number with other entries is another one.
        folders: Of the version in force, and of this one; None: that is the one in force.
    """

    version: int
    digest: str
    folders: tuple[str, str] | None


def compared_versions(
    since: Since, directory: str, lists: ListSet, policy: Policy
) -> dict[str, Older]:
    """Returns, by list id, which version to compare with; what is not named is looked for whole.

    Raises:
        UsageError: A version is not there, is the newest one, or cannot be compared.
    """
    if unknown := sorted(since.named.keys() - {info.id for info in lists.infos}):
        raise UsageError(f"--since: there is no list {unknown[0]}")
    chosen: dict[str, Older] = {}
    for info in lists.infos:
        version = since.version(info)
        if version is None:
            continue
        if info.id in since.named and version >= info.version:
            raise UsageError(f"--since {info.id}={version}: the list is of version {info.version}")
        if version == info.version:
            chosen[info.id] = Older(version, info.digest, None)
            continue
        older = next((o for o in lists.superseded if (o.id, o.version) == (info.id, version)), None)
        if older is None:
            raise UsageError(
                f"--since {info.id}={version}: that version does not lie in {directory}; put it "
                "there, or leave --since out to look for the whole list"
            )
        _require_comparable(info, older, policy)
        folders = _folders(directory)
        both = (folders[info.id, info.version], folders[info.id, version])
        chosen[info.id] = Older(version, older.digest, both)
    if (
        chosen
        and not any(one.folders for one in chosen.values())
        and len(chosen) == len(lists.infos)
    ):
        raise UsageError(
            f"--since {since.every}: no list is of a later version, so that there is nothing to "
            "look for; leave --since out to look for the whole lists again"
        )
    return chosen


def _require_comparable(info: ListInfo, older: ListInfo, policy: Policy) -> None:
    override = policy.lists.get(info.id)
    changed = {n for n, t in info.thresholds.items() if older.thresholds.get(n) != t}
    changed -= set(override.thresholds) if override else set()
    acts = override.action if override else None
    if changed & set(older.counts) or (acts is None and older.action != info.action):
        raise UsageError(
            f"--since {info.id}={older.version}: thresholds or action have changed since, so that "
            "older entries may match anew; leave --since out for this list"
        )


def _folders(directory: str) -> dict[tuple[str, int], str]:
    found = {}
    for entry in storage.walk(storage.absolute(directory)):
        if storage.basename(entry.path) == "list.json":
            content = json.loads(storage.read_bytes(entry.path))
            found[content["id"], int(content["version"])] = storage.parent(entry.path)
    return found


def parse_since(values: Iterable[str]) -> Since:
    """Reads ``[ID=]VERSION`` values.

    Raises:
        UsageError: One is none.
    """
    named: dict[str, int] = {}
    every = None
    for value in values:
        name, _, text = value.rpartition("=")
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise UsageError(f"--since {value}: not [ID=]VERSION")
        if name:
            named[name] = int(text)
        else:
            every = int(text)
    return Since(named, every)
