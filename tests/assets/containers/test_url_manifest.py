"""URL manifests: every row judged once, what stays kept byte for byte."""

import csv
import hashlib
import io
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.assets.containers import row_groups, url_manifest
from ingestgate.assets.containers.container import ReadOptions, RowContainer
from ingestgate.assets.containers.url_manifest import UrlManifest, is_manifest
from ingestgate.assets.errors import ShardError
from ingestgate.assets.shard import Shard, WorkRange

MANIFEST = UrlManifest()
ROWS = [
    {"url": f"https://example.org/{i}", "text": f'a "{i}",\nb é' if i % 3 == 0 else f"t{i}"}
    for i in range(60)
]


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["url", "text"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_jsonl(rows: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    schema = pa.schema([("url", pa.string()), ("text", pa.string())], {"note": "kept"})
    pq.write_table(pa.Table.from_pylist(rows, schema), sink, row_group_size=7, compression="zstd")
    return sink.getvalue()


FORMATS = {"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet}


def shard(root: Path, suffix: str, content: bytes) -> Shard:
    path = root / f"m.{suffix}"
    path.write_bytes(content)
    return Shard(f"m.{suffix}", str(path), "url-manifest", len(content), "")


def filtered(manifest: Shard, works: list[WorkRange], keep: np.ndarray, output: Path) -> bytes:
    with MANIFEST.rewrite_rows(manifest, str(output)) as writer:
        for work in works:
            rows = MANIFEST.read_rows(manifest, work).num_rows
            writer.write(work, keep[work.first : work.first + rows])
        (published,) = writer.publish()
    content = (output / manifest.name).read_bytes()
    assert published == (manifest.name, hashlib.sha256(content).hexdigest(), len(content))
    return content


def test_it_is_a_row_container() -> None:
    assert isinstance(MANIFEST, RowContainer)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("range_bytes", [1, 100, 1 << 20])
def test_ranges_hold_every_row_once_in_order(tmp_path: Path, suffix: str, range_bytes: int) -> None:
    manifest = shard(tmp_path, suffix, FORMATS[suffix](ROWS))
    works = MANIFEST.cut(manifest, ReadOptions(range_bytes=range_bytes))
    assert [work.number for work in works] == list(range(len(works)))
    assert {work.total for work in works} == {len(works)}
    assert (len(works) > 1) == (range_bytes < 1 << 20)
    assert all(a.stop == b.start for a, b in itertools.pairwise(works))
    seen: list[dict[str, str]] = []
    for work in works:
        assert work.first == len(seen)
        seen += MANIFEST.read_rows(manifest, work).to_pylist()
    assert seen == ROWS


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_stays_is_the_same_rows_and_bytes(tmp_path: Path, suffix: str) -> None:
    manifest = shard(tmp_path, suffix, FORMATS[suffix](ROWS))
    works = MANIFEST.cut(manifest, ReadOptions(range_bytes=300))
    keep = np.arange(len(ROWS)) % 4 != 1
    kept = [row for row, stays in zip(ROWS, keep, strict=True) if stays]
    content = filtered(manifest, works, keep, tmp_path / "out")
    if suffix == "parquet":
        assert pq.read_table(io.BytesIO(content)).to_pylist() == kept
        assert pq.read_schema(io.BytesIO(content)).metadata == {b"note": b"kept"}
    else:
        assert content == FORMATS[suffix](kept)
    assert content == filtered(manifest, works, keep, tmp_path / "again")
    whole = filtered(manifest, works, np.ones(len(ROWS), bool), tmp_path / "whole")
    assert suffix == "parquet" or whole == FORMATS[suffix](ROWS)
    none = filtered(manifest, works, np.zeros(len(ROWS), bool), tmp_path / "none")
    if suffix == "parquet":
        assert pq.read_table(io.BytesIO(none)).num_rows == 0
    else:
        assert none == FORMATS[suffix]([])


@pytest.mark.parametrize("suffix", FORMATS)
def test_sealed_rows_are_a_manifest_of_their_own(tmp_path: Path, suffix: str) -> None:
    manifest = shard(tmp_path, suffix, FORMATS[suffix](ROWS))
    work = MANIFEST.cut(manifest, ReadOptions(range_bytes=300))[1]
    rows = np.zeros(MANIFEST.read_rows(manifest, work).num_rows, bool)
    rows[1] = True
    ((name, content),) = MANIFEST.package_rows(manifest, work, rows)
    assert name == f"rows-1.{suffix}"
    row = ROWS[work.first + 1]
    if suffix == "parquet":
        assert pq.read_table(io.BytesIO(content)).to_pylist() == [row]
    else:
        assert content == FORMATS[suffix]([row])


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_digest_binds_every_column_and_the_header(tmp_path: Path, suffix: str) -> None:
    def digests(rows: list[dict[str, str]], rename: bytes = b"text") -> list[str]:
        content = FORMATS[suffix](rows).replace(b"text", rename)
        manifest = shard(tmp_path, suffix, content)
        works = MANIFEST.cut(manifest, ReadOptions(range_bytes=300))
        return [MANIFEST.range_sha256(manifest, work) for work in works]

    before = digests(ROWS)
    assert digests(ROWS) == before
    assert digests([{**ROWS[0], "text": ROWS[0]["text"].replace("b", "c")}, *ROWS[1:]]) != before
    if suffix == "csv":
        assert all(a != b for a, b in zip(digests(ROWS, b"tixt"), before, strict=True))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=20, max_size=20), st.integers(1, 400), st.booleans())
def test_any_mask_and_any_ranges_give_the_same_file(
    keep: list[bool], range_bytes: int, ended: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for suffix in ("csv", "jsonl"):
            content = FORMATS[suffix](ROWS[:20])
            content = content if ended else content.rstrip(b"\r\n")
            manifest = shard(root, suffix, content)
            works = MANIFEST.cut(manifest, ReadOptions(range_bytes=range_bytes))
            kept = [row for row, stays in zip(ROWS, keep, strict=False) if stays]
            expected = FORMATS[suffix](kept)
            if not ended and keep[-1]:
                expected = expected.rstrip(b"\r\n")
            assert filtered(manifest, works, np.array(keep), root / "out") == expected


def test_mark_blank_lines_and_line_ends_stay(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf\r\nurl,n\r\n\r\nhttp://a/,1\r\n\nhttp://b/,"2\r\n"\nhttp://c/,3'
    manifest = shard(tmp_path, "csv", content)
    works = MANIFEST.cut(manifest, ReadOptions(range_bytes=1))
    rows = [row for work in works for row in MANIFEST.read_rows(manifest, work).to_pylist()]
    assert [row["n"] for row in rows] == ["1", "2\r\n", "3"]
    kept = filtered(manifest, works, np.array([False, True, True]), tmp_path / "out")
    assert kept == content.replace(b"http://a/,1\r\n", b"")
    empty = shard(tmp_path, "jsonl", b"")
    assert MANIFEST.cut(empty, ReadOptions()) == [WorkRange(0, 1, 0, 0)]
    assert filtered(empty, [WorkRange(0, 1, 0, 0)], np.zeros(0, bool), tmp_path / "o") == b""


def test_damage_is_an_error_that_names_the_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = shard(tmp_path, "parquet", as_parquet(ROWS)[:-30])
    with pytest.raises(ShardError, match=r"^m.parquet: cannot be read as Parquet"):
        MANIFEST.cut(manifest, ReadOptions())
    manifest = shard(tmp_path, "csv", as_csv(ROWS))
    (work,) = MANIFEST.cut(manifest, ReadOptions())
    shard(tmp_path, "csv", as_csv(ROWS)[:-9])
    with pytest.raises(ShardError, match=r"^m.csv: is truncated at byte"):
        MANIFEST.read_rows(manifest, work)
    monkeypatch.setattr(url_manifest, "LONGEST_RECORD", 50)
    manifest = shard(tmp_path, "csv", b'url\n"http://' + b"a\n" * 50000)
    with pytest.raises(ShardError, match=r"at byte 4 does not end; is there a quote too many"):
        MANIFEST.cut(manifest, ReadOptions(range_bytes=20))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_writer_publishes_only_what_was_decided_in_full(tmp_path: Path, suffix: str) -> None:
    manifest = shard(tmp_path, suffix, FORMATS[suffix](ROWS))
    first, second, *_ = MANIFEST.cut(manifest, ReadOptions(range_bytes=300))
    rows = MANIFEST.read_rows(manifest, first).num_rows
    output = str(tmp_path / "out")
    with MANIFEST.rewrite_rows(manifest, output) as writer:
        writer.write(first, np.ones(rows, bool))
        with pytest.raises(ShardError, match="not decided on"):
            writer.publish()
    for wrong in (first, second):
        with (
            MANIFEST.rewrite_rows(manifest, output) as writer,
            pytest.raises(ShardError, match="not what was judged"),
        ):
            writer.write(wrong, np.ones(rows + 1 if wrong is first else rows, bool))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (("url", pa.string()), True),
        (("URL", pa.large_string()), True),
        (("imageUrl", pa.string()), True),
        (("page_url", pa.dictionary(pa.int32(), pa.string())), True),
        (("source_uri", pa.string()), True),
        (("md5", pa.binary(16)), True),
        (("sha-256", pa.string()), True),
        (("urls", pa.list_(pa.string())), True),
        (("meta", pa.struct([("url", pa.string())])), True),
        (("imageurl", pa.string()), True),
        (("url1", pa.string()), True),
        (("url_o", pa.string()), True),
        (("curl", pa.string()), False),
        (("leaf_curl", pa.string()), False),
        (("security", pa.string()), False),
        (("url", pa.int64()), False),
        (("text", pa.string()), False),
    ],
)
def test_a_manifest_is_known_by_its_columns(field: tuple[str, pa.DataType], expected: bool) -> None:
    assert is_manifest(pa.schema([("n", pa.int32()), field])) is expected


def test_rows_that_decode_to_more_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"url": ["http://example.org/" + "a" * 1000] * 2000}), sink)
    source = shard(tmp_path, "parquet", sink.getvalue())
    assert len(sink.getvalue()) < 10_000
    (work,) = UrlManifest().cut(source, ReadOptions())
    assert UrlManifest().read_rows(source, work).num_rows == 2000
    monkeypatch.setattr(row_groups, "MOST_HELD", 1 << 20)
    with pytest.raises(ShardError, match="rows that decode to more than 1 MiB"):
        UrlManifest().read_rows(source, work)
