"""Purging: taking matched originals out of the landing zone, once the vault verifiably has them.

Shard by shard, and only a shard that is still what was judged: every sample is compared with the
ledger, as the commit compares it, and every object that its manifest names with its digest. What
stays is written beside the landing zone's files, then what is about to happen is put on record,
then the files take their places; the receipt comes last. Killed anywhere, the same again
completes it. Samples that could not be scanned stay: nobody else has them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import discover, identity_of
from ingestgate.assets.containers.purged_folders import is_purged_folder
from ingestgate.assets.errors import EvidenceError, LedgerError, ShardError, VaultError
from ingestgate.assets.file_digest import file_sha256
from ingestgate.assets.purges import PurgeReceipt, unfinished, unfinished_path, write_purge
from ingestgate.assets.receipts import Receipt, is_finished, purge_of, read_receipt
from ingestgate.assets.shard import Shard
from ingestgate.assets.storage import Entry
from ingestgate.pipeline.purge.holding import SealedShard
from ingestgate.pipeline.purge.preparing import Begun, Preparation, PurgeSettings
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.holding import Holding


class Outcome(StrEnum):
    """What became of a shard."""

    PURGED = "purged"
    WOULD_PURGE = "would_purge"  #: in a dry run
    BEFORE = "purged_before"
    NOTHING = "nothing_to_purge"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ShardPurge:
    """What became of one shard.

    Attributes:
        shard: Its name.
        outcome: What became of it.
        assets: How many assets were, or would be, taken out.
        freed: Bytes that the landing zone lost, or would lose at least.
        problem: Why it was refused.
    """

    shard: str
    outcome: Outcome
    assets: int = 0
    freed: int = 0
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Returns it for ``--json``."""
        return asdict(self)


