"""Shards, the ranges they are cut into, and the samples and members that lie in them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Shard(NamedTuple):
    """One unit of the landing zone that is committed as a whole.

    Attributes:
        name: Path below the input's common root, with ``/``; a folder's own path for a folder.
        path: Where it lies (a local path or a URL of one of Beam's file systems).
        format: Name of the container format, a key of the format registry.
        size: Bytes, of all its files together.
        identity: Hex digest over names, sizes and modification marks of all its files;
            changes when the shard does.
        parts: Further files that belong to it (img2dataset's Parquet and stats), by path.
    """

    name: str
    path: str
    format: str
    size: int
    identity: str
    parts: Sequence[str] = ()


class WorkRange(NamedTuple):
    """A part of a shard that is judged on its own; ranges of a shard are in order, gapless.

    Attributes:
        number: 0-based place among the shard's ranges.
        total: How many ranges the shard has.
        start, stop: Half-open, in the container's own unit: byte offsets of a tar, row groups
            of a Parquet file, indices of a folder's sorted file list.
        first: Row number of the range's first row, where rows are numbered; else 0.
    """

    number: int
    total: int
    start: int
    stop: int
    first: int = 0


class Kind(StrEnum):
    """What a member is to the gate."""

    PICTURE = "picture"
    SIDECAR = "sidecar"  #: captions, labels: shares its sample's verdict, has no row of its own
    OTHER = "other"  #: neither; cannot be screened as a picture
    REFERENCE = "reference"  #: a row without bytes: a source and perhaps digests
    SKIPPED = "skipped"  #: dataset readers do not see it
    DUPLICATE = "duplicate"  #: a second member under the same name in its sample


@dataclass(frozen=True, slots=True)
class Member:
    """One thing inside a shard that needs a verdict.

    Attributes:
        name: Its name as users know it: the tar member's name, the Parquet row number as
            text, the path relative to the folder.
        position: Where it stands, unique within the shard together with ``field``, ascending
            in reading order: header offset of a tar member, row number, index of a file.
        content: The original bytes; None where the shard holds none.
        kind: What it is to the gate.
        field: The column path inside a row (``image``, ``images[2]``), else "".
        discriminator: What tells members of one name apart where a container allows them
            (a tar member's header offset), else "".
    """

    name: str
    position: int
    content: bytes | None
    kind: Kind
    field: str = ""
    discriminator: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Members that stand or fall together, with what the input says of them.

    Attributes:
        key: The sample's name within its shard.
        members: In reading order, at least one.
        provenance: Every scalar the input carries beside the bytes, flattened to text.
        raw: What the container itself needs to write the sample again; opaque to others.
    """

    key: str
    members: tuple[Member, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)
    raw: Any = None


def asset_id(shard: str, member: str, field: str = "", discriminator: str = "") -> str:
    """Returns the identifier of an asset: 32 hex digits, a function of its locator only."""
    locator = "\0".join((shard, member, field, discriminator))
    return hashlib.sha256(locator.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def accountable_members(sample: Sample) -> tuple[Member, ...]:
    """Returns the members of a sample that have a ledger row of their own.

    All but the sidecars; of a sample of nothing but sidecars the first member, so that every
    sample has at least one row.
    """
    members = tuple(member for member in sample.members if member.kind is not Kind.SIDECAR)
    return members or sample.members[:1]


def sidecar_members(sample: Sample) -> tuple[Member, ...]:
    """Returns the other members: they are listed in the row of the first accountable one."""
    sidecars = tuple(member for member in sample.members if member.kind is Kind.SIDECAR)
    return sidecars if len(sidecars) < len(sample.members) else sidecars[1:]
