from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestgate.assets import ledger
from ingestgate.assets.errors import LedgerError
from ingestgate.assets.ledger import LedgerRow, PartHeader, Sidecar
from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.shard import Shard, WorkRange
from ingestgate.assets.verdict import Finding, Reason, Tier, Verdict

WIDTHS = {"pdq": 32, "phash": 8}
SHARD = Shard("train/00000.tar", "/landing/train/00000.tar", "webdataset", 99, "1d" * 32)
WORK = WorkRange(number=1, total=3, start=512, stop=4096)
HEADER = PartHeader(
    shard=SHARD.name,
    identity=SHARD.identity,
    number=1,
    total=3,
    start=512,
    stop=4096,
    context="c0" * 32,
    judged_at="2026-01-02T03:04:05Z",
    range_sha256="ab" * 32,
    tallies={"verdict:admitted": 1},
    format=SHARD.format,
)
DIGESTS = {"md5": "1" * 32, "sha1": "2" * 40, "sha256": "3" * 64}
MATCHED = LedgerRow(
    asset_id="a" * 32,
    shard=SHARD.name,
    member="ü/0001.jpg",
    field="",
    position=512,
    sample="ü/0001",
    verdict=Verdict.QUARANTINED,
    reason=Reason.MATCHED,
    tier=Tier.NEAR,
    findings=(
        Finding("p", 3, "e-1", "A1", "pdq", "perceptual", "full/r90", 8, 31, "quarantine"),
        Finding("q", 1, "e-2", "B2", "domain", "source", "url", 0, 0, "observe"),
    ),
    size=1234,
    media_type="image/jpeg",
    width=64,
    height=48,
    frames=2,
    digests={"md5": "0" * 32, "sha1": "1" * 40, "sha256": "2" * 64},
    perceptual={
        "pdq": (
            PerceptualView(1, "full", 90, bytes(256)),
            PerceptualView(0, "thumbnail-512", 80, bytes([9]) * 256),
            PerceptualView(0, "full", 77, bytes(range(256))),
        ),
        "phash": (PerceptualView(0, "full", -1, b"\xff" * 8),),
    },
    provenance={"url": "https://example.org/", "caption": "", "b": "2", "a": "1"},
    sidecars=(Sidecar("ü/0001.txt", 2048, 5, DIGESTS),),
)
CLEAN = replace(
    MATCHED,
    asset_id="b" * 32,
    position=1024,
    verdict=Verdict.ADMITTED,
    reason=Reason.CLEAN,
    tier=None,
    findings=(),
    perceptual={},
    provenance={},
    sidecars=(),
)
HELD = replace(
    CLEAN,
    asset_id="c" * 32,
    position=2048,
    verdict=Verdict.UNSCANNABLE,
    reason=Reason.NO_SOURCE,
    size=None,
    media_type="",
    width=None,
    height=None,
    frames=None,
    digests={},
)
ROWS = [MATCHED, CLEAN, HELD]


def write(root: Path, rows: list[LedgerRow] = ROWS, header: PartHeader = HEADER) -> Path:
    return Path(ledger.write_part(str(root), header, ledger.rows_to_table(rows, WIDTHS)))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert path == tmp_path / "train/00000.tar.parts/part-00001.parquet"
    assert ledger.part_path(str(tmp_path), SHARD.name, 1) == str(path)
    header, table = ledger.read_part(str(path))
    assert header == HEADER == ledger.read_header(str(path))
    assert table.schema.equals(ledger.ledger_schema(WIDTHS))

    first, clean, held = table.to_pylist(maps_as_pydicts="strict")
    assert first["findings"] == [finding._asdict() for finding in MATCHED.findings]
    caption = {"member": "ü/0001.txt", "position": 2048, "size": 5}
    assert first["sidecars"] == [{**caption, **DIGESTS}]
    assert list(first["provenance"].items()) == list(MATCHED.provenance.items()), "in order"
    assert (first["verdict"], first["reason"], first["tier"]) == ("quarantined", "matched", "near")
    assert (first["md5"], first["sha1"], first["sha256"]) == ("0" * 32, "1" * 40, "2" * 64)
    recorded = ("frame", "view", "quality", "hashes")
    views = [{name: getattr(view, name) for name in recorded} for view in MATCHED.perceptual["pdq"]]
    assert first["pdq_views"] == views
    assert (clean["tier"], clean["findings"], clean["pdq"], clean["pdq_views"]) == (
        None,
        [],
        None,
        [],
    )
    assert [held[name] for name in ("size", "width", "height", "frames", "md5")] == [None] * 5


