"""Committing: one shard, once every range of it is judged.

The order is the promise: matched samples are sealed and durable, then the manifest, then the
admitted shard appears under its final name, then the receipt. Every member is compared with
the digest that was judged; killed anywhere, the next run does the shard again to the same
bytes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import pyarrow as pa

from ingestgate.assets import ledger, provenance, storage
from ingestgate.assets.containers.arrow_text import decoded_table
from ingestgate.assets.containers.container import (
    OutputFile,
    RowContainer,
    SampleContainer,
)
from ingestgate.assets.containers.copying import ShardCopy, private_copy
from ingestgate.assets.containers.registry import container
from ingestgate.assets.errors import LedgerError
from ingestgate.assets.ledger import PartHeader
from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.receipts import Receipt, write_receipt
from ingestgate.assets.shard import (
    Shard,
    WorkRange,
    accountable_members,
)
from ingestgate.assets.verdict import Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.quarantine.vault import Vault
from ingestgate.transforms.progress import ProgressNotes
from ingestgate.transforms.sealing import ShardSealer
from ingestgate.transforms.settings import RunSettings
from ingestgate.transforms.verifying import row_dicts, verified_samples, verify_range


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
        self._options = settings.policy.read_options()
        self._lists = lists
        self._vault = vault
        self._notes = notes

    def commit(self, shard: Shard, works: Sequence[WorkRange], earlier: Sequence[str]) -> Receipt:
        """Commits one shard.

        Args:
            shard: The shard.
            works: All of its ranges, in order.
            earlier: What of it had been quarantined before, as each was judged by.

        Raises:
            ShardError: It is not, or no longer, what was judged; nothing of it is admitted.
            LedgerError: A ledger part is missing, damaged or of other rules.
            StorageError: Something could not be written, the output or a temporary copy of the
                shard; nothing of the shard is admitted.
        """
        headers = [
            self._header(shard, work, known) for work, known in zip(works, earlier, strict=True)
        ]
        tallies: Counter[str] = Counter()
        for header in headers:
            tallies.update(header.tallies)
        untouched = tallies[f"verdict:{Verdict.ADMITTED}"] == sum(
            count for key, count in tallies.items() if key.startswith("verdict:")
        )
        reader = container(shard.format)
        if untouched and (isinstance(reader, RowContainer) or reader.copies_whole):
            outputs, stem = self._copy(reader, shard, works, headers), ""
            digests: Mapping[str, str] = {}
        else:
            with ExitStack() as stack:
                source = shard
                if isinstance(reader, RowContainer) or getattr(reader, "reads_again", True):
                    source = stack.enter_context(private_copy(shard))
                sealer = stack.enter_context(
                    ShardSealer(self._settings, self._lists, self._vault, shard)
                )
                if isinstance(reader, RowContainer):
                    outputs = self._rewrite_rows(reader, source, works, headers, sealer)
                else:
                    outputs = self._rewrite(reader, source, works, headers, sealer)
                stem, digests = sealer.manifest, sealer.manifest_digests
        self._remove_surplus_parts(shard, len(works))
        receipt = Receipt(
            shard=shard.name,
            format=shard.format,
            identity=shard.identity,
            size=shard.size,
            context=self._settings.context,
            ranges=len(works),
            ledger=hash_shard_ledger(self._settings.evidence, shard.name, len(works)),
            judged_at=[header.judged_at for header in headers],
            tallies=dict(sorted({**tallies, **ledger.tally_isolation(headers)}.items())),
            outputs=[output._asdict() for output in outputs],
            manifest=stem,
            manifest_digests=digests,
            committed_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            software=self._settings.software,
        )
        write_receipt(self._settings.evidence, receipt)
        self._notes.add("committed_bytes", shard.size)
        self._notes.flush()
        return receipt

    def _header(self, shard: Shard, work: WorkRange, earlier: str) -> PartHeader:
        path = ledger.part_path(self._settings.ledger, shard.name, work.number)
        header = ledger.read_header(path)
        context = self._settings.context
        if header is None or not ledger.is_current(header, shard, work, context, earlier):
            raise LedgerError(path, "is missing or of another run; run again to judge it anew")
        return header

    def _remove_surplus_parts(self, shard: Shard, count: int) -> None:
        """Removes parts of an earlier judging that cut the shard into more ranges."""
        own = {
            ledger.part_path(self._settings.ledger, shard.name, number) for number in range(count)
        }
        folder = ledger.part_folder(self._settings.ledger, shard.name)
        for entry in storage.walk_if_there(folder):
            # What lies deeper is of a shard whose own name begins like the folder's.
            if storage.parent(entry.path) == folder and entry.path not in own:
                storage.delete(entry.path)

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
                verify_range(reader, copy.shard, work, header)
                table = self._part(shard, work, header)
                if isinstance(reader, SampleContainer):
                    for _ in verified_samples(reader, copy.shard, work, table, self._options):
                        pass
            return copy.publish()

    def _part(self, shard: Shard, work: WorkRange, known: PartHeader) -> pa.Table:
        """Returns the rows of a part whose header was read before."""
        path = ledger.part_path(self._settings.ledger, shard.name, work.number)
        header, table = ledger.read_part(path)
        if header != known:
            raise LedgerError(path, "was replaced meanwhile; run again to judge it anew")
        # Unlike the rows, the header is under no checksum, and receipts count by it.
        if ledger.tally(table) != header.tallies:
            raise LedgerError(path, "its header counts other rows than it holds")
        return table

    def _rewrite(
        self,
        reader: SampleContainer,
        shard: Shard,
        works: Sequence[WorkRange],
        headers: Sequence[PartHeader],
        sealer: ShardSealer,
    ) -> list[OutputFile]:
        with reader.rewrite(shard, self._settings.output) as writer:
            for work, header in zip(works, headers, strict=True):
                table = self._part(shard, work, header)
                verify_range(reader, shard, work, header)
                writer.begin(work)
                for sample, first, verdicts in verified_samples(
                    reader, shard, work, table, self._options
                ):
                    if verdicts == {Verdict.ADMITTED}:
                        writer.keep(sample)
                        continue
                    if Verdict.QUARANTINED in verdicts:
                        sealed = sealer.seal(
                            sample.key,
                            sample.members[0].position,
                            reader.package(shard, sample),
                        )
                        own = table.slice(first, len(accountable_members(sample)))
                        for row in own.to_pylist():
                            sealer.note(header, row, sample.provenance, sealed)
                    writer.drop(sample)
                writer.end(work)
            # Everything that was taken out is durable before anything is let in.
            sealer.publish()
            return writer.publish()

    def _rewrite_rows(
        self,
        reader: RowContainer,
        shard: Shard,
        works: Sequence[WorkRange],
        headers: Sequence[PartHeader],
        sealer: ShardSealer,
    ) -> list[OutputFile]:
        with reader.rewrite_rows(shard, self._settings.output) as writer:
            for work, header in zip(works, headers, strict=True):
                table = self._part(shard, work, header)
                verify_range(reader, shard, work, header)
                verdicts = table["verdict"].to_numpy()
                quarantined = verdicts == Verdict.QUARANTINED.value
                if quarantined.any():
                    files = reader.package_rows(shard, work, quarantined)
                    sealed = sealer.seal("rows", work.number, files)
                    originals = reader.read_rows(shard, work).filter(pa.array(quarantined))
                    originals, _ = decoded_table(originals)
                    judged = table.filter(pa.array(quarantined))
                    for row, original in zip(row_dicts(judged), row_dicts(originals), strict=True):
                        sealer.note(header, row, provenance.flatten(original), sealed)
                writer.write(work, verdicts == Verdict.ADMITTED.value)
            sealer.publish()
            return writer.publish()
