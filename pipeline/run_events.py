"""What a run puts in the quarantine's audit log: that it begins, what it sealed, how it ended.

Written by the driver alone, so no worker needs the log or a key. The lines are a machine's: they
are chained, and signed only if the operator gave the run a certificate key. Each is durable before
what it announces: a run that cannot log does not begin, and one that cannot log what it sealed
does not end well. A run that is killed before it could leaves that to the next, which finds in
the receipts what is not on record.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.receipts import Receipt, read_receipts
from ingestgate.assets.shard import Shard
from ingestgate.assets.verdict import Reason
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.suppressions import Suppressions
from ingestgate.pipeline.audit_events import put_up_for_review
from ingestgate.quarantine.audit import AuditLine
from ingestgate.quarantine.audit_writing import AuditWriter, audit_writer
from ingestgate.quarantine.manifest_reading import read_as_sealed
from ingestgate.quarantine.outside import RUN_BEGUN
from ingestgate.quarantine.presence import refuse_lost_log
from ingestgate.quarantine.sealed_manifests import SealedManifest, put_on_record
from ingestgate.transforms.settings import RunSettings, policy_digest

ENDED: Final = "run.ended"


class RunEvents:
    """The lines of one run.

    Args:
        settings: The run's settings.
        lists: The opened lists.
        suppressions: Those that were verified.
        key: Signs the lines, or None; only the driver has it.

    Attributes:
        run: The run's id.
        sealed: The manifests that it put on record.
    """

    def __init__(
        self,
        settings: RunSettings,
        lists: ListSet,
        suppressions: Suppressions,
        key: Ed25519PrivateKey | None,
    ) -> None:
        self.run = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{secrets.token_hex(4)}"
        self.sealed: list[SealedManifest] = []
        self._settings = settings
        self._key = key
        self._lists = named_lists(lists)
        self._suppressions = [one.id for one in suppressions.in_force]
        self._owes = False

    @contextmanager
    def _writer(self) -> Iterator[AuditWriter]:
        refuse_lost_log(self._settings.quarantine)  # or it would be begun anew
        with audit_writer(self._settings.quarantine) as writer:
            yield writer

    def begin(self, todo: Iterable[Shard], inputs: Iterable[str]) -> None:
        """Puts on record that shards are about to be judged; without any, nothing.

        What an earlier run sealed of them and could not put on record is put there first: their
        receipts are about to be replaced.

        Args:
            todo: The shards.
            inputs: Paths or patterns of the landing zone.

        Raises:
            EvidenceError: The log does not hold; the run must not begin.
            StorageError: It cannot be written, likewise.
        """
        shards = list(todo)
        if not shards:
            return
        manifests = _manifests(read_receipts(self._settings.evidence, shards).values())
        with self._writer() as writer:
            self.sealed += put_on_record(writer, manifests, self._key, run=self.run)
            writer.add(
                RUN_BEGUN,
                {
                    "run": self.run,
                    "inputs": [shown(storage.absolute(each)) for each in inputs],
                    "output": shown(self._settings.output),
                    "evidence": shown(self._settings.evidence),
                    "shards": len(shards),
                    "lists": self._lists,
                    "suppressions": self._suppressions,
                    "policy_digest": policy_digest(self._settings.policy),
                    "recipients": list(self._settings.recipients),
                    "software": self._settings.software,
                },
                self._key,
            )

    def seal(self, shards: Iterable[Shard]) -> None:
        """Puts the manifests on record that receipts name and the log does not.

        What is in them though nothing in force matches it is put up for review.

        Raises:
            EvidenceError, StorageError, VaultError: As `begin` does, or a manifest is damaged; the
                run must not end well.
        """
        receipts = read_receipts(self._settings.evidence, list(shards)).values()
        kept = _matched_before(self._settings.quarantine, receipts)
        with self._writer() as writer:
            self.sealed += put_on_record(writer, _manifests(receipts), self._key, run=self.run)
            if kept:
                put_up_for_review(writer, kept, self._key, run=self.run)
            self._owes = _owes(writer.lines, shown(self._settings.evidence))

    def end(self, report: Mapping[str, Any], report_digest: str) -> None:
        """Puts on record how the run ended; nothing, if it had nothing to do.

        Args:
            report: The report that is about to be written.
            report_digest: Hex SHA-256 of its bytes.

        Raises:
            EvidenceError, StorageError: As `begin` does; the report must say that it failed.
        """
        did = report["shards"]["total"] > report["shards"]["finished_before"]
        if not (did or self.sealed or self._owes):
            return
        certificate = report["certificate"]
        with self._writer() as writer:
            writer.add(
                ENDED,
                {
                    "run": self.run,
                    "evidence": shown(self._settings.evidence),
                    "status": report["status"],
                    "counts": dict(report["counts"]),
                    "since_last_report": dict(report["since_last_report"]["counts"]),
                    "lists": self._lists,
                    "policy_digest": report["policy"]["digest"],
                    "manifests": len(self.sealed),
                    "certificate": certificate["digest"] if certificate else None,
                    "report_digest": report_digest,
                },
                self._key,
            )


def named_lists(lists: ListSet) -> list[dict[str, Any]]:
    """Returns id, version and digest of each list, as the lines of machines name them."""
    return [{"id": info.id, "version": info.version, "digest": info.digest} for info in lists.infos]


def _manifests(receipts: Iterable[Receipt]) -> list[SealedManifest]:
    return [SealedManifest.of(r.manifest, r.manifest_digests) for r in receipts if r.manifest]


def _matched_before(quarantine: str, receipts: Iterable[Receipt]) -> set[str]:
    """Returns the assets that are quarantined only because they were so before."""
    found: set[str] = set()
    for receipt in receipts:
        if receipt.tallies.get(f"reason:{Reason.MATCHED_BEFORE}"):
            digest = receipt.manifest_digests["jsonl"]
            rows = read_as_sealed(quarantine, receipt.manifest, digest)
            found.update(r["asset_id"] for r in rows if r["reason"] == Reason.MATCHED_BEFORE)
    return found


def _owes(lines: Iterable[AuditLine], evidence: str) -> bool:
    """Whether the last run of an evidence folder that began did not put on record how it ended."""
    owes = False
    for line in lines:
        if line.event in (RUN_BEGUN, ENDED) and line.fields.get("evidence") == evidence:
            owes = line.event == RUN_BEGUN
    return owes
