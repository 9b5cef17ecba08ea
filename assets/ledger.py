"""The ledger: one row per asset, with every fingerprint and the verdict, in Parquet.

It is the hand-over from judge to commit, the checkpoint for resume, the input of a rescan and
the source of every report. Judge writes one part per work range, under a name that follows
from shard and range; a part is there whole or not at all.

Columns (see `ledger_schema`): the asset's locator, verdict, reason, tier and findings; the
digests of its bytes in hex (MD5, SHA-1, SHA-256, and others where lists or policy need them, each
in a column of its own); for each perceptual hash ``h`` the hex value of the first upright
full view (``h``), its quality (``h_quality``), and every value that was matched
(``h_views``: frame, view, quality, and the orientations' raw hashes one after another);
provenance; the sidecars that share its verdict. Rows hold no times, so that judging again
gives the same rows; times and the judging's context lie in the file's own metadata.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ingestgate.assets import storage
from ingestgate.assets.errors import LedgerError, StorageError
from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.shard import Shard, WorkRange
from ingestgate.assets.verdict import Action, Finding, Reason, Tier, Verdict

LEDGER_VERSION = 4
_META_KEY = b"ingestgate.ledger"
_PARTS = ".parts"  # how the folder of a shard's parts ends

FINDING_TYPE = pa.struct(
    [
        pa.field("list_id", pa.string(), nullable=False),
        pa.field("list_version", pa.int64(), nullable=False),
        pa.field("entry_id", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("signal_type", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("view", pa.string(), nullable=False),
        pa.field("distance", pa.int16(), nullable=False),
        pa.field("threshold", pa.int16(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("feedback", pa.string(), nullable=False),
        pa.field("suppression", pa.string(), nullable=False),
    ]
)
#: The digests that every ledger has; see `further_digests`.
DIGESTS = ("md5", "sha1", "sha256")


class Sidecar(NamedTuple):
    """A caption or label file of a sample, with the digests of the bytes that were judged."""

    member: str
    position: int
    size: int
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What was found out about one asset. Field by field the columns of the ledger."""

    asset_id: str
    shard: str
    member: str
    field: str
    position: int
    sample: str
    verdict: Verdict
    reason: Reason
    tier: Tier | None
    findings: tuple[Finding, ...]
    size: int | None
    media_type: str
    width: int | None
    height: int | None
    frames: int | None
    digests: Mapping[str, str]
    perceptual: Mapping[str, tuple[PerceptualView, ...]]
    provenance: Mapping[str, str]
    sidecars: tuple[Sidecar, ...] = ()


@dataclass(frozen=True, slots=True)
class PartHeader:
    """What a ledger part was judged from and with; kept in the Parquet file's metadata.

    Attributes:
        shard, identity: The shard's name and identity at the time.
        number, total, start, stop: The work range.
        context: Hex digest of all that decides a verdict (policy, lists, suppressions, software).
        judged_at: RFC 3339 UTC time.
        range_sha256: Hex digest of the range's raw bytes where the container verifies by
            range and not by member, else "".
        tallies: Counts for progress and receipts (see `tally`).
        isolation: What confined the decoder of the process that judged it, by measure, as that
            process found when it tried; empty where nothing was decoded.
        earlier: Hex digest of what had been quarantined of the shard before by other rules, which
            decides a verdict, too; "" for nothing.
        format: Container format that the shard was read as: the same file may be read as several.
    """

    shard: str
    identity: str
    number: int
    total: int
    start: int
    stop: int
    context: str
    judged_at: str
    range_sha256: str = ""
    tallies: Mapping[str, int] = field(default_factory=dict)
    isolation: Mapping[str, str] = field(default_factory=dict)
    earlier: str = ""
    format: str = ""


