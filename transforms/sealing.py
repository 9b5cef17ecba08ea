"""Sealing what matched in one shard, with the manifest rows that say what lies where."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.receipts import withdraw_receipt
from ingestgate.assets.shard import Shard
from ingestgate.assets.verdict import Reason, Tier, Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.quarantine.layout import object_id
from ingestgate.quarantine.manifest import (
    ListUsed,
    ManifestFinding,
    ManifestRow,
    ManifestWriter,
)
from ingestgate.quarantine.vault import SealedObject, Vault
from ingestgate.transforms.settings import RunSettings, policy_digest


class ShardSealer:
    """Seals samples of one shard and writes its manifest.

    A context manager: objects are durable once `seal` returns, the manifest once `publish`
    does; leaving the block without publishing discards the manifest.

    Args:
        settings: The run's settings.
        lists: The opened lists; named in the manifest.
        vault: Where matches are sealed.
        shard: The shard.
    """

    def __init__(self, settings: RunSettings, lists: ListSet, vault: Vault, shard: Shard) -> None:
        self._settings = settings
        self._vault = vault
        self._shard = shard
        context = settings.manifest_context(shard)
        self._writer = ManifestWriter(settings.quarantine, shard.name, context)
        self._policy_digest = policy_digest(settings.policy)
        self._lists = tuple(
            ListUsed(list_id=info.id, list_version=info.version, digest=info.digest)
            for info in lists.infos
        )

    @property
    def manifest(self) -> str:
        """Stem of the manifest's file names, "" if nothing was quarantined."""
        return self._writer.stem if self._writer.rows else ""

    @property
    def manifest_digests(self) -> Mapping[str, str]:
        """SHA-256 of the manifest's files by suffix, once it is published."""
        return self._writer.digests

    def seal(
        self, sample_key: str, position: int, files: Sequence[tuple[str, bytes]]
    ) -> SealedObject:
        """Seals the files of one sample, durably."""
        digest = hashlib.sha256(b"".join(content for _, content in files)).hexdigest()
        name = object_id(self._shard.name, sample_key, position, digest)
        return self._vault.seal(name, files)

    def note(
        self,
        header: PartHeader,
        row: Mapping[str, Any],
        known: Mapping[str, str],
        sealed: SealedObject,
    ) -> None:
        """Adds the manifest row of one asset.

        Args:
            header: Header of its ledger part.
            row: Its ledger row.
            known: Everything the input says of it.
            sealed: The object its sample lies in.
        """
        self._writer.add(
            ManifestRow(
                asset_id=row["asset_id"],
                dataset=shown(self._settings.dataset),
                format=self._shard.format,
                shard=self._shard.name,
                member=row["member"],
                field=row["field"],
                sample=row["sample"],
                verdict=Verdict(row["verdict"]),
                reason=Reason(row["reason"]),
                tier=None if row["tier"] is None else Tier(row["tier"]),
                findings=tuple(ManifestFinding(**finding) for finding in row["findings"]),
                media_type=row["media_type"],
                width=row["width"],
                height=row["height"],
                size=row["size"],
                md5=row["md5"],
                sha1=row["sha1"],
                sha256=row["sha256"],
                provenance=dict(known),
                sealed_object=sealed.path,
                sealed_key=sealed.key_path,
                sealed_key_sha256=sealed.key_sha256,
                sealed_sha256=sealed.sha256,
                sealed_size=sealed.size,
                package_sha256=sealed.plain_sha256,
                recipients=self._settings.recipients,
                lists=self._lists,
                policy_digest=self._policy_digest,
                software=self._settings.software,
                judged_at=header.judged_at,
                sealed_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        )

    def publish(self) -> None:
        """Makes the manifest durable under its final names."""
        withdraw_receipt(self._settings.evidence, self._shard.name, self._writer.stem)
        self._writer.publish()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)
