"""Which manifests were sealed, by the audit log: name and digests, in machine-written lines.

A run puts each manifest on record before it declares success, and one that was killed before it
could leaves that to the next. So who changes a manifest afterwards has to write the log anew as
well. The digests are those of the bytes as the commit wrote them, taken from its receipts.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.errors import EvidenceError
from ingestgate.quarantine.audit import AuditLine

if TYPE_CHECKING:  # workers read manifests, and have no need of what writes the log
    from ingestgate.quarantine.audit_writing import AuditWriter

SEALED: Final = "manifests.sealed"
#: A person's: what lies there is put on record as it is, where the run that sealed it is no more.
ACCEPTED: Final = "manifests.accepted"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STEM = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class SealedManifest(NamedTuple):
    """A manifest as it was sealed.

    Attributes:
        name: Stem of its two files.
        jsonl, parquet: Hex SHA-256 of each.
    """

    name: str
    jsonl: str
    parquet: str

    @classmethod
    def of(cls, name: str, digests: Mapping[str, str]) -> "SealedManifest":
        """Returns it from a receipt's stem and digests."""
        return cls(name, digests["jsonl"], digests["parquet"])

    def digests(self) -> dict[str, str]:
        """Returns the digests by the files' suffixes."""
        return {"jsonl": self.jsonl, "parquet": self.parquet}


def sealed_manifests(lines: Iterable[AuditLine]) -> dict[str, SealedManifest]:
    """Returns the manifests on record, by name; committing a shard again replaces its own.

    Raises:
        EvidenceError: A line does not say what it has to.
    """
    found: dict[str, SealedManifest] = {}
    for line in lines:
        if line.event not in (SEALED, ACCEPTED):
            continue
        try:
            named = [_read(each) for each in line.fields["manifests"]]
        except (KeyError, TypeError, ValueError):
            raise EvidenceError(
                f"audit log, line {line.number}: {line.event}: does not say what it has to"
            ) from None
        found.update((each.name, each) for each in named)
    return found


def _read(said: Mapping[str, Any]) -> SealedManifest:
    each = SealedManifest(**said)
    if not _STEM.fullmatch(each.name):
        raise ValueError("not the name of a manifest")
    if not all(_SHA256.fullmatch(digest) for digest in each.digests().values()):
        raise ValueError("not a digest")
    return each


def put_on_record(
    writer: "AuditWriter",
    manifests: Iterable[SealedManifest],
    key: Ed25519PrivateKey | None,
    *,
    event: str = SEALED,
    **said: str,
) -> list[SealedManifest]:
    """Appends those manifests that are not on record as they are; returns them.

    Args:
        writer: The log's.
        manifests: What was sealed.
        key: Signs the lines, or None.
        event: `SEALED` or `ACCEPTED`.
        said: What else the lines say, such as the run's id.

    Raises:
        EvidenceError: The log says something of manifests that it cannot.
        StorageError: It cannot be written.
    """
    from ingestgate.quarantine.audit_writing import per_line

    known = sealed_manifests(writer.lines)
    new = sorted(each for each in set(manifests) if known.get(each.name) != each)
    for part in per_line(new):
        named = [each._asdict() for each in part]
        writer.add(event, {**said, "manifests": named}, key)
    return new