def ledger_schema(perceptual: Iterable[str], further: Iterable[str] = ()) -> pa.Schema:
    """Returns the Arrow schema of a ledger.

    Args:
        perceptual: Names of the perceptual hashes that have columns.
        further: Names of the digests beyond `DIGESTS` that have columns.
    """
    digests = (*DIGESTS, *sorted(further))
    sidecar = pa.struct(
        [
            pa.field("member", pa.string(), nullable=False),
            pa.field("position", pa.int64(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            *(pa.field(name, pa.string(), nullable=False) for name in digests),
        ]
    )
    fields = [
        pa.field("asset_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("sample", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("tier", pa.string()),
        pa.field("findings", pa.list_(FINDING_TYPE), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("media_type", pa.string(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("frames", pa.int32()),
        *(pa.field(name, pa.string()) for name in digests),
    ]
    for name in sorted(perceptual):
        fields += [
            pa.field(name, pa.string()),
            pa.field(f"{name}_quality", pa.int16()),
            pa.field(
                f"{name}_views",
                pa.list_(
                    pa.struct(
                        [
                            pa.field("frame", pa.int32(), nullable=False),
                            pa.field("view", pa.string(), nullable=False),
                            pa.field("quality", pa.int16(), nullable=False),
                            pa.field("hashes", pa.binary(), nullable=False),
                        ]
                    )
                ),
            ),
        ]
    fields += [
        pa.field("provenance", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("sidecars", pa.list_(sidecar), nullable=False),
    ]
    return pa.schema(fields)


def further_digests(schema: pa.Schema) -> list[str]:
    """Returns the digests beyond `DIGESTS` that a ledger of this schema has columns for."""
    known = hashlib.algorithms_guaranteed - {*DIGESTS}
    return [name for name in schema.names if name in known]


def rows_to_table(
    rows: Sequence[LedgerRow], hash_bytes: Mapping[str, int], further: Sequence[str] = ()
) -> pa.Table:
    """Turns rows into a table.

    Args:
        rows: The rows, in order of position.
        hash_bytes: Width in bytes of each perceptual hash that has columns.
        further: Digests beyond `DIGESTS` that have columns.
    """
    schema = ledger_schema(hash_bytes, further)
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for row in rows:
        for name in (
            "asset_id",
            "shard",
            "member",
            "field",
            "position",
            "sample",
            "verdict",
            "reason",
            "tier",
            "size",
            "media_type",
            "width",
            "height",
            "frames",
        ):
            columns[name].append(getattr(row, name))
        columns["findings"].append([finding._asdict() for finding in row.findings])
        for name in (*DIGESTS, *further):
            columns[name].append(row.digests.get(name))
        for name, width in hash_bytes.items():
            views = row.perceptual.get(name, ())
            first = next((v for v in views if v.frame == 0 and v.view == "full"), None)
            columns[name].append(first.hashes[:width].hex() if first else None)
            columns[f"{name}_quality"].append(first.quality if first else None)
            columns[f"{name}_views"].append([view._asdict() for view in views])
        columns["provenance"].append(list(row.provenance.items()))
        columns["sidecars"].append([_sidecar(sidecar) for sidecar in row.sidecars])
    return pa.table(columns, schema=schema)


def _sidecar(sidecar: Sidecar) -> dict[str, Any]:
    place = {"member": sidecar.member, "position": sidecar.position, "size": sidecar.size}
    return {**place, **sidecar.digests}


def tally(table: pa.Table) -> dict[str, int]:
    """Counts a part's rows: ``verdict:*``, ``reason:*``, ``tier:*``, ``list:*``, ``category:*``.

    Categories are those of findings that sent their asset to the quarantine. Assets with a match
    that does not count are ``suppressed:*`` by verdict; those of them that are admitted, also
    ``suppression:*`` by the id of what let them pass.
    """
    counts: dict[str, int] = {}

    def add(prefix: str, values: Iterable[Any]) -> None:
        for value in values:
            if value is not None:
                key = f"{prefix}:{value}"
                counts[key] = counts.get(key, 0) + 1

    for column in ("verdict", "reason", "tier"):
        for item in table.column(column).combine_chunks().value_counts().to_pylist():
            if item["values"] is not None:
                counts[f"{column}:{item['values']}"] = item["counts"]
    hit = table.filter(pa.compute.greater(pa.compute.list_value_length(table["findings"]), 0))
    for row in hit.select(["verdict", "findings"]).to_pylist():
        suppressed = {finding["suppression"] for finding in row["findings"]} - {""}
        add("suppressed", [row["verdict"]] if suppressed else [])
        add("suppression", sorted(suppressed) if row["verdict"] == Verdict.ADMITTED else [])
        findings = [finding for finding in row["findings"] if not finding["suppression"]]
        add("list", sorted({finding["list_id"] for finding in findings}))
        acted = (finding for finding in findings if finding["action"] != Action.OBSERVE)
        add("category", sorted({finding["category"] for finding in acted if finding["category"]}))
    return counts


def tally_isolation(headers: Iterable[PartHeader]) -> dict[str, int]:
    """Counts a shard once for each way its decoders were confined: ``isolation:<JSON>``."""
    found = (header.isolation for header in headers if header.isolation)
    return {f"isolation:{json.dumps(dict(one), sort_keys=True)}": 1 for one in found}


def part_folder(root: str, shard: str) -> str:
    """Returns the folder of a shard's parts below a ledger root.

    Its name does not end as a shard's may: ``**/*.parquet`` finds parts and nothing else.
    """
    return storage.join(root, f"{shard}{_PARTS}")


def part_path(root: str, shard: str, number: int) -> str:
    """Returns where the part of a shard's ``number``-th range lies below a ledger root."""
    return storage.join(part_folder(root, shard), f"part-{number:05d}.parquet")


def named_part(path: str) -> tuple[str, str]:
    """Returns shard and file name of a part, by its path below a ledger root.

    What is no part has a shard of no name.
    """
    shard, _, name = path.rpartition(f"{_PARTS}/")
    return shard, name


def write_part(root: str, header: PartHeader, table: pa.Table) -> str:
    """Writes one part atomically and durably; a part that was there before is replaced.

    Returns:
        The part's path.

    Raises:
        StorageError: The part could not be written; nothing is there under its name.
    """
    path = part_path(root, header.shard, header.number)
    with storage.write_atomic(path, private=True) as sink:
        _write(header, table, sink)
    return path


def part_bytes(header: PartHeader, table: pa.Table) -> bytes:
    """Returns one part as `write_part` writes it."""
    sink = io.BytesIO()
    _write(header, table, sink)
    return sink.getvalue()


def _write(header: PartHeader, table: pa.Table, sink: BinaryIO) -> None:
    metadata = {_META_KEY: json.dumps({"version": LEDGER_VERSION, **asdict(header)}).encode()}
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        version="2.6",
        write_page_checksum=True,
    )


def read_header(path: str) -> PartHeader | None:
    """Returns a part's header; None if there is no such part.

    Raises:
        LedgerError: The file is there, but is not a whole ledger part this version reads.
    """
    if not storage.exists(path):
        return None
    try:
        with storage.open_read(path) as source:
            schema = pq.read_schema(source)
    except (pa.ArrowException, OSError) as error:
        raise LedgerError(path, f"not a readable Parquet file ({type(error).__name__})") from error
    return _header(path, schema)


def open_part(path: str, source: BinaryIO) -> tuple[PartHeader, pq.ParquetFile]:
    """Returns a part's header and the file to read batches of columns from.

    Raises:
        LedgerError: It is damaged, or of a version this one does not read.
    """
    try:
        file = pq.ParquetFile(source, page_checksum_verification=True)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise LedgerError(path, f"not a readable Parquet file ({type(error).__name__})") from error
    return _checked_header(path, schema), file


def read_part(path: str) -> tuple[PartHeader, pa.Table]:
    """Returns a part's header and rows.

    Raises:
        LedgerError: It is missing, damaged, or of a version this one does not read.
    """
    try:
        with storage.open_read(path) as source:
            table = pq.read_table(source, page_checksum_verification=True)
    except StorageError as error:
        raise LedgerError(path, f"is missing or cannot be read ({error})") from error
    except (pa.ArrowException, OSError) as error:
        raise LedgerError(path, f"not a readable Parquet file ({type(error).__name__})") from error
    return _checked_header(path, table.schema), table


def read_parts(evidence: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yields some columns of every part below an evidence folder, in order of their paths.

    Raises:
        LedgerError: There is no ledger, or a part is damaged.
    """
    root = storage.join(evidence, "ledger")
    if not storage.is_directory(root):
        raise LedgerError(root, "there is none; give the --evidence of a run")
    for entry in storage.walk(root):
        yield read_part(entry.path)[1].select(columns)


def is_ledger(schema: pa.Schema) -> bool:
    """Whether a Parquet file of this schema is a ledger part, of whatever version."""
    return _META_KEY in (schema.metadata or {})


def _checked_header(path: str, schema: pa.Schema) -> PartHeader:
    """Returns the header of a part whose columns are a ledger's."""
    header = _header(path, schema)
    # Page checksums do not cover the footer, where the columns' names are.
    hashes = [name.removesuffix("_views") for name in schema.names if name.endswith("_views")]
    if not schema.equals(ledger_schema(hashes, further_digests(schema))):
        raise LedgerError(path, "its columns are not a ledger's")
    return header


def _header(path: str, schema: pa.Schema) -> PartHeader:
    raw = (schema.metadata or {}).get(_META_KEY)
    if raw is None:
        raise LedgerError(path, "has no ingestgate header")
    try:
        fields = dict(json.loads(raw))
        version = fields.pop("version", None)
    except (ValueError, TypeError) as error:
        raise LedgerError(path, "its header is damaged") from error
    if version != LEDGER_VERSION:
        raise LedgerError(
            path, f"is of ledger version {version}, this program reads {LEDGER_VERSION}"
        )
    try:
        return PartHeader(**fields)
    except TypeError as error:
        raise LedgerError(path, "its header is damaged") from error


def is_current(
    header: PartHeader | None, shard: Shard, work: WorkRange, context: str, earlier: str | None
) -> bool:
    """Whether a part may stand for judging ``work`` again: the same bytes, read and judged alike.

    Args:
        header: The part's; None: there is none.
        shard: The shard.
        work: The range.
        context: As the rules in force have it.
        earlier: As what was quarantined before has it (see `PartHeader`); None: whatever it was.
    """
    return header is not None and (
        header.shard,
        header.identity,
        header.number,
        header.total,
        header.start,
        header.stop,
        header.context,
        header.earlier,
        header.format,
    ) == (
        shard.name,
        shard.identity,
        work.number,
        work.total,
        work.start,
        work.stop,
        context,
        header.earlier if earlier is None else earlier,
        shard.format,
    )
