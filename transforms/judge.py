"""The judge step: ranges of shards in, ledger parts written, references out."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.typehints import KV

from ingestgate.assets import ledger, storage
from ingestgate.assets.blaming import blaming
from ingestgate.assets.containers.container import RowContainer
from ingestgate.assets.containers.registry import container
from ingestgate.assets.errors import EvidenceError, LedgerError, ShardError, VaultError
from ingestgate.assets.ledger import LedgerRow, PartHeader
from ingestgate.assets.shard import Shard, WorkRange
from ingestgate.quarantine.manifest import manifest_stem
from ingestgate.transforms.earlier_matches import EarlierMatches, read_earlier
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.progress import ProgressNotes
from ingestgate.transforms.records import EarlierManifest, RangeOutcome, RangeTask, ShardTask
from ingestgate.transforms.row_judging import judge_rows
from ingestgate.transforms.settings import RunSettings, open_judge
from ingestgate.transforms.verifying import verify_range

_ROWS_PER_BATCH = 256
_OVERHEAD = 768  # of a tar member: its header, and half a block of padding

#: Characters of what a sample says of its assets, each as often as an asset of a range has it.
_MOST_SAID = 1 << 28


def judge_range(
    shard: Shard,
    work: WorkRange,
    judge: Judge,
    settings: RunSettings,
    notes: ProgressNotes,
    earlier: EarlierMatches,
) -> None:
    """Judges one range and writes its ledger part, unless a current one is there.

    Args:
        shard: The shard.
        work: The range.
        judge: The judge.
        settings: The run's settings.
        notes: Progress notes.
        earlier: What of the shard was quarantined before.

    Raises:
        ShardError: The range cannot be read, or was changed meanwhile.
        StorageError: The part cannot be written.
    """
    root = settings.ledger_of(shard.name)
    path = ledger.part_path(root, shard.name, work.number)
    size = range_bytes(shard, work)
    known = earlier.digest
    if _is_judged(path, shard, work, settings, known) or _is_taken_over(
        path, shard, work, settings, known
    ):
        notes.add("judged_bytes", size)
        return
    reader = container(shard.format)
    before = reader.range_sha256(shard, work)
    table = pa.concat_tables(_judge(shard, work, judge, settings, notes, earlier, size))
    header = PartHeader(
        shard=shard.name,
        identity=shard.identity,
        number=work.number,
        total=work.total,
        start=work.start,
        stop=work.stop,
        context=settings.context,
        # As fine as can be: reports tell by a ledger's digest whether a shard was judged again.
        judged_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        range_sha256=before,
        tallies=ledger.tally(table),
        isolation={} if isinstance(reader, RowContainer) else judge.isolation,
        earlier=known,
        format=shard.format,
    )
    verify_range(reader, shard, work, header)
    ledger.write_part(root, header, table)


def _is_taken_over(
    path: str, shard: Shard, work: WorkRange, settings: RunSettings, earlier: str
) -> bool:
    """Whether a dry run has judged the range; its part then becomes the ledger's."""
    if settings.dry_run:
        return False
    tried = ledger.part_path(f"{settings.tried}/ledger", shard.name, work.number)
    if not _is_judged(tried, shard, work, settings, earlier):
        return False
    storage.make_directory(storage.parent(path), private=True)
    storage.move(tried, path)
    return True


def _is_judged(
    path: str, shard: Shard, work: WorkRange, settings: RunSettings, earlier: str
) -> bool:
    try:
        header = ledger.read_header(path)
    except LedgerError:
        return False  # damaged: judged again, and replaced
    return ledger.is_current(header, shard, work, settings.context, earlier)


def _judge(
    shard: Shard,
    work: WorkRange,
    judge: Judge,
    settings: RunSettings,
    notes: ProgressNotes,
    earlier: EarlierMatches,
    size: int,
) -> Iterator[pa.Table]:
    """Yields the range's ledger rows in batches, so that Python objects never pile up."""
    reader = container(shard.format)
    yield ledger.rows_to_table([], judge.hash_bytes, judge.further)
    if isinstance(reader, RowContainer):
        rows = reader.read_rows(shard, work)
        schema = ledger.ledger_schema(judge.hash_bytes, judge.further)
        table = judge_rows(settings.policy, judge.lists, shard, work, rows, schema, earlier)
        _note(notes, table)
        yield table
    else:
        samples = reader.read(shard, work, settings.policy.read_options())
        judged = judge.judge_all(shard.name, samples, earlier)
        done = said = 0
        for batch in _batches(judged):
            said += sum(map(_said, batch))
            if said > _MOST_SAID:
                raise ShardError(
                    shard.name,
                    f"what its samples say of themselves takes more than {_MOST_SAID >> 20} MiB in "
                    f"range {work.number}, as often as their members have it; keep less of it "
                    "beside them, or fewer of them in a sample",
                )
            read = min(sum(map(_bytes_read, batch)), size - done)
            done += read
            notes.add("judged_bytes", read)
            table = ledger.rows_to_table(batch, judge.hash_bytes, judge.further)
            _note(notes, table)
            yield table
        size -= done
    notes.add("judged_bytes", size)
    notes.flush()