def test_further_digests_have_columns_of_their_own(tmp_path: Path) -> None:
    caption = Sidecar("a.txt", 1, 2, {**DIGESTS, "sha512": "4" * 128})
    row = replace(MATCHED, digests={**MATCHED.digests, "sha512": "5" * 128}, sidecars=(caption,))
    table = ledger.rows_to_table([row, HELD], WIDTHS, ["sha512"])
    read = ledger.read_part(ledger.write_part(str(tmp_path), HEADER, table))[1]
    assert ledger.further_digests(read.schema) == ["sha512"]
    assert read["sha512"].to_pylist() == ["5" * 128, None]
    assert read["sidecars"][0].as_py()[0]["sha512"] == "4" * 128


def test_a_column_that_is_no_digest_is_refused(tmp_path: Path) -> None:
    table = ledger.rows_to_table([HELD], WIDTHS)
    odd = table.add_column(18, pa.field("sha513", pa.string()), pa.array([None], pa.string()))
    path = ledger.write_part(str(tmp_path), HEADER, odd)
    with pytest.raises(LedgerError, match="its columns are not a ledger's"):
        ledger.read_part(path)


def test_the_plain_hash_column_is_the_first_upright_full_view(tmp_path: Path) -> None:
    row = ledger.read_part(str(write(tmp_path)))[1].to_pylist()[0]
    assert (row["pdq"], row["pdq_quality"]) == (bytes(range(32)).hex(), 77)
    assert (row["phash"], row["phash_quality"]) == ("ff" * 8, -1)


def test_the_same_rows_give_the_same_bytes_apart_from_the_time(tmp_path: Path) -> None:
    first = write(tmp_path / "a").read_bytes()
    assert write(tmp_path / "b").read_bytes() == first
    later = replace(HEADER, judged_at="2027-01-02T03:04:05Z")
    other = write(tmp_path / "c", header=later).read_bytes()
    assert other != first
    assert pages(other) == pages(first), "times are in the footer only"


def pages(parquet: bytes) -> bytes:
    """Returns a Parquet file without its footer."""
    return parquet[: -8 - int.from_bytes(parquet[-8:-4], "little")]


def test_a_part_is_replaced_whole_and_private(tmp_path: Path) -> None:
    write(tmp_path)
    path = write(tmp_path, [CLEAN])
    assert ledger.read_part(str(path))[1].num_rows == 1
    assert [each.name for each in path.parent.iterdir()] == ["part-00001.parquet"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_rows_are_a_part_too(tmp_path: Path) -> None:
    header, table = ledger.read_part(str(write(tmp_path, [])))
    assert (header, table.num_rows) == (HEADER, 0)
    assert ledger.tally(table) == {}


def test_tally_counts_verdicts_reasons_tiers_and_lists() -> None:
    assert ledger.tally(ledger.rows_to_table(ROWS, WIDTHS)) == {
        "verdict:quarantined": 1,
        "verdict:admitted": 1,
        "verdict:unscannable": 1,
        "reason:matched": 1,
        "reason:clean": 1,
        "reason:no_source": 1,
        "tier:near": 1,
        "list:p": 1,
        "list:q": 1,
        "category:A1": 1,  # B2's did not send it to the quarantine
    }


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "2d" * 32},
        {"context": "c1" * 32},
        {"number": 2},
        {"total": 4},
        {"start": 0},
        {"stop": 4097},
        {"shard": "train/00001.tar"},
        {"earlier": "1f" * 32},
        {"format": "folder"},
    ],
)
def test_a_part_of_other_bytes_range_or_rules_is_not_current(change: dict[str, Any]) -> None:
    assert ledger.is_current(HEADER, SHARD, WORK, HEADER.context, HEADER.earlier)
    assert not ledger.is_current(
        replace(HEADER, **change), SHARD, WORK, HEADER.context, HEADER.earlier
    )


