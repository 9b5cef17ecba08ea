"""Preparing the purge of one shard: everything that can be found wrong is found here.

The shard is compared with the ledger, sample by sample, as the commit compares it; the sealed
objects with their manifest. What stays is written into a staging folder beside the landing zone's
files, and what is about to happen is put on record. Nothing of the landing zone has changed then.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import ledger, storage
from ingestgate.assets.containers.container import ReadOptions, RowContainer, SampleContainer
from ingestgate.assets.containers.discovery import files_of, identity_of
from ingestgate.assets.containers.folder_purge import FolderPurge
from ingestgate.assets.containers.registry import container
from ingestgate.assets.errors import EvidenceError, LedgerError, ShardError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.purges import unfinished_path
from ingestgate.assets.receipts import Receipt
from ingestgate.assets.shard import Sample, Shard, WorkRange, accountable_members
from ingestgate.assets.verdict import Verdict
from ingestgate.pipeline.purge.holding import SealedShard
from ingestgate.transforms.verifying import changed, verified_samples, verify_range


@dataclass(frozen=True, slots=True)
class PurgeSettings:
    """Where a purge reads and writes, and how.

    Attributes:
        output, quarantine, evidence: The run's folders.
        options: As the run's policy has them.
        key: Signs receipts, if there is one.
        dry_run: Say what would be done, and do nothing.
    """

    output: str
    quarantine: str
    evidence: str
    options: ReadOptions
    key: Ed25519PrivateKey | None = None
    dry_run: bool = False


class Takes(NamedTuple):
    """What a purge takes from a shard: assets, and bytes at least."""

    assets: int
    freed: int


@dataclass(slots=True)
class Begun:
    """What a purge is about to do to one shard.

    Attributes:
        judged_identity: Of the shard as it was judged.
        staging: Folder of the files that are to take their places.
        files: ``{name, sha256, size, was}`` of each; ``was`` is size and mark of the earlier.
        removed: ``{name, sha256}`` of each file to delete.
        assets: Ids of the assets that go.
        entries: ``[name, size, mark]`` of all files of the shard as it was.
    """

    judged_identity: str
    staging: str
    files: list[dict[str, Any]] = field(default_factory=list)
    removed: list[dict[str, str]] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)
    entries: list[tuple[str, int, str]] = field(default_factory=list)

    def write(self, evidence: str, shard: Shard) -> None:
        """Puts it on record, durably."""
        content = json.dumps(asdict(self)).encode()
        storage.write_bytes(unfinished_path(evidence, shard.name), content, private=True)

    @classmethod
    def read(cls, evidence: str, shard: Shard, receipt: Receipt) -> "Begun | None":
        """Returns what an interrupted purge of a shard was about to do; None if there is none.

        Raises:
            EvidenceError: The record is damaged, or of another judging.
        """
        path = unfinished_path(evidence, shard.name)
        if not storage.exists(path):
            return None
        try:
            begun = cls(**json.loads(storage.read_bytes(path)))
        except (ValueError, TypeError):
            raise EvidenceError(f"{path}: damaged; remove it once you know why") from None
        if begun.judged_identity != receipt.identity:
            raise EvidenceError(
                f"{path}: a purge that was interrupted, of another judging than the receipt's; "
                "see what it did, then remove it"
            )
        return begun


class Preparation:
    """Verifies one shard and its sealed samples, and writes what stays into a staging folder.

    Args:
        settings: Where things lie, and how.
        root: The input's common root.
        shard: The shard, as it was judged.
        receipt: The receipt of its commit.
        sealed: What of it lies in the quarantine.
    """

    def __init__(
        self,
        settings: PurgeSettings,
        root: str,
        shard: Shard,
        receipt: Receipt,
        sealed: SealedShard,
    ) -> None:
        self._settings = settings
        self._root = root
        self._shard = shard
        self._receipt = receipt
        mark = hashlib.sha256(f"{shard.name}\0{shard.identity}".encode()).hexdigest()
        # A name that listings pass over, as they do every unfinished file.
        self._staging = storage.join(root, f".purge.{mark[:12]}{storage.PARTIAL_SUFFIX}")
        self._sealed = sealed
        self._begun = Begun(shard.identity, self._staging)
        self._freed = 0

    def prepare(self) -> Takes:
        """Writes the record of what is to be done; in a dry run, only returns what it takes.

        Raises:
            ShardError: The shard is not what was judged.
            LedgerError: A part of its ledger is missing, or of another judging.
            VaultError: The quarantine does not hold all that would go.
            StorageError: Something cannot be written; the landing zone is as it was.
        """
        shard, settings = self._shard, self._settings
        reader = container(shard.format)
        works = reader.cut(shard, settings.options)
        parts = [self._part(work) for work in works]
        if len(works) != self._receipt.ranges:
            raise ShardError(shard.name, "is cut into other ranges than it was; name its policy")
        if not settings.dry_run:
            storage.delete_tree(self._staging)  # of an earlier try that came to nothing
        if isinstance(reader, RowContainer):
            self._rows(reader, works, parts)
        elif shard.format == "folder":
            self._folder(reader, works, parts)
        else:
            self._samples(reader, works, parts)
        assets = len(self._begun.assets)
        if settings.dry_run:
            return Takes(assets, self._freed)
        entries = files_of(shard)
        if identity_of(self._root, entries) != shard.identity:
            raise changed(shard, "it")
        self._begun.entries = [(self._below(e.path), e.size, e.mark) for e in entries]
        was = {name: [size, mark] for name, size, mark in self._begun.entries}
        for file in self._begun.files:
            file["was"] = was[file["name"]]
        self._begun.write(settings.evidence, shard)
        return Takes(assets, self._freed)

    def _below(self, path: str) -> str:
        return path.removeprefix(self._root.rstrip("/") + "/")

    def _part(self, work: WorkRange) -> tuple[PartHeader, pa.Table]:
        root = storage.join(self._settings.evidence, "ledger")
        path = ledger.part_path(root, self._shard.name, work.number)
        header, table = ledger.read_part(path)
        if not ledger.is_current(header, self._shard, work, self._receipt.context, None):
            raise LedgerError(path, "is of another judging, or of another policy than was named")
        return header, table

    def _give_up(self, rows: pa.Table) -> None:
        """Notes assets that go, once the vault is seen to hold them."""
        for asset in rows["asset_id"].to_pylist():
            self._sealed.require(asset)
            self._begun.assets.append(asset)

    def _decided(
        self,
        reader: SampleContainer,
        work: WorkRange,
        part: tuple[PartHeader, pa.Table],
    ) -> Iterator[tuple[Sample, bool]]:
        """Yields each sample of a range, verified, and whether it stays."""
        header, table = part
        verify_range(reader, self._shard, work, header)
        options = self._settings.options
        for sample, first, verdicts in verified_samples(reader, self._shard, work, table, options):
            goes = Verdict.QUARANTINED in verdicts
            if goes:
                self._give_up(table.slice(first, len(accountable_members(sample))))
                self._freed += sum(len(member.content or b"") for member in sample.members)
            yield sample, not goes

    def _samples(
        self,
        reader: SampleContainer,
        works: Sequence[WorkRange],
        parts: Sequence[tuple[PartHeader, pa.Table]],
    ) -> None:
        if not reader.copies_whole:
            raise ShardError(self._shard.name, f"format {reader.name} cannot be purged")
        with ExitStack() as stack:
            writer = None
            if not self._settings.dry_run:
                writer = stack.enter_context(reader.rewrite(self._shard, self._staging))
            for work, part in zip(works, parts, strict=True):
                if writer:
                    writer.begin(work)
                for sample, stays in self._decided(reader, work, part):
                    if writer:
                        (writer.keep if stays else writer.drop)(sample)
                if writer:
                    writer.end(work)
            if writer:
                self._begun.files = [output._asdict() for output in writer.publish()]

    def _folder(
        self,
        reader: SampleContainer,
        works: Sequence[WorkRange],
        parts: Sequence[tuple[PartHeader, pa.Table]],
    ) -> None:
        purge = FolderPurge(self._shard)
        for work, part in zip(works, parts, strict=True):
            for sample, stays in self._decided(reader, work, part):
                if not stays:
                    purge.drop(sample)
        self._begun.removed = [
            {"name": f"{self._shard.name}/{path}", "sha256": sha256}
            for path, sha256 in purge.removed.items()
        ]
        if not self._settings.dry_run:
            self._begun.files = [
                output._asdict() for output in purge.write(self._staging, self._shard.name)
            ]

    def _rows(
        self,
        reader: RowContainer,
        works: Sequence[WorkRange],
        parts: Sequence[tuple[PartHeader, pa.Table]],
    ) -> None:
        with ExitStack() as stack:
            writer = None
            if not self._settings.dry_run:
                writer = stack.enter_context(reader.rewrite_rows(self._shard, self._staging))
            for work, (header, table) in zip(works, parts, strict=True):
                verify_range(reader, self._shard, work, header)
                goes = table["verdict"].to_numpy() == Verdict.QUARANTINED.value
                self._give_up(table.filter(pa.array(goes)))
                if writer:
                    writer.write(work, ~goes)
            if writer:
                self._begun.files = [output._asdict() for output in writer.publish()]