class Purger:
    """Purges the landing zone of a run.

    Args:
        settings: Where things lie, and how.
    """

    def __init__(self, settings: PurgeSettings) -> None:
        self._settings = settings

    def purge(
        self,
        inputs: Sequence[str],
        format: str | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Iterator[ShardPurge]:
        """Purges shard by shard; yields what became of each.

        Args:
            inputs: The landing zone, as given to the run.
            format: As given to the run.
            progress: Told how many bytes of how many are done.

        Raises:
            InputError: The input does not resolve.
            EvidenceError: The quarantine's audit log does not hold.
            StorageError: Something cannot be written; the same again completes it.
        """
        holding = Holding(self._settings.quarantine, read_log(self._settings.quarantine))
        discovery = discover(inputs, format, partial(is_purged_folder, self._settings.evidence))
        total = sum(shard.size for shard in discovery.shards)
        done = 0
        for shard in discovery.shards:
            try:
                yield self._shard(discovery.root, shard, holding)
            except (ShardError, LedgerError, VaultError, EvidenceError) as error:
                problem = error.problem if isinstance(error, ShardError) else str(error)
                yield ShardPurge(shard.name, Outcome.REFUSED, problem=problem)
            done += shard.size
            progress(done, total)
        there = {shard.name for shard in discovery.shards}
        for name in unfinished(self._settings.evidence):
            if name not in there:
                yield ShardPurge(name, Outcome.REFUSED, problem=self._outside(name))

    def _outside(self, shard: str) -> str:
        path = unfinished_path(self._settings.evidence, shard)
        return (
            "its purge was interrupted, and it is not in this --input. Give the one that its purge "
            "was begun with; if it has left that, put it back and purge again, or, once you have "
            f"seen what is left of it, remove {path} and run again"
        )

    def _shard(self, root: str, shard: Shard, holding: Holding) -> ShardPurge:
        receipt = read_receipt(self._settings.evidence, shard.name)
        if receipt is None:
            raise ShardError(shard.name, "has no receipt: it was not committed")
        begun = Begun.read(self._settings.evidence, shard, receipt)
        if begun is None:
            purged = purge_of(self._settings.evidence, shard, receipt)
            if purged is not None:
                return ShardPurge(shard.name, Outcome.BEFORE, assets=len(purged.assets))
            if receipt.identity != shard.identity:
                raise ShardError(
                    shard.name,
                    "is not, or no longer, the shard that was judged; run again, which judges what "
                    "is there now",
                )
            if receipt.format != shard.format:
                raise ShardError(
                    shard.name,
                    f"was judged as {receipt.format} and is named as {shard.format}; say --format "
                    f"{receipt.format}",
                )
            if not is_finished(
                receipt, shard, receipt.context, self._settings.output, self._settings.evidence
            ):
                raise ShardError(shard.name, "its admitted output is not there; run again first")
            if not receipt.manifest:
                return ShardPurge(shard.name, Outcome.NOTHING)
            sealed = SealedShard(self._settings.quarantine, receipt, holding)
            takes = Preparation(self._settings, root, shard, receipt, sealed).prepare()
            if self._settings.dry_run:
                return ShardPurge(shard.name, Outcome.WOULD_PURGE, takes.assets, takes.freed)
            begun = Begun.read(self._settings.evidence, shard, receipt)
            if begun is None:
                raise ShardError(shard.name, "the record of its purge is gone; purge again")
        else:
            # The vault may have lost since what it held when the purge began.
            sealed = SealedShard(self._settings.quarantine, receipt, holding)
            for asset in begun.assets:
                sealed.require(asset)
            sealed.require_all()
        if self._settings.dry_run:
            return ShardPurge(shard.name, Outcome.WOULD_PURGE, assets=len(begun.assets))
        return self._complete(root, shard, receipt, begun)

    def _complete(self, root: str, shard: Shard, receipt: Receipt, begun: "Begun") -> ShardPurge:
        """Puts what stays in its place; whatever of it an earlier try has done is not redone."""
        marks = {}
        for file in begun.files:
            marks[file["name"]] = self._put(root, shard, begun.staging, file)
        for file in begun.removed:
            path = storage.join(root, file["name"])
            if storage.exists(path):
                if file_sha256(path) != file["sha256"]:
                    raise self._interfered(shard, path)
                storage.delete(path)
        gone = {file["name"] for file in begun.removed}
        entries = [
            Entry(storage.join(root, name), size, mark)
            for name, size, mark in (marks.get(e[0], e) for e in begun.entries)
            if name not in gone
        ]
        purge = PurgeReceipt(
            shard=shard.name,
            format=shard.format,
            judged_identity=receipt.identity,
            judged_size=receipt.size,
            # Of what the purge knows, not of what lies there: a file that somebody adds
            # meanwhile makes another shard, which the next run judges.
            identity=identity_of(root, entries),
            size=sum(entry.size for entry in entries),
            context=receipt.context,
            manifest=receipt.manifest,
            assets=tuple(begun.assets),
            files=[{k: v for k, v in file.items() if k != "was"} for file in begun.files],
            removed=sorted(gone),
            purged_at=datetime.now(UTC).isoformat(timespec="seconds"),
            software=version("ingestgate"),
        )
        write_purge(self._settings.evidence, purge, self._settings.key)
        storage.delete_tree(begun.staging)
        storage.delete(unfinished_path(self._settings.evidence, shard.name))
        freed = receipt.size - purge.size
        return ShardPurge(shard.name, Outcome.PURGED, len(begun.assets), freed)

    def _put(
        self, root: str, shard: Shard, staging: str, file: dict[str, Any]
    ) -> tuple[str, int, str]:
        """Gives a staged file its place; returns name, size and mark of what lies there then."""
        name = file["name"]
        path, staged = storage.join(root, name), storage.join(staging, name)
        storage.settle(path)
        there = storage.status(path) if storage.exists(path) else None
        if there is not None and [there.size, there.mark] == file["was"] and storage.exists(staged):
            if file_sha256(staged) != file["sha256"]:
                raise self._interfered(shard, staged)
            storage.move(staged, path)
            there = storage.status(path)
        elif there is None or file_sha256(path) != file["sha256"]:
            raise self._interfered(shard, path)
        return name, there.size, there.mark

    def _interfered(self, shard: Shard, path: str) -> ShardError:
        return ShardError(
            shard.name,
            f"{path} was changed by somebody else since its purge began. See what is there, "
            f"remove {unfinished_path(self._settings.evidence, shard.name)}, then run again",
        )
