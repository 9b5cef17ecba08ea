"""img2dataset's trio: three files that agree, before and after."""

import hashlib
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.containers import img2dataset
from ingestgate.assets.containers.container import ReadOptions, SampleContainer
from ingestgate.assets.containers.img2dataset import Img2Dataset, _merged
from ingestgate.assets.errors import ShardError
from ingestgate.assets.provenance import SIDECAR_ERROR
from ingestgate.assets.shard import Kind, Shard
from ingestgate.transforms.policy import matches_column
from tests.archives import JPEG, make_tar, read_all, rewrite, write_shard

GONE = "HTTP Error 404: Not Found"
STATS = {
    "count": 6,
    "successes": 4,
    "failed_to_download": 1,
    "failed_to_resize": 1,
    "duration": 1.5,
    "start_time": 10.0,
    "end_time": 11.5,
    "status_dict": {"success": 4, GONE: 1, "too small": 1},
}


def rows() -> list[dict[str, Any]]:
    statuses = [
        "success",
        "success",
        "failed_to_download",
        "success",
        "failed_to_resize",
        "success",
    ]
    messages = [None, None, GONE, None, "too small", None]
    return [
        {
            "url": f"http://example.org/{number}",
            "key": f"{number:09d}",
            "status": status,
            "error_message": message,
            "width": 10 + number,
            "sha256": None if message else f"{number:064x}",
        }
        for number, (status, message) in enumerate(zip(statuses, messages, strict=True))
    ]


def write_trio(
    folder: Path, records: list[dict[str, Any]] | None = None, *, stats: bool = True
) -> Shard:
    records = rows() if records is None else records
    members = []
    for row in rows():
        if row["status"] == "success":
            members.append((f"{row['key']}.jpg", JPEG + row["key"].encode()))
            members.append((f"{row['key']}.json", json.dumps(row).encode()))
    shard = write_shard(folder, make_tar(members), "d/00000.tar", "img2dataset")
    parquet = folder / "d/00000.parquet"
    table = pa.Table.from_pylist(records).replace_schema_metadata({"made": "for a test"})
    pq.write_table(table, parquet, row_group_size=2, compression="zstd")
    parts = [str(parquet)]
    if stats:
        path = folder / "d/00000_stats.json"
        path.write_text(json.dumps(STATS, indent=4))
        parts.append(str(path))
    return shard._replace(parts=tuple(parts))


@pytest.mark.parametrize("options", [ReadOptions(), ReadOptions(range_bytes=1)])
def test_rows_and_samples_meet_under_the_key(tmp_path: Path, options: ReadOptions) -> None:
    samples = read_all(Img2Dataset(), write_trio(tmp_path), options)
    assert [sample.key for sample in samples] == [f"{n:09d}" for n in (0, 1, 3, 5, 2, 4)]
    assert [sample.members[0].kind for sample in samples] == [Kind.PICTURE] * 4 + [
        Kind.REFERENCE
    ] * 2
    assert samples[0].provenance == {
        "url": "http://example.org/0",
        "key": "000000000",
        "status": "success",
        "width": "10",
        "sha256": "0" * 64,
    }
    gone = samples[4]
    assert gone.members[0].content is None
    assert gone.provenance["url"] == "http://example.org/2"
    positions = [sample.members[0].position for sample in samples]
    assert positions == sorted(set(positions))


def test_where_row_and_sidecar_differ_both_are_kept(tmp_path: Path) -> None:
    records = rows()
    records[0]["url"] = "http://other.example/"
    sample = read_all(Img2Dataset(), write_trio(tmp_path, records))[0]
    assert sample.provenance["url"] == "http://other.example/"
    assert sample.provenance["json.url"] == "http://example.org/0"


def test_a_broken_sidecar_shows_beside_the_row(tmp_path: Path) -> None:
    shard = write_trio(tmp_path)
    key = "000000000"
    write_shard(tmp_path, make_tar([(f"{key}.jpg", JPEG), (f"{key}.json", b"{")]), "d/00000.tar")
    sample = read_all(Img2Dataset(), shard)[0]
    assert sample.provenance["url"] == "http://example.org/0"
    assert SIDECAR_ERROR in sample.provenance


def test_a_success_that_is_not_in_the_tar_is_a_reference(tmp_path: Path) -> None:
    shard = write_trio(tmp_path)
    write_shard(tmp_path, make_tar([("000000000.jpg", JPEG)]), "d/00000.tar")
    samples = read_all(Img2Dataset(), shard)
    assert [s.members[0].kind for s in samples] == [Kind.PICTURE] + [Kind.REFERENCE] * 5