def test_no_part_is_not_current(tmp_path: Path) -> None:
    path = ledger.part_path(str(tmp_path), "none", 0)
    assert ledger.read_header(path) is None
    assert not ledger.is_current(None, SHARD, WORK, HEADER.context, HEADER.earlier)
    with pytest.raises(LedgerError, match="is missing"):
        ledger.read_part(path)


def test_a_part_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for length in [0, 1, 4, 8, *range(9, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        for read in (ledger.read_part, ledger.read_header):
            with pytest.raises(LedgerError, match=r"part-00001\.parquet"):
                read(str(path))


def read_batches(path: str) -> tuple[PartHeader, pa.Table]:
    """Reads a part as a rescan does."""
    try:
        with open(path, "rb") as source:
            header, file = ledger.open_part(path, source)
            batches = list(file.iter_batches())
    except (pa.ArrowException, OSError) as error:
        raise LedgerError(path, "") from error
    if not batches:
        raise LedgerError(path, "")
    return header, pa.Table.from_batches(batches)


@pytest.mark.parametrize("read", [ledger.read_part, read_batches])
def test_a_flipped_byte_is_refused_or_changes_nothing(
    tmp_path: Path, read: Callable[[str], tuple[PartHeader, pa.Table]]
) -> None:
    path = write(tmp_path, [replace(MATCHED, asset_id=f"{n:032x}") for n in range(50)])
    whole = path.read_bytes()
    expected = read(str(path))
    for place in range(0, len(whole), max(1, len(whole) // 300)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            header, table = read(str(path))
        except LedgerError:
            continue
        # Parquet has no checksum over its footer; what decides there is header and schema.
        assert table.equals(expected[1]), place
        assert header.shard  # readable, and `is_current` compares the rest


def test_what_a_suppression_let_pass_is_counted_apart() -> None:
    listed = Finding("p", 3, "e-1", "A1", "pdq", "perceptual", "full/r90", 8, 31, "quarantine")
    passed = listed._replace(suppression="f" * 16)
    admitted, other = (replace(ROWS[0], findings=f) for f in ((passed,), (passed, listed)))
    admitted = replace(admitted, verdict=Verdict.ADMITTED, reason=Reason.CLEAN, tier=None)
    other = replace(other, verdict=Verdict.QUARANTINED, reason=Reason.MATCHED, tier=Tier.NEAR)
    counts = ledger.tally(ledger.rows_to_table([admitted, other], WIDTHS))
    assert counts["suppressed:admitted"] == counts["suppressed:quarantined"] == 1
    assert counts[f"suppression:{'f' * 16}"] == 1
    assert (counts["list:p"], counts["category:A1"]) == (1, 1)


def test_another_version_or_another_file_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "part.parquet")
    table = ledger.rows_to_table(ROWS, WIDTHS)

    def refusal(metadata: dict[bytes, bytes]) -> str:
        pq.write_table(table.replace_schema_metadata(metadata), path)
        with pytest.raises(LedgerError) as caught:
            ledger.read_part(path)
        return caught.value.problem

    assert "no ingestgate header" in refusal({})
    assert "version 99" in refusal({b"ingestgate.ledger": b'{"version": 99}'})
    assert "version None" in refusal({b"ingestgate.ledger": b"[]"})
    for damaged in (b"{", b"1", b"\xff", b'{"version": 4}', b'{"version": 4, "more": 2}'):
        assert "header is damaged" in refusal({b"ingestgate.ledger": damaged})


def test_a_column_that_must_have_a_value_has_one() -> None:
    with pytest.raises((pa.ArrowException, ValueError, TypeError)):
        ledger.rows_to_table([replace(CLEAN, sample=object())], WIDTHS)  # type: ignore[arg-type]


def test_a_part_s_path_names_its_shard() -> None:
    path = ledger.part_path("root", "a/b.parts/c.tar", 7).removeprefix("root/")
    assert ledger.named_part(path) == ("a/b.parts/c.tar", "part-00007.parquet")
    assert ledger.named_part("stray.parquet")[0] == ""
