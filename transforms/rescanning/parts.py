"""Holding ledger parts against lists, batch by batch."""

import hashlib
import io

import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets import storage
from ingestgate.assets.errors import LedgerError, StorageError
from ingestgate.assets.ledger import open_part
from ingestgate.assets.verdict import SignalKind, Verdict
from ingestgate.transforms.rescanning import digests, hashes, provenance
from ingestgate.transforms.rescanning.noting import Noter
from ingestgate.transforms.rescanning.results import PartResult
from ingestgate.transforms.rescanning.wanted import RescanLists
from ingestgate.transforms.rescanning.withdrawals import withdrawn

_BATCH_ROWS = 1 << 16


def rescan_part(path: str, wanted: RescanLists) -> PartResult:
    """Holds one ledger part against lists.

    Raises:
        LedgerError: It is damaged, or of a version this program does not read.
        StorageError: It cannot be read.
    """
    try:
        content = storage.read_bytes(path)
    except StorageError as error:
        raise LedgerError(path, f"is missing or cannot be read ({error})") from error
    return rescan_bytes(path, content, wanted)


def rescan_bytes(path: str, content: bytes, wanted: RescanLists) -> PartResult:
    """Holds the bytes of one ledger part against lists; raises as `rescan_part`."""
    header, file = open_part(path, io.BytesIO(content))
    result = PartResult(header, hashlib.sha256(content).hexdigest())
    columns = wanted.columns(file.schema_arrow.names)
    columns += wanted.suppressing.columns(header.tallies)
    names = {column.partition(".")[0] for column in columns}
    try:
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
            # Columns are found by names that the checked schema is only a copy of.
            if not names <= set(batch.schema.names):
                raise LedgerError(path, "its columns are not a ledger's")
            _rescan_batch(batch, wanted, result)
    except (pa.ArrowException, OSError) as error:
        raise LedgerError(path, f"not a readable Parquet file ({type(error).__name__})") from error
    if result.rows != file.metadata.num_rows:
        raise LedgerError(path, "ends before its last row")
    return result


def _rescan_batch(batch: pa.RecordBatch, wanted: RescanLists, result: PartResult) -> None:
    result.rows += batch.num_rows
    for item in pc.value_counts(batch["verdict"]).to_pylist():
        result.verdicts[item["values"]] += item["counts"]
    # What is in the quarantine is not in the output, whatever else it may match.
    result.unclear += wanted.suppressing.to_judge_again(batch, result.header.tallies)
    result.released += wanted.suppressing.released(batch)
    open_rows = pc.not_equal(batch["verdict"], Verdict.QUARANTINED.value)
    if not pc.all(open_rows).as_py():
        if wanted.withdrawals:
            held = batch.filter(pc.invert(open_rows))
            result.withdrawn += withdrawn(held, wanted.withdrawals)
        batch = batch.filter(open_rows)
    result.compared += batch.num_rows
    if not batch.num_rows:
        return
    noter = Noter(batch, result, wanted.suppressing.suppressions)
    for name in wanted.of_kind(SignalKind.DIGEST):
        noter.note_all(digests.match_recorded(batch, wanted, name, result))
    for name in wanted.of_kind(SignalKind.PERCEPTUAL):
        noter.note_all(hashes.match_views(batch, wanted, name, result))
        if name in wanted.newly_needed:
            hashes.note_quality(batch, name, noter)
    if wanted.reads_provenance():
        provenance.match_provenance(batch, wanted, noter)