def test_a_skipped_member_named_like_a_sample_has_no_row(tmp_path: Path) -> None:
    shard = write_trio(tmp_path)
    write_shard(tmp_path, make_tar([("000000000", JPEG)]), "d/00000.tar")
    samples = read_all(Img2Dataset(), shard)
    assert [(s.key, s.members[0].kind) for s in samples[:2]] == [
        ("000000000", Kind.SKIPPED),
        ("000000000", Kind.REFERENCE),
    ]
    assert samples[0].provenance == {}


@pytest.mark.parametrize("options", [ReadOptions(), ReadOptions(range_bytes=1)])
def test_rows_meet_samples_of_a_tar_of_the_folder_itself(
    tmp_path: Path, options: ReadOptions
) -> None:
    """As ``tar cf 00000.tar -C folder .`` makes it, and without sidecars."""
    shard = write_trio(tmp_path / "in")
    names = [f"./{row['key']}.jpg" for row in rows() if row["status"] == "success"]
    write_shard(tmp_path / "in", make_tar([(name, JPEG) for name in names]), "d/00000.tar")
    samples = read_all(Img2Dataset(), shard, options)
    assert [sample.key for sample in samples[:2]] == ["./000000000", "./000000001"]
    assert [sample.provenance["url"][-1] for sample in samples] == list("013524")
    out = rewrite(Img2Dataset(), shard, tmp_path / "out", lambda s: s.key != "./000000001", options)
    left = pq.read_table(tmp_path / "out/d/00000.parquet").column("key").to_pylist()
    assert left == [row["key"] for row in rows() if row["key"] != "000000001"]
    assert b"./000000001.jpg" not in out["d/00000.tar"]


@pytest.mark.parametrize("options", [ReadOptions(), ReadOptions(range_bytes=1)])
def test_a_sample_without_a_row_fails_the_shard(tmp_path: Path, options: ReadOptions) -> None:
    """Its source would not be checked, though a row may have it."""
    shard = write_trio(tmp_path, [row for row in rows() if row["key"] != "000000003"])
    with pytest.raises(ShardError, match="no row of its Parquet file has the key"):
        read_all(Img2Dataset(), shard, options)


def test_keys_that_became_numbers_fail_the_shard(tmp_path: Path) -> None:
    """As a round trip through other programs makes of them."""
    shard = write_trio(tmp_path, [row | {"key": int(row["key"])} for row in rows()])
    with pytest.raises(ShardError, match="write keys as text, as members are called"):
        read_all(Img2Dataset(), shard)


@pytest.mark.parametrize("options", [ReadOptions(), ReadOptions(range_bytes=1)])
def test_what_is_dropped_leaves_all_three_files(tmp_path: Path, options: ReadOptions) -> None:
    shard = write_trio(tmp_path / "in")
    dropped = {"000000001", "000000002"}
    out = rewrite(Img2Dataset(), shard, tmp_path / "out", lambda s: s.key not in dropped, options)
    assert list(out) == ["d/00000.tar", "d/00000.parquet", "d/00000_stats.json"]
    kept = [row for row in rows() if row["key"] not in dropped]
    path = tmp_path / "out/d/00000.parquet"
    assert pq.read_table(path).to_pylist() == kept
    before, after = pq.ParquetFile(shard.parts[0]), pq.ParquetFile(path)
    assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    assert after.metadata.row_group(0).column(0).compression == "ZSTD"
    assert [after.metadata.row_group(i).num_rows for i in range(after.num_row_groups)] == [1, 1, 2]
    assert json.loads(out["d/00000_stats.json"]) == STATS | {
        "count": 4,
        "successes": 3,
        "failed_to_download": 0,
        "status_dict": {"success": 3, "too small": 1},
    }
    again = shard._replace(
        path=str(tmp_path / "out/d/00000.tar"),
        parts=(str(path), str(tmp_path / "out/d/00000_stats.json")),
    )
    assert {s.key for s in read_all(Img2Dataset(), again)} == {row["key"] for row in kept}


def test_nothing_dropped_is_byte_identical(tmp_path: Path) -> None:
    shard = write_trio(tmp_path / "in")
    out = rewrite(Img2Dataset(), shard, tmp_path / "out", lambda sample: True)
    names = ["00000.tar", "00000.parquet", "00000_stats.json"]
    assert list(out.values()) == [(tmp_path / "in/d" / name).read_bytes() for name in names]


def test_a_dropped_reference_leaves_the_tar_as_it_was(tmp_path: Path) -> None:
    shard = write_trio(tmp_path / "in", stats=False)
    out = rewrite(Img2Dataset(), shard, tmp_path / "out", lambda s: s.key != "000000002")
    assert list(out) == ["d/00000.tar", "d/00000.parquet"]
    assert out["d/00000.tar"] == (tmp_path / "in/d/00000.tar").read_bytes()
    assert pq.read_table(tmp_path / "out/d/00000.parquet").num_rows == 5


