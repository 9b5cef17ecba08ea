"""Parquet with pictures: every one found, what stays written as it was."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ingestgate.assets.containers import row_groups
from ingestgate.assets.containers.container import ReadOptions, SampleContainer
from ingestgate.assets.containers.parquet import ParquetImages
from ingestgate.assets.errors import ShardError
from ingestgate.assets.shard import Kind, Sample, Shard

PARQUET = ParquetImages()
OPTIONS = ReadOptions(range_bytes=1)
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(seed: int, format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format)
    return sink.getvalue()


PICTURES = [picture(seed) for seed in range(12)]


def write(root: Path, table: pa.Table, **options: Any) -> Shard:
    path = root / "t.parquet"
    pq.write_table(table, path, **options)
    return Shard("t.parquet", str(path), "parquet", path.stat().st_size, "")


def read(shard: Shard) -> list[Sample]:
    works = PARQUET.cut(shard, OPTIONS)
    return [sample for work in works for sample in PARQUET.read(shard, work, OPTIONS)]


def rewrite(shard: Shard, output: Path, keep: Callable[[Sample], bool]) -> Path:
    with PARQUET.rewrite(shard, str(output)) as writer:
        for work in PARQUET.cut(shard, OPTIONS):
            writer.begin(work)
            for sample in PARQUET.read(shard, work, OPTIONS):
                (writer.keep if keep(sample) else writer.drop)(sample)
            writer.end(work)
        (published,) = writer.publish()
    assert published.size == (output / shard.name).stat().st_size
    return output / shard.name


def members(sample: Sample) -> list[tuple[str, Kind, bytes | None]]:
    return [(member.field, member.kind, member.content) for member in sample.members]


def test_it_is_a_sample_container() -> None:
    assert isinstance(PARQUET, SampleContainer)


def test_every_picture_of_a_row_is_a_member(tmp_path: Path) -> None:
    shape = {
        "image": IMAGE,
        "images": pa.list_(IMAGE),
        "raw": pa.binary(),
        "deep": pa.list_(pa.struct([("p", pa.binary()), ("who", pa.string())])),
        "url": pa.string(),
    }
    rows = [
        {
            "image": {"bytes": PICTURES[0], "path": "a.png"},
            "images": [
                {"bytes": PICTURES[1], "path": None},
                None,
                {"bytes": None, "path": "elsewhere.png"},
            ],
            "raw": PICTURES[2],
            "deep": [{"p": b"not a picture", "who": "x"}],
            "url": "https://example.org/0",
        },
        {"image": {"bytes": b"", "path": None}, "images": [], "raw": None, "url": None},
        {"image": {"bytes": None, "path": None}, "url": "https://example.org/2"},
    ]
    first, second, third = read(write(tmp_path, pa.Table.from_pylist(rows, pa.schema(shape))))
    assert members(first) == [
        ("image", Kind.PICTURE, PICTURES[0]),
        ("images[0]", Kind.PICTURE, PICTURES[1]),
        ("images[2]", Kind.REFERENCE, None),
        ("raw", Kind.PICTURE, PICTURES[2]),
        ("deep[0].p", Kind.OTHER, b"not a picture"),
    ]
    assert {(member.name, member.position) for member in first.members} == {("0", 0)}
    assert dict(first.provenance) == {
        "image.path": "a.png",
        "images[2].path": "elsewhere.png",
        "deep[0].who": "x",
        "url": "https://example.org/0",
    }
    assert members(second) == [("image", Kind.PICTURE, b"")]
    assert members(third) == [("", Kind.REFERENCE, None)]
    assert dict(third.provenance) == {"url": "https://example.org/2"}


def test_columns_that_only_say_they_are_images_are_references(tmp_path: Path) -> None:
    metadata = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    schema = pa.schema([("image", pa.string())], metadata)
    (sample,) = read(write(tmp_path, pa.table({"image": ["a.png"]}, schema)))
    assert members(sample) == [("image", Kind.REFERENCE, None)]


@pytest.mark.parametrize(
    ("feature", "value", "field"),
    [
        ({"img": {"_type": "Image"}}, {"img": "https://x/a.png", "who": "me"}, "turn.img"),
        ([{"img": {"_type": "Image"}}], [{"img": "https://x/a.png"}], "turn[0].img"),
        (
            {"_type": "List", "feature": {"a": {"b": [{"_type": "Image"}]}, "c": {}}},
            [{"c": "text", "a": {"b": ["https://x/a.png"], "c": "text"}}],
            "turn[0].a.b[0]",
        ),
        (
            {"_type": "Sequence", "feature": {"img": {"_type": "Image"}}},
            {"img": ["https://x/a.png"]},
            "turn.img[0]",
        ),
        (
            {"_type": {"_type": "Value"}, "feature": {"_type": "Image"}},
            {"_type": "text", "feature": "https://x/a.png"},
            "turn.feature",
        ),
    ],
)
def test_fields_that_say_they_are_images_are_references_at_any_depth(
    tmp_path: Path, feature: object, value: object, field: str
) -> None:
    metadata = {"huggingface": json.dumps({"info": {"features": {"turn": feature}}})}
    table = pa.table({"turn": [value]}).replace_schema_metadata(metadata)
    (sample,) = read(write(tmp_path, table))
    assert members(sample) == [(field, Kind.REFERENCE, None)]
    assert sample.provenance["ingestgate.location"] == "https://x/a.png"


TEXT = pa.struct([("bytes", pa.string()), ("path", pa.string())])
PLAIN = "P3\n2 2\n255\n" + "17 200 45\n" * 4
BASE64 = base64.b64encode(PICTURES[0] + bytes(1024)).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN, [("image", PLAIN.encode())]),
        ("", [("image", b"")]),
        (BASE64, [("image", PICTURES[0] + bytes(1024))]),
        (f"data:image/png;base64,{BASE64}", [("image", PICTURES[0] + bytes(1024))]),
        (
            f"Image type: x\n{BASE64}",
            [
                ("image", f"Image type: x\n{BASE64}".encode()),
                ("image#1", PICTURES[0] + bytes(1024)),
            ],
        ),
    ],
    ids=["plain", "empty", "base64", "data URI", "another that begins with text"],
)
def test_bytes_of_an_image_may_be_text(
    tmp_path: Path, text: str, expected: list[tuple[str, bytes]]
) -> None:
    for kind in (TEXT, pa.struct([("path", pa.large_string()), ("bytes", pa.large_string())])):
        rows = pa.array([{"bytes": text, "path": "https://x/a.png"}], kind)
        (sample,) = read(write(tmp_path, pa.table({"image": rows})))
        assert members(sample) == [(field, Kind.PICTURE, content) for field, content in expected]
        assert sample.provenance["ingestgate.location"] == "https://x/a.png"


def test_text_without_bytes_is_a_reference(tmp_path: Path) -> None:
    rows = pa.array([{"bytes": None, "path": "a.png"}], TEXT)
    (sample,) = read(write(tmp_path, pa.table({"image": rows})))
    assert members(sample) == [("image", Kind.REFERENCE, None)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"bytes": PLAIN}, ("turn.img", Kind.PICTURE, PLAIN.encode())),
        ({"path": "https://x/a.png"}, ("turn.img", Kind.REFERENCE, None)),
        ({"path": "a.png", "bytes": [1, 2]}, None),
        ({"other": "text"}, None),
    ],
)
def test_a_declared_image_may_lack_fields(
    tmp_path: Path, value: dict[str, object], expected: tuple[str, Kind, bytes | None] | None
) -> None:
    features = {"turn": {"img": {"_type": "Image"}}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"turn": [{"img": value}]}).replace_schema_metadata(metadata)
    (sample,) = read(write(tmp_path, table))
    assert members(sample) == [expected or ("", Kind.REFERENCE, None)]


def test_values_that_python_cannot_hold_do_not_stop_a_shard(tmp_path: Path) -> None:
    text = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())
    nested = pa.StructArray.from_arrays([text], names=["t"])
    table = pa.table(
        {
            "raw": pa.array([PICTURES[0]]),
            "text": text,
            "nested": nested,
            "listed": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), text),
            "ns": pa.array([1_600_000_000_000_000_001], pa.timestamp("ns")),
            "late": pa.array([2**61], pa.timestamp("ms")),
            "took": pa.array([5], pa.duration("ns")),
            "md5": pa.array([bytes(range(16))], pa.binary(16)),
        }
    )
    (sample,) = read(write(tmp_path, table))
    assert sample.members[0].content == PICTURES[0]
    known = dict(sample.provenance)
    late = known.pop("late")
    assert late
    assert known == {
        "text": r"caf\xe9",
        "nested.t": r"caf\xe9",
        "listed[0]": r"caf\xe9",
        "ns": "2020-09-13 12:26:40.000000001",
        "took": "5",
        "md5": bytes(range(16)).hex(),
    }
    kept = rewrite(write(tmp_path, table), tmp_path / "out", lambda sample: True)
    assert pq.read_table(kept).equals(table)


def test_datasets_loads_what_stays_as_it_loaded_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "images": datasets.List(datasets.Image()),
            "label": datasets.ClassLabel(names=["a", "b"]),
            "caption": datasets.Value("string"),
        }
    )
    rows = {
        "image": [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(PICTURES)],
        "images": [[{"bytes": PICTURES[i], "path": None}] * (i % 3) for i in range(12)],
        "label": [i % 2 for i in range(12)],
        "caption": [f"a caption {i}" for i in range(12)],
    }
    before = datasets.Dataset.from_dict(rows, features)
    datasets.disable_progress_bars()
    before.to_parquet(tmp_path / "t.parquet", batch_size=5)
    shard = Shard("t.parquet", str(tmp_path / "t.parquet"), "parquet", 0, "")
    path = rewrite(shard, tmp_path / "out", lambda sample: int(sample.key) % 3 != 1)
    after = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert after.features == features
    left = before.select([i for i in range(12) if i % 3 != 1])
    raw = datasets.Image(decode=False)
    for column in ("label", "caption"):
        assert after[column][:] == left[column][:]
    assert after.cast_column("image", raw)["image"][:] == left.cast_column("image", raw)["image"][:]
    assert after.with_format("arrow")[:]["images"] == left.with_format("arrow")[:]["images"]
    source, written = pq.ParquetFile(tmp_path / "t.parquet"), pq.ParquetFile(path)
    assert written.schema_arrow.equals(source.schema_arrow, check_metadata=True)
    assert written.metadata.metadata == source.metadata.metadata
    assert [written.metadata.row_group(i).num_rows for i in range(3)] == [3, 4, 1]


@pytest.mark.parametrize("codec", ["NONE", "SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4"])
def test_columns_are_written_as_they_were(tmp_path: Path, codec: str) -> None:
    table = pa.table(
        {
            "raw": PICTURES,
            "plain": [str(i) for i in range(12)],
            "delta": pa.array(range(12), pa.int32()),
            "coded": ["x", "y"] * 6,
        }
    )
    shard = write(
        tmp_path,
        table,
        compression={"raw": "NONE", "plain": codec, "delta": codec, "coded": codec},
        use_dictionary=["coded"],
        column_encoding={"delta": "DELTA_BINARY_PACKED"},
        write_statistics=["plain"],
        write_page_index=True,
        store_schema=False,
        row_group_size=5,
    )
    path = rewrite(shard, tmp_path / "out", lambda sample: sample.key != "3")
    source, written = pq.ParquetFile(shard.path).metadata, pq.ParquetFile(path).metadata
    assert written.metadata == source.metadata
    for number in range(4):
        before, after = source.row_group(0).column(number), written.row_group(0).column(number)
        assert after.compression == before.compression
        assert after.encodings == before.encodings
        assert after.has_dictionary_page == before.has_dictionary_page
        assert after.is_stats_set == before.is_stats_set
        assert after.has_offset_index == before.has_offset_index


def test_nothing_of_a_dropped_row_stays_in_a_dictionary(tmp_path: Path) -> None:
    table = pa.table(
        {
            "raw": pa.array(PICTURES).dictionary_encode(),
            "who": pa.array([{"n": f"name {i} !"} for i in range(12)]).cast(
                pa.struct([("n", pa.string())])
            ),
            "tags": pa.array([f"tag {i} !" for i in range(12)]).dictionary_encode(),
        }
    )
    shard = write(tmp_path, table, compression="none")
    path = rewrite(shard, tmp_path / "out", lambda sample: sample.key != "7")
    content = path.read_bytes()
    assert PICTURES[6] in content
    assert PICTURES[7] not in content
    assert b"tag 6 !" in content
    assert b"tag 7 !" not in content
    assert b"name 7 !" not in content
    assert pq.read_schema(path).equals(table.schema)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(1, 12))
def test_any_rows_can_go(tmp_path: Path, keep: list[bool], row_group_size: int) -> None:
    table = pa.table({"image": PICTURES, "n": range(12)})
    shard = write(tmp_path, table, row_group_size=row_group_size)
    path = rewrite(shard, tmp_path / "out", lambda sample: keep[int(sample.key)])
    assert pq.read_table(path).equals(table.filter(pa.array(keep)))
    groups = pq.ParquetFile(path).metadata
    counts = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
    cuts = [keep[i : i + row_group_size] for i in range(0, 12, row_group_size)]
    assert counts == [sum(cut) for cut in cuts if any(cut)]
    content = path.read_bytes()
    rewrite(shard, tmp_path / "out", lambda sample: keep[int(sample.key)])
    assert path.read_bytes() == content


def test_rows_that_share_a_large_value_are_decoded_by_the_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = picture(1) + bytes(1 << 20)
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), pa.array([large]))
    table = pa.table({"image": images, "n": range(200)})
    source = write(tmp_path, table, dictionary_pagesize_limit=1 << 30, store_schema=False)
    assert source.size < 2 << 20
    with row_groups.opened(source) as parquet:
        sizes = [batch.nbytes for batch in row_groups.batches(parquet, 0)]
    assert max(sizes) <= (16 << 20) + 2 * len(large)
    assert sum(sizes) > 200 << 20
    monkeypatch.setattr(row_groups, "MOST_HELD", 40 << 20)
    left = rewrite(source, tmp_path / "out", lambda sample: sample.members[0].position != 7)
    parquet = pq.ParquetFile(left)
    assert parquet.num_row_groups > 3
    assert parquet.read(["n"])["n"].to_pylist() == [n for n in range(200) if n != 7]


def test_ranges_are_row_groups_of_about_the_size(tmp_path: Path) -> None:
    table = pa.table({"image": [np.random.default_rng(i).bytes(1000) for i in range(12)]})
    shard = write(tmp_path, table, row_group_size=2, use_dictionary=False, write_statistics=False)
    works = PARQUET.cut(shard, ReadOptions(range_bytes=4500))
    assert [(work.start, work.stop, work.first) for work in works] == [
        (0, 2, 0),
        (2, 4, 4),
        (4, 6, 8),
    ]
    (whole,) = PARQUET.cut(shard, ReadOptions())
    assert (whole.start, whole.stop) == (0, 6)
    (empty,) = PARQUET.cut(write(tmp_path, table.slice(0, 0)), OPTIONS)
    assert list(PARQUET.read(shard, empty, OPTIONS)) == []


def test_the_digest_of_a_range_binds_its_captions(tmp_path: Path) -> None:
    def digests(captions: list[str]) -> list[str]:
        table = pa.table({"image": PICTURES[:4], "caption": captions})
        shard = write(tmp_path, table, row_group_size=2)
        return [PARQUET.range_sha256(shard, work) for work in PARQUET.cut(shard, OPTIONS)]

    before = digests(["a", "b", "c", "d"])
    assert len(set(before)) == 2
    assert digests(["a", "b", "c", "d"]) == before
    assert digests(["a", "b", "c", "e"])[1] != before[1]
    assert digests(["x", "b", "c", "d"])[0] != before[0]


def test_a_sealed_row_is_whole(tmp_path: Path) -> None:
    schema = pa.schema([("image", IMAGE), ("url", pa.string())], {"note": "kept"})
    rows = [{"image": {"bytes": picture(i, "JPEG"), "path": None}, "url": f"u{i}"} for i in (0, 1)]
    shard = write(tmp_path, pa.Table.from_pylist(rows, schema))
    files = dict(PARQUET.package(shard, read(shard)[1]))
    assert list(files) == ["row.parquet", "image.jpg"]
    assert files["image.jpg"] == rows[1]["image"]["bytes"]  # type: ignore[index]
    row = pq.read_table(io.BytesIO(files["row.parquet"]))
    assert row.to_pylist() == [rows[1]]
    assert row.schema.equals(schema, check_metadata=True)


@pytest.mark.parametrize("damage", ["no footer", "no pages", "no Parquet", "two names"])
def test_damage_is_an_error_that_names_the_shard(tmp_path: Path, damage: str) -> None:
    table = pa.table({"image": PICTURES, "n": range(12)})
    if damage == "two names":
        table = table.rename_columns(["image", "image"])
    shard = write(tmp_path, table, row_group_size=4)
    path = Path(shard.path)
    content = path.read_bytes()
    if damage == "no footer":
        path.write_bytes(content[:-20])
    elif damage == "no pages":
        path.write_bytes(content[:4] + content[400:])
    elif damage == "no Parquet":
        path.write_bytes(b"an ordinary text")
    with pytest.raises(ShardError) as caught:
        read(shard)
    assert str(caught.value).startswith("t.parquet: ")
    assert str(tmp_path) not in str(caught.value)


def test_a_writer_takes_every_row_in_order(tmp_path: Path) -> None:
    shard = write(tmp_path, pa.table({"image": PICTURES}), row_group_size=6)
    first, _ = PARQUET.cut(shard, OPTIONS)
    samples = list(PARQUET.read(shard, first, OPTIONS))
    with PARQUET.rewrite(shard, str(tmp_path / "out")) as writer:
        writer.begin(first)
        writer.keep(samples[0])
        with pytest.raises(ShardError, match="row 1 was passed over"):
            writer.keep(samples[2])
        with pytest.raises(ShardError, match="not what was judged"):
            writer.end(first)
    with PARQUET.rewrite(shard, str(tmp_path / "out")) as writer:
        writer.begin(first)
        for sample in samples:
            writer.keep(sample)
        writer.end(first)
        with pytest.raises(ShardError, match="row group 1 was not decided on"):
            writer.publish()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_field_that_hides_another(tmp_path: Path) -> None:
    texts = pa.array(["a"])
    twice = pa.StructArray.from_arrays([texts, texts], fields=[pa.field("url", pa.string())] * 2)
    shard = write(tmp_path, pa.table({"image": PICTURES[:1], "said": twice, "t": texts}))
    with pytest.raises(ShardError, match="fields of one, have the same name"):
        PARQUET.cut(shard, OPTIONS)


def test_a_list_of_digests_too_short_for_a_picture_is_provenance(tmp_path: Path) -> None:
    digests = pa.array([[b"a" * 16, None, b"b" * 16], [b"c" * 16] * 64], pa.list_(pa.binary(16)))
    few, many = read(write(tmp_path, pa.table({"image": PICTURES[:2], "md5": digests})))
    assert few.provenance == {"md5[0]": "61" * 16, "md5[2]": "62" * 16}
    assert (many.provenance, [member.field for member in many.members]) == ({}, ["image", "md5"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2**32 - 1], pa.uint32()),
        ([1001, 2002], pa.timestamp("ns")),
        ([[1001], [2002]], pa.list_(pa.timestamp("ns", "UTC"))),
        ([{"n": 1}, {"n": 2}], pa.struct([("n", pa.uint32())])),
        ([1, 2], pa.int64()),
    ],
)
def test_types_stay_whatever_version_a_footer_says(
    tmp_path: Path, values: list[Any], kind: pa.DataType
) -> None:
    table = pa.table({"image": PICTURES[:2], "n": pa.array(values, kind)})
    shard = write(tmp_path, table, store_schema=False)
    content = bytearray(Path(shard.path).read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    assert content[footer : footer + 2] == b"\x15\x04"
    content[footer + 1] = 2  # version 1 and not 2
    Path(shard.path).write_bytes(content)
    assert pq.ParquetFile(shard.path).metadata.format_version == "1.0"
    written = rewrite(shard, tmp_path / "out", lambda sample: sample.key == "1")
    got = pq.read_table(written)
    assert got["n"].type == pq.read_table(shard.path)["n"].type
    assert got["n"].to_pylist() == table["n"].to_pylist()[1:]
    same = kind == pa.int64()
    assert pq.ParquetFile(written).metadata.format_version == ("1.0" if same else "2.6")