def _bytes_read(row: LedgerRow) -> int:
    """Returns about how many bytes of its shard an asset and its sidecars are."""
    sizes = [row.size or 0, *(sidecar.size for sidecar in row.sidecars)]
    return sum(size + _OVERHEAD for size in sizes)


def _said(row: LedgerRow) -> int:
    return sum(len(name) + len(value) for name, value in row.provenance.items())


def _note(notes: ProgressNotes, table: pa.Table) -> None:
    for item in table.column("verdict").combine_chunks().value_counts().to_pylist():
        notes.add(item["values"], item["counts"])


def _batches(rows: Iterable[LedgerRow]) -> Iterator[list[LedgerRow]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, _ROWS_PER_BATCH)):
        yield batch


def range_bytes(shard: Shard, work: WorkRange) -> int:
    """Returns about how many bytes of its shard a range is."""
    return shard.size * (work.number + 1) // work.total - shard.size * work.number // work.total


@beam.typehints.with_input_types(KV[str, Iterable[ShardTask]])
@beam.typehints.with_output_types(KV[str, RangeTask], failed=KV[str, RangeOutcome])
class CutShard(beam.DoFn):
    """A shard's name and task -> keys of its ranges, each with its `RangeTask`.

    A shard that cannot be cut goes to the output ``failed``: its name and `RangeOutcome`.
    """

    FAILED = "failed"

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings

    def process(self, element: tuple[str, Iterable[ShardTask]]) -> Iterator[Any]:
        """Cuts one shard."""
        name, (task, *_) = element  # delivered twice, it is the same
        shard = task.shard
        try:
            with blaming(shard):
                ranges = container(shard.format).cut(shard, self._settings.policy.read_options())
        except ShardError as error:
            failed = RangeOutcome(shard, WorkRange(0, 1, 0, 0), error.problem, "")
            yield beam.pvalue.TaggedOutput(self.FAILED, (name, failed))
            return
        for work in ranges:
            yield f"{name}#{work.number}", RangeTask(shard, work, task.earlier)


@beam.typehints.with_input_types(KV[str, Iterable[RangeTask]])
@beam.typehints.with_output_types(KV[str, RangeOutcome])
class JudgeRange(beam.DoFn):
    """A range's key and `RangeTask` -> its shard's name and `RangeOutcome`.

    The ledger part is written on the way.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        """Opens lists and fingerprints once per process, not at unpickling."""
        settings = self._settings
        self._judge = open_judge(
            settings.policy, settings.lists, settings.lists_digest, settings.suppressions
        )
        self._notes = ProgressNotes(settings.progress)
        self._earlier: tuple[Sequence[EarlierManifest], EarlierMatches] = ((), EarlierMatches())

    def process(
        self, element: tuple[str, Iterable[RangeTask]]
    ) -> Iterator[tuple[str, RangeOutcome]]:
        """Judges one range."""
        _, (task, *_) = element  # delivered twice, it is the same
        problem = known = ""
        try:
            with blaming(task.shard):
                earlier = self._read_earlier(task)
                known = earlier.digest
                judge_range(
                    task.shard, task.work, self._judge, self._settings, self._notes, earlier
                )
        except ShardError as error:
            problem = error.problem
        yield task.shard.name, RangeOutcome(task.shard, task.work, problem, known)

    def _read_earlier(self, task: RangeTask) -> EarlierMatches:
        """Returns what of a shard was quarantined before; read once for its ranges in a row."""
        if task.earlier != self._earlier[0]:
            try:
                context = self._settings.manifest_context(task.shard)
                own = manifest_stem(task.shard.name, context)
                root, policy = self._settings.quarantine, self._settings.policy
                self._earlier = (task.earlier, read_earlier(root, task.earlier, policy, own))
            except (EvidenceError, VaultError) as error:
                raise ShardError(
                    task.shard.name, f"what was sealed of it before cannot be told ({error})"
                ) from error
        return self._earlier[1]