def test_everything_dropped(tmp_path: Path) -> None:
    shard = write_trio(tmp_path / "in")
    out = rewrite(Img2Dataset(), shard, tmp_path / "out", lambda sample: False)
    assert pq.read_table(tmp_path / "out/d/00000.parquet").num_rows == 0
    assert json.loads(out["d/00000_stats.json"])["status_dict"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "000000001"}, "rows 1 and 2 of the Parquet file have the same key"),
        ({"key": None}, "a row of its Parquet file has no key"),
    ],
)
def test_rows_that_cannot_be_told_apart_are_an_error(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    records = rows()
    records[0].update(change)
    with pytest.raises(ShardError, match=message):
        read_all(Img2Dataset(), write_trio(tmp_path, records))


def test_damaged_parts_are_errors_that_name_the_shard(tmp_path: Path) -> None:
    shard = write_trio(tmp_path / "in")
    Path(shard.parts[1]).write_text("[]")
    with pytest.raises(ShardError, match=r"d/00000\.tar: its stats file is not a JSON object"):
        rewrite(Img2Dataset(), shard, tmp_path / "out", lambda sample: False)
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []
    content = Path(shard.parts[0]).read_bytes()
    Path(shard.parts[0]).write_bytes(content[:-20])
    with pytest.raises(ShardError, match=r"^d/00000\.tar: cannot be read as Parquet"):
        read_all(Img2Dataset(), shard)


def test_the_digest_of_the_parts_takes_little_memory(tmp_path: Path) -> None:
    shard = write_trio(tmp_path)
    (work,) = Img2Dataset().cut(shard, ReadOptions())
    os.truncate(shard.parts[1], 32 << 20)
    parts = [hashlib.sha256(Path(part).read_bytes()).digest() for part in shard.parts]
    tracemalloc.start()
    assert Img2Dataset().range_sha256(shard, work) == hashlib.sha256(b"".join(parts)).hexdigest()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_package_holds_the_row_too(tmp_path: Path) -> None:
    shard = write_trio(tmp_path)
    samples = read_all(Img2Dataset(), shard)
    files = dict(Img2Dataset().package(shard, samples[0]))
    assert list(files) == ["000000000.jpg", "000000000.json", "000000000.provenance.json"]
    assert json.loads(files["000000000.provenance.json"]) == samples[0].provenance
    assert [name for name, _ in Img2Dataset().package(shard, samples[4])] == [
        "000000002.provenance.json"
    ]


def test_is_a_sample_container() -> None:
    assert isinstance(Img2Dataset(), SampleContainer)


_SIDES = st.dictionaries(
    st.sampled_from(["url", "json.url", "json.json.url", "a.b", "json.a.b", "json.url[#2]"]),
    st.sampled_from(["1", "2", "3"]),
)


@given(row=_SIDES, sidecar=_SIDES, column=st.sampled_from(["url", "json.url", "a.b", "json.a.b"]))
def test_neither_row_nor_sidecar_hides_a_source(
    row: dict[str, str], sidecar: dict[str, str], column: str
) -> None:
    merged = _merged(row, sidecar)
    checked = {value for name, value in merged.items() if matches_column(name, (column,))}
    for side in (row, sidecar):
        assert side.get(column, None) in {None, *checked}
        assert column != "url" or set(side.values()) - checked <= {
            value for name, value in side.items() if "url" not in name
        }


@pytest.mark.parametrize(
    ("stats", "problem"),
    [
        (JPEG, "not a JSON object"),
        (b'{"count": 1, "count": 2}', "has a key twice"),
        (b'{"count": "text"}', "more than numbers"),
        (b'{"status_dict": "text"}', "more than numbers"),
        (b'{"status_dict": {"success": [1]}}', "more than numbers"),
        (b'{"%s": 1}' % (b"n" * 4097), "more than numbers"),
    ],
)
def test_stats_are_read_though_they_may_be_copied(
    tmp_path: Path, stats: bytes, problem: str
) -> None:
    shard = write_trio(tmp_path)
    Path(shard.parts[1]).write_bytes(stats)
    with pytest.raises(ShardError, match=problem):
        read_all(Img2Dataset(), shard)


def test_rows_that_decode_to_more_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = write_trio(tmp_path)
    monkeypatch.setattr(img2dataset, "MOST_HELD", 100)
    with pytest.raises(ShardError, match="its rows decode to more than 0 MiB"):
        read_all(Img2Dataset(), shard)
