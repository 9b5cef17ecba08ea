"""Committing: one shard, once every range of it is judged.

The order is the promise: matched samples are sealed and durable, then the manifest, then the
admitted shard appears under its final name, then the receipt. Every member is compared with
the digest that was judged; killed anywhere, the next run does the shard again to the same
bytes.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets import ledger, provenance, storage
from ingestgate.assets.containers.container import (
    OutputFile,
    RowContainer,
    SampleContainer,
)
from ingestgate.assets.containers.copying import ShardCopy
from ingestgate.assets.containers.registry import container
from ingestgate.assets.errors import LedgerError, ShardError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.receipts import Receipt, write_receipt
from ingestgate.assets.shard import (
    Member,
    Sample,
    Shard,
    WorkRange,
    accountable_members,
    sidecar_members,
)
from ingestgate.assets.verdict import Reason, Tier, Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.quarantine.manifest import ListUsed, ManifestFinding, ManifestRow, ManifestWriter
from ingestgate.quarantine.vault import SealedObject, Vault, object_id, package
from ingestgate.transforms.progress import ProgressNotes
from ingestgate.transforms.settings import RunSettings, policy_digest

_ROWS_PER_BATCH = 1024
_VERIFIED = ["member", "field", "position", "verdict", "size", "sha256", "sidecars"]


class Committer:
    """Commits shards of one run. One per worker process.

    Args:
        settings: The run's settings.
        lists: The opened lists; named in the manifest.
        vault: Where matches are sealed.
        notes: Progress notes.
    """

    def __init__(
        self, settings: RunSettings, lists: ListSet, vault: Vault, notes: ProgressNotes
    ) -> None:
        self._settings = settings
        self._lists = lists
        self._vault = vault
        self._notes = notes

    def commit(self, shard: Shard, works: Sequence[WorkRange]) -> Receipt:
        """Commits one shard.

        Args:
            shard: The shard.
            works: All of its ranges, in order.

        Raises:
            ShardError: It is not, or no longer, what was judged; nothing of it is admitted.
            LedgerError: A ledger part is missing, damaged or of other rules.
            StorageError: Something could not be written; nothing of the shard is admitted.
        """
        headers = [self._header(shard, work) for work in works]
        tallies: Counter[str] = Counter()
        for header in headers:
            tallies.update(header.tallies)
        untouched = tallies[f"verdict:{Verdict.ADMITTED}"] == sum(
            count for key, count in tallies.items() if key.startswith("verdict:")
        )
        reader = container(shard.format)
        stem = ""
        if untouched and getattr(reader, "copies_whole", True):
            outputs = self._copy(reader, shard, works, headers)
        else:
            # What an earlier judging, or an earlier content, sealed stays on record under its
            # own name.
            decided = f"{self._settings.context}{shard.identity}".encode()
            manifest = ManifestWriter(
                self._settings.quarantine, shard.name, hashlib.sha256(decided).hexdigest()
            )
            with manifest:
                if isinstance(reader, RowContainer):
                    outputs = self._rewrite_rows(reader, shard, works, manifest)
                else:
                    outputs = self._rewrite(reader, shard, works, manifest)
                stem = manifest.stem if manifest.rows else ""
        receipt = Receipt(
            shard=shard.name,
            format=shard.format,
            identity=shard.identity,
            size=shard.size,
            context=self._settings.context,
            ranges=len(works),
            tallies=dict(sorted(tallies.items())),
            outputs=[output._asdict() for output in outputs],
            manifest=stem,
            committed_at=datetime.now(UTC).isoformat(timespec="seconds"),
            software=self._settings.software,
        )
        self._remove_surplus_parts(shard, len(works))
        write_receipt(self._settings.evidence, receipt)
        self._notes.add("committed_bytes", shard.size)
        self._notes.flush()
        return receipt

    def _header(self, shard: Shard, work: WorkRange) -> PartHeader:
        path = ledger.part_path(self._settings.ledger, shard.name, work.number)
        header = ledger.read_header(path)
        if header is None or not ledger.is_current(header, shard, work, self._settings.context):
            raise LedgerError(path, "is missing or of another run; run again to judge it anew")
        return header

    def _remove_surplus_parts(self, shard: Shard, count: int) -> None:
        """Removes parts of an earlier judging that cut the shard into more ranges."""
        number = count
        while storage.exists(path := ledger.part_path(self._settings.ledger, shard.name, number)):
            storage.delete(path)
            number += 1

    def _copy(
        self,
        reader: SampleContainer | RowContainer,
        shard: Shard,
        works: Sequence[WorkRange],
        headers: Sequence[PartHeader],
    ) -> list[OutputFile]:
        """Publishes a copy of the shard, byte for byte; it is the copy that is verified."""
        with ShardCopy(shard, self._settings.output) as copy:
            for work, header in zip(works, headers, strict=True):
                _verify_range(reader, copy.shard, work, header)
                _, table = self._part(shard, work)
                if not pc.all(pc.equal(table["verdict"], Verdict.ADMITTED.value)).as_py():
                    raise _changed(shard, f"the ledger of range {work.number}")
                if isinstance(reader, SampleContainer):
                    for _ in self._verified(reader, copy.shard, work, table):
                        pass
            return copy.publish()

    def _part(self, shard: Shard, work: WorkRange) -> tuple[PartHeader, pa.Table]:
        return ledger.read_part(ledger.part_path(self._settings.ledger, shard.name, work.number))

    def _rewrite(
        self,
        reader: SampleContainer,
        shard: Shard,
        works: Sequence[WorkRange],
        manifest: ManifestWriter,
    ) -> list[OutputFile]:
        with reader.rewrite(shard, self._settings.output) as writer:
            for work in works:
                header, table = self._part(shard, work)
                _verify_range(reader, shard, work, header)
                writer.begin(work)
                for sample, first, verdicts in self._verified(reader, shard, work, table):
                    if verdicts == {Verdict.ADMITTED}:
                        writer.keep(sample)
                        continue
                    if Verdict.QUARANTINED in verdicts:
                        position = sample.members[0].position
                        files = reader.package(shard, sample)
                        sealed = self._seal(shard, sample.key, position, files)
                        own = table.slice(first, len(accountable_members(sample)))
                        for row in own.to_pylist():
                            manifest.add(
                                self._manifest_row(shard, header, row, sample.provenance, sealed)
                            )
                    writer.drop(sample)
                writer.end(work)
            # Everything that was taken out is durable before anything is let in.
            manifest.publish()
            return writer.publish()

    def _verified(
        self, reader: SampleContainer, shard: Shard, work: WorkRange, table: pa.Table
    ) -> Iterator[tuple[Sample, int, set[str]]]:
        """Yields each sample of a range, compared with its ledger rows.

        Yields:
            The sample, the number of its first row in the ledger part, and its rows' verdicts.

        Raises:
            ShardError: The shard does not hold what was judged.
        """
        rows = _iterate(table.select(_VERIFIED))
        number = 0
        for sample in reader.read(shard, work, self._settings.policy.read_options()):
            first = number
            verdicts = set()
            for member in accountable_members(sample):
                row = next(rows, None)
                if row is None or not _is_same(member, row):
                    raise _changed(shard, member.name)
                if number == first and row["sidecars"] != _sidecars(sample):
                    raise _changed(shard, member.name)
                verdicts.add(row["verdict"])
                number += 1
            yield sample, first, verdicts
        if next(rows, None) is not None:
            raise _changed(shard, f"range {work.number}")

    def _rewrite_rows(
        self,
        reader: RowContainer,
        shard: Shard,
        works: Sequence[WorkRange],
        manifest: ManifestWriter,
    ) -> list[OutputFile]:
        with reader.rewrite_rows(shard, self._settings.output) as writer:
            for work in works:
                header, table = self._part(shard, work)
                _verify_range(reader, shard, work, header)
                verdicts = table["verdict"].to_numpy()
                quarantined = verdicts == Verdict.QUARANTINED.value
                if quarantined.any():
                    self._seal_rows(reader, shard, work, header, table, quarantined, manifest)
                writer.write(work, verdicts == Verdict.ADMITTED.value)
            manifest.publish()
            return writer.publish()

    def _seal_rows(
        self,
        reader: RowContainer,
        shard: Shard,
        work: WorkRange,
        header: PartHeader,
        table: pa.Table,
        quarantined: npt.NDArray[np.bool_],
        manifest: ManifestWriter,
    ) -> None:
        """Seals the chosen rows of a range as one object; rows hold no bytes of assets."""
        files = reader.package_rows(shard, work, quarantined)
        sealed = self._seal(shard, "rows", work.number, files)
        chosen = pa.array(quarantined)
        originals = reader.read_rows(shard, work).filter(chosen)
        judged = table.filter(chosen)
        for start in range(0, judged.num_rows, _ROWS_PER_BATCH):
            for row, original in zip(
                judged.slice(start, _ROWS_PER_BATCH).to_pylist(),
                originals.slice(start, _ROWS_PER_BATCH).to_pylist(),
                strict=True,
            ):
                known = provenance.flatten(original)
                manifest.add(self._manifest_row(shard, header, row, known, sealed))

    def _seal(
        self, shard: Shard, key: str, position: int, files: Sequence[tuple[str, bytes]]
    ) -> SealedObject:
        digest = hashlib.sha256(package(files)).hexdigest()
        name = object_id(shard.name, key, position, digest, self._settings.context)
        return self._vault.seal(name, files)

    def _manifest_row(
        self,
        shard: Shard,
        header: PartHeader,
        row: Mapping[str, Any],
        known: Mapping[str, str],
        sealed: SealedObject,
    ) -> ManifestRow:
        settings = self._settings
        return ManifestRow(
            asset_id=row["asset_id"],
            dataset=settings.dataset,
            format=shard.format,
            shard=shard.name,
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
            sealed_sha256=sealed.sha256,
            sealed_size=sealed.size,
            package_sha256=sealed.plain_sha256,
            recipients=settings.recipients,
            lists=tuple(
                ListUsed(list_id=info.id, list_version=info.version, digest=info.digest)
                for info in self._lists.infos
            ),
            policy_digest=policy_digest(settings.policy),
            software=settings.software,
            judged_at=header.judged_at,
            sealed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _iterate(table: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, table.num_rows, _ROWS_PER_BATCH):
        yield from table.slice(start, _ROWS_PER_BATCH).to_pylist()


def _is_same(member: Member, row: Mapping[str, Any]) -> bool:
    locator = (row["member"], row["field"], row["position"])
    if locator != (member.name, member.field, member.position):
        return False
    if member.content is None:
        return row["size"] is None
    return bool(row["sha256"] == hashlib.sha256(member.content).hexdigest())


def _sidecars(sample: Sample) -> list[dict[str, Any]]:
    return [
        {
            "member": member.name,
            "position": member.position,
            "size": len(member.content or b""),
            "sha256": hashlib.sha256(member.content or b"").hexdigest(),
        }
        for member in sidecar_members(sample)
    ]


def _verify_range(
    reader: SampleContainer | RowContainer, shard: Shard, work: WorkRange, header: PartHeader
) -> None:
    if reader.range_sha256(shard, work) != header.range_sha256:
        raise _changed(shard, f"range {work.number}")


def _changed(shard: Shard, where: str) -> ShardError:
    return ShardError(
        shard.name,
        f"{where} is no longer what was judged; nothing of the shard was admitted. "
        "Find out what writes to the landing zone during a run, then run again",
    )
