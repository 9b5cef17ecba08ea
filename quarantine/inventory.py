"""What lies in a quarantine, beside what its manifests say lies there."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError, VaultError
from ingestgate.quarantine import layout
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.manifest_reading import read_manifest, require_all_on_record
from ingestgate.quarantine.sealed_manifests import sealed_manifests


class NamedAsset(NamedTuple):
    """An asset that a manifest says lies in an object.

    Attributes:
        asset_id, shard, member: Which.
        sha256: Digest of its bytes, "" where the shard held none.
    """

    asset_id: str
    shard: str
    member: str
    sha256: str


@dataclass(slots=True)
class NamedObject:
    """One object as the manifests name it; their rows agree on it.

    Attributes:
        path: Below the quarantine's root.
        sha256, size: Of the ciphertext.
        key_sha256: Of its key file as it was sealed; None where the manifest does not say.
        package_sha256: Of the package inside.
        assets: What lies in it.
    """

    path: str
    sha256: str
    size: int
    key_sha256: str | None
    package_sha256: str
    assets: list[NamedAsset] = field(default_factory=list)

    @property
    def key_path(self) -> str:
        """Path of its key file."""
        return layout.key_path(self.path)


def named_objects(root: str) -> dict[str, NamedObject]:
    """Returns every object that the manifests name, by its path, as was put on record.

    Raises:
        UsageError: There is no such quarantine.
        EvidenceError: A manifest is missing, not what was sealed or not on record, so that not
            everything is known; or the audit log does not hold.
        VaultError: A line is damaged, names a path that is none, or two lines differ in what they
            say of one object.
        StorageError: A manifest cannot be read.
    """
    sealed = sealed_manifests(read_log(root))
    require_all_on_record(root, sealed)
    return objects_named_in(read_manifest(root, sealed))


def objects_named_in(rows: Iterable[dict[str, Any]]) -> dict[str, NamedObject]:
    """Returns every object that some rows of a manifest name, by its path.

    Raises:
        VaultError: As `named_objects` does.
    """
    objects: dict[str, NamedObject] = {}
    for row in rows:
        said = _said(row)
        known = objects.setdefault(said.path, said)
        if _bound(known) != _bound(said):
            raise VaultError(
                f"{said.path}: two rows of the manifest differ in what they say of it; "
                "one of them was written by somebody else"
            )
        known.assets.append(
            NamedAsset(row["asset_id"], row["shard"], row["member"], row["sha256"] or "")
        )
    return objects


def _bound(each: NamedObject) -> tuple[object, ...]:
    return each.sha256, each.size, each.key_sha256, each.package_sha256


def _said(row: dict[str, Any]) -> NamedObject:
    path = layout.checked(row["sealed_object"])
    if row["sealed_key"] != layout.key_path(path):
        raise VaultError(f"{path}: the manifest names a key file of another object")
    return NamedObject(
        path,
        row["sealed_sha256"],
        row["sealed_size"],
        row["sealed_key_sha256"],
        row["package_sha256"],
    )


def rows_of(root: str, start: str) -> list[dict[str, Any]]:
    """Returns the manifest rows of the one asset whose id starts so; of each judging one.

    In the order in which they were sealed: names of manifests say nothing of when.

    Raises:
        UsageError: There is none, there are several, or there is no such quarantine.
        EvidenceError: A manifest is not what was sealed; or there is no such asset in those on
            record, and some are on none.
        VaultError: A manifest is damaged.
    """
    sealed = sealed_manifests(read_log(root))
    found = [row for row in read_manifest(root, sealed) if row["asset_id"].startswith(start)]
    if not found:
        require_all_on_record(root, sealed)
    the_one("asset", start, {row["asset_id"] for row in found})
    return sorted(found, key=lambda row: datetime.fromisoformat(row["sealed_at"]))


def the_one(what: str, start: str, found: Collection[str]) -> str:
    """Returns the id that a start of an id stands for.

    Args:
        what: Of what the ids are.
        start: As somebody typed it.
        found: All ids of the quarantine that start so.

    Raises:
        UsageError: There is none, or there are several.
    """
    if not start:
        raise UsageError(f"no id; name the {what} by its id, or the start of it; see `list`")
    if len(found) != 1:
        problem = f"several {what}s" if found else f"no {what}"
        starts = "start" if found else "starts"
        raise UsageError(f"{problem} of this quarantine {starts} with {start}; see `list`")
    return next(iter(found))


def present_files(root: str, folder: str) -> list[str]:
    """Returns the paths, below the root, of all files below one of its folders.

    Raises:
        StorageError: The folder cannot be listed.
    """
    return [
        storage.join(folder, entry.path.removeprefix(f"{storage.join(root, folder)}/"))
        for entry in storage.walk_if_there(storage.join(root, folder))
    ]


def copies(root: str, identifier: str) -> Iterator[str]:
    """Yields the path of every copy of a sample, whether a manifest names it or not.

    Of one whose object or whose key alone is there, too: as the path of the object.
    """
    found: dict[str, None] = {}
    fan = storage.join(identifier[:2], identifier)
    for folder in (layout.OBJECTS, layout.KEYS):
        for path in present_files(root, storage.join(folder, fan)):
            found[f"{layout.OBJECTS}/{path.removeprefix(f'{folder}/')}"] = None
    yield from sorted(found)


def unnamed_files(root: str, objects: Iterable[str]) -> list[str]:
    """Returns the files under ``objects/`` and ``keys/`` that belong to no named object.

    Args:
        root: The quarantine.
        objects: Paths of the objects that are named.
    """
    known: set[str] = set()
    for path in objects:
        known |= {path, layout.key_path(path)}
    return [
        path
        for folder in (layout.KEYS, layout.OBJECTS)
        for path in present_files(root, folder)
        if path not in known
    ]


def by_asset(objects: Iterable[NamedObject]) -> dict[str, list[NamedObject]]:
    """Returns the objects that each asset lies in, by its id."""
    found: defaultdict[str, list[NamedObject]] = defaultdict(list)
    for each in objects:
        for identifier in {asset.asset_id for asset in each.assets}:
            found[identifier].append(each)
    return dict(found)
