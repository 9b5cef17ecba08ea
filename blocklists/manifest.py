"""``list.json``: what a compiled list says of itself, and what its files must look like.

The format version is ``major.minor``. A reader refuses another major; a newer minor may only
add fields that a reader can do without and still find every match. What a list cannot be
matched without raises the major.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestgate.assets.errors import ListError, UsageError, first_problem
from ingestgate.assets.verdict import Action, SignalKind
from ingestgate.blocklists.signals import signal_type

MANIFEST = "list.json"
FORMAT_VERSION = "1.1"
LIST_ID = r"[A-Za-z0-9](?:[A-Za-z0-9._\-]{0,62}[A-Za-z0-9])?"
DomainScope = Literal["subdomains", "exact"]
#: Why a list without expiry is neither signed nor believed where keys are named.
UNEXPIRING = (
    "states no expiry, so that nobody would notice if newer versions were held back; compile it "
    "as a higher version with --expires, and have that signed"
)
Sha256 = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]


class ListFile(BaseModel):
    """One file of a compiled list: lower-case hex SHA-256, and size in bytes."""

    model_config = ConfigDict(frozen=True)

    sha256: Sha256
    size: Annotated[int, Field(gt=0)]


class ListChanges(BaseModel):
    """Numbers of entries that a version has more, less or otherwise than an earlier one.

    Attributes:
        since: The earlier version.
    """

    model_config = ConfigDict(frozen=True)

    since: Annotated[int, Field(gt=0)]
    added: Annotated[int, Field(ge=0)]
    removed: Annotated[int, Field(ge=0)]
    changed: Annotated[int, Field(ge=0)]


class ListInfo(BaseModel):
    """One compiled list, without its values.

    Attributes:
        format: Format version of the compiled form.
        id: Name of the list, the same in all its versions.
        version: Positive; a higher one replaces a lower one.
        partner: Who supplies it, or "".
        issued, expires: UTC; a list without expiry is not signed, and not used where the policy
            names keys.
        counts: Number of values per signal type, canaries among them.
        entries: Number of distinct (entry id, category) pairs.
        thresholds: Per perceptual signal type, the largest Hamming distance that matches.
        action: What a match does.
        domain_scope: What a domain entry without a wildcard covers.
        canaries: Entry ids of canaries per signal type.
        changes: What it is against the version before; None if there was none beside it.
        files: Every file of the list but ``list.json`` and signatures.
        digest: Hex SHA-256 of ``list.json``; not part of it.
        signed_by: Keys whose signature over ``list.json`` was verified; not part of it.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    format: str = FORMAT_VERSION
    id: Annotated[str, Field(pattern=rf"\A{LIST_ID}\z")]
    version: Annotated[int, Field(gt=0)]
    partner: str = ""
    issued: AwareDatetime
    expires: AwareDatetime | None = None
    counts: dict[str, Annotated[int, Field(gt=0)]]
    entries: Annotated[int, Field(gt=0)]
    thresholds: dict[str, int]
    action: Action = Action.QUARANTINE
    domain_scope: DomainScope = "subdomains"
    canaries: dict[str, tuple[str, ...]] = {}
    changes: ListChanges | None = None
    files: dict[str, ListFile] = {}
    digest: Annotated[str, Field(exclude=True)] = ""
    signed_by: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.listed:
            raise ValueError("the list is empty")
        if self.expires is not None and self.expires <= self.issued:
            raise ValueError("it expires before it is issued")
        for name, threshold in self.thresholds.items():
            check_threshold(name, threshold, self.counts)
        return self

    @property
    def listed(self) -> dict[str, int]:
        """Number of values per signal type, canaries left out: they are nobody's entries."""
        canaries = {name: len(ids) for name, ids in self.canaries.items()}
        counts = {name: count - canaries.get(name, 0) for name, count in self.counts.items()}
        return {name: count for name, count in counts.items() if count > 0}

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"list {self.id} version {self.version}"

    def to_bytes(self) -> bytes:
        """Returns the content of ``list.json``, a function of the fields alone."""
        fields = self.model_dump(mode="json")
        return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


def check_threshold(name: str, threshold: int, counts: Iterable[str]) -> None:
    """Refuses a threshold that does not fit its signal type, or that the list has no use for.

    Raises:
        ValueError: It says why.
    """
    if name not in counts:
        raise ValueError(f"a threshold for {name}, of which the list holds nothing")
    signal = signal_type(name)
    limit = signal.bits // 2 if signal.kind is SignalKind.PERCEPTUAL else 0
    if not 0 <= threshold <= limit:
        wanted = f"wants one from 0 to {limit}" if limit else "which is compared bit for bit"
        raise ValueError(f"a threshold of {threshold} for {name}, {wanted}")


def utc_seconds(time: datetime, what: str) -> datetime:
    """Returns a time in UTC, in whole seconds.

    Raises:
        UsageError: It has no time zone.
    """
    if time.tzinfo is None:
        raise UsageError(f"{what} needs a time zone")
    return time.astimezone(UTC).replace(microsecond=0)


def read_manifest(path: str, content: bytes) -> ListInfo:
    """Returns what a ``list.json`` says.

    Args:
        path: Where it lies, for messages.
        content: Its bytes.

    Raises:
        ListError: It is not one this version reads.
    """
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise ListError(f"{path}: not JSON; compile the list again") from None
    version = fields.get("format") if isinstance(fields, dict) else None
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]+\.[0-9]+", version):
        raise ListError(f"{path}: not the {MANIFEST} of a compiled list; compile the list again")
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise ListError(
            f"{path}: compiled form {version}, this program reads {FORMAT_VERSION}; compile the "
            "list again with this version, or install the one it was compiled with"
        )
    counts = fields.get("counts")
    for name in counts if isinstance(counts, dict) else ():
        try:
            signal_type(name)
        except UsageError as error:
            raise ListError(f"{path}: {error}; install the plug-in it came from") from None
    try:
        info = ListInfo.model_validate_json(content)
    except ValidationError as error:
        raise ListError(f"{path}: {first_problem(error)}; compile the list again") from None
    return info.model_copy(update={"digest": hashlib.sha256(content).hexdigest(), "signed_by": ()})
