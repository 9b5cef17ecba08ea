"""Image folders: every file judged once, with the rows that name it."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
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

from ingestgate.assets.containers.container import ReadOptions, SampleContainer
from ingestgate.assets.containers.image_folder import ImageFolder
from ingestgate.assets.errors import ShardError
from ingestgate.assets.provenance import SIDECAR_ERROR
from ingestgate.assets.shard import Kind, Sample, Shard

FOLDER = ImageFolder()
OPTIONS = ReadOptions()
Tree = Mapping[str, bytes]


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


A, B, C, D = (picture(seed) for seed in range(4))


def make(root: Path, tree: Tree) -> Shard:
    folder = root / "in" / "cats"
    for number, (name, content) in enumerate(tree.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18 + number))
    return shard(folder)


def shard(folder: Path) -> Shard:
    listing = repr(sorted((str(p), p.lstat().st_mtime_ns) for p in folder.rglob("*")))
    identity = hashlib.sha256(listing.encode()).hexdigest()
    return Shard("cats", str(folder), "folder", 0, identity)


def tree_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read(source: Shard, options: ReadOptions = OPTIONS) -> list[Sample]:
    return [s for work in FOLDER.cut(source, options) for s in FOLDER.read(source, work, options)]


def rewrite(
    source: Shard,
    output: Path,
    keep: Callable[[Sample], bool] = lambda sample: True,
    options: ReadOptions = OPTIONS,
) -> Path:
    with FOLDER.rewrite(source, str(output)) as writer:
        for work in FOLDER.cut(source, options):
            writer.begin(work)
            for sample in FOLDER.read(source, work, options):
                (writer.keep if keep(sample) else writer.drop)(sample)
            writer.end(work)
        (published,) = writer.publish()
    folder = output / "cats"
    tree = tree_of(folder)
    listing = b"".join(
        f"{hashlib.sha256(tree[name]).hexdigest()}  {name}\n".encode()
        for name in sorted(tree, key=str.encode)
    )
    size = sum(map(len, tree.values()))
    assert published == ("cats", hashlib.sha256(listing).hexdigest(), size)
    assert [path.name for path in output.iterdir()] == ["cats"]
    return folder


def groups(source: Shard) -> list[dict[str, Kind]]:
    return [{member.name: member.kind for member in sample.members} for sample in read(source)]


def as_metadata(suffix: str, rows: list[dict[str, Any]]) -> bytes:
    if suffix == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if suffix == "jsonl":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def metadata_rows(suffix: str, content: bytes) -> list[dict[str, Any]]:
    if suffix == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    if suffix == "jsonl":
        return [json.loads(line) for line in content.splitlines()]
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def test_it_is_a_sample_container() -> None:
    assert isinstance(FOLDER, SampleContainer)


def test_every_file_is_in_one_sample(tmp_path: Path) -> None:
    source = make(
        tmp_path,
        {
            "b/2.jpg": A,
            "b/2.txt": b"a caption",
            "b/2.jpg.json": b'{"url": "https://example.org/2"}',
            "a/1.png": B,
            "a/1.txt": b"BMW at dusk",
            "a/2.txt": b"of no picture here",
            "a/picture.txt": C,
            "LICENSE": b"text",
            "README.md": b"# cats",
            "clip.mp4": b"\x00\x00\x00\x18ftypmp42",
            ".DS_Store": b"\x00\x00",
            "a/._1.png": D,
            ".cache/metadata.csv": b"file_name\n1.png\n",
            "metadata.csv": b"no,names\n1,2\n",
            "empty.jpg": b"",
        },
    )
    assert groups(source) == [
        {".DS_Store": Kind.SKIPPED},
        {".cache/metadata.csv": Kind.SKIPPED},
        {"LICENSE": Kind.OTHER},
        {"README.md": Kind.SIDECAR},
        {"a/._1.png": Kind.SKIPPED},
        {"a/1.png": Kind.PICTURE, "a/1.txt": Kind.SIDECAR},
        {"a/2.txt": Kind.SIDECAR},
        {"a/picture.txt": Kind.PICTURE},
        {"b/2.jpg": Kind.PICTURE, "b/2.jpg.json": Kind.SIDECAR, "b/2.txt": Kind.SIDECAR},
        {"clip.mp4": Kind.OTHER},
        {"empty.jpg": Kind.PICTURE},
        {"metadata.csv": Kind.SIDECAR},
    ]
    samples = {sample.key: sample for sample in read(source)}
    assert samples["b/2.jpg"].provenance == {"url": "https://example.org/2"}
    positions = [member.position for sample in read(source) for member in sample.members]
    assert positions == list(range(15))


@pytest.mark.parametrize(
    ("names", "together"),
    [
        (["a.info.json", "a.jpg", "b.jpg"], [["a.info.json", "a.jpg"], ["b.jpg"]]),
        (["a.jpg.info.json", "a.jpg"], [["a.jpg", "a.jpg.info.json"]]),
        (["a.x.y.json", "a.webp"], [["a.webp", "a.x.y.json"]]),
        (
            ["a.info.json", "a.info.jpg", "a.jpg"],
            [["a.info.jpg", "a.info.json"], ["a.jpg"]],
        ),
        (
            ["a.json", "a.left.jpg", "a.right.jpg", "ab.jpg"],
            [["a.json", "a.left.jpg", "a.right.jpg"], ["ab.jpg"]],
        ),
        (["a.json", "a.jpg", "a.left.jpg"], [["a.jpg", "a.json"], ["a.left.jpg"]]),
        (["Mr. A.jpg", "Mr. B.json"], [["Mr. A.jpg"], ["Mr. B.json"]]),
        (["d.e/a.json", "d.jpg"], [["d.e/a.json"], ["d.jpg"]]),
        (["a.JSON", "a.jpg"], [["a.JSON", "a.jpg"]]),
    ],
)
def test_sidecars_belong_to_the_file_that_is_called_most_like_them(
    tmp_path: Path, names: list[str], together: list[list[str]]
) -> None:
    url = b'{"webpage_url": "https://example.org/a"}'
    tree = {name: url if name.lower().endswith("json") else picture(3) for name in names}
    samples = read(make(tmp_path, tree))
    assert [[member.name for member in sample.members] for sample in samples] == together
    for sample in samples:
        has_sidecar = any(member.name.lower().endswith("json") for member in sample.members)
        assert (list(sample.provenance.values()) == ["https://example.org/a"]) is has_sidecar


def test_a_sidecar_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (sample,) = read(make(tmp_path, {"1.jpg": A, "1.json": b"{"}))
    assert SIDECAR_ERROR in sample.provenance


def test_two_sidecars_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    (sample,) = read(make(tmp_path, {"1.jpg": A, "1.json": b"{", "1.jpg.json": b"{"}))
    assert SIDECAR_ERROR in sample.provenance


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_rows_tie_files_and_go_with_them(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [
        {"file_name": "a.png", "mask_file_name": "masks/a.png", "text": 'one, "two"\nthree'},
        {"file_name": "b.png", "mask_file_name": "masks/b.png", "text": "four"},
        {"file_name": "gone.png", "mask_file_name": None, "text": "five"},
        {"file_name": "b.png", "mask_file_name": "masks/b.png", "text": "six"},
    ]
    content = as_metadata(suffix, rows)
    files = {"a.png": A, "masks/a.png": B, "b.png": C, "masks/b.png": D}
    source = make(tmp_path, {**files, f"metadata.{suffix}": content})
    first, second, third = samples = read(source)
    assert [[member.name for member in sample.members] for sample in samples] == [
        ["a.png", "masks/a.png"],
        ["b.png", "masks/b.png"],
        ["gone.png"],
    ]
    assert third.members[0].kind is Kind.REFERENCE
    assert first.provenance["text"] == 'one, "two"\nthree'
    assert second.provenance == {
        "file_name": "b.png",
        "mask_file_name": "masks/b.png",
        "text[0]": "four",
        "text[1]": "six",
    }
    assert third.provenance["file_name"] == "gone.png"

    whole = rewrite(source, tmp_path / "whole")
    assert tree_of(whole) == tree_of(Path(source.path))
    without = rewrite(source, tmp_path / "out", lambda sample: sample.key != "b.png")
    left = tree_of(without)
    assert metadata_rows(suffix, left.pop(f"metadata.{suffix}")) == metadata_rows(
        suffix, as_metadata(suffix, [rows[0], rows[2]])
    )
    assert left == {"a.png": A, "masks/a.png": B}

    files = dict(FOLDER.package(source, second))
    assert metadata_rows(suffix, files.pop(f"metadata.{suffix}")) == metadata_rows(
        suffix, as_metadata(suffix, [rows[1], rows[3]])
    )
    assert files == {"b.png": C, "masks/b.png": D}


def test_names_are_relative_to_the_metadata_file(tmp_path: Path) -> None:
    source = make(
        tmp_path,
        {
            "metadata.jsonl": b'{"file_names": ["train/a.png", "x\\\\b.png"], "n": 1}\n'
            b'{"deep": [{"file_name": "./train/../c.png"}]}\n{"n": 4}\n',
            "train/metadata.csv": b"file_name,split\na.png,train\n../d.png,train\n/etc/x.png,no\n",
            "train/a.png": A,
            "x/b.png": B,
            "c.png": C,
            "d.png": D,
        },
    )
    samples = {sample.key: sample for sample in read(source)}
    assert {key: [m.name for m in sample.members] for key, sample in samples.items()} == {
        "c.png": ["c.png"],
        "d.png": ["d.png"],
        "train/a.png": ["train/a.png", "x/b.png"],
        "/etc/x.png": ["/etc/x.png"],
        "metadata.jsonl#2": ["metadata.jsonl#2"],
    }
    assert samples["train/a.png"].provenance["split"] == "train"
    assert samples["d.png"].provenance == {"file_name": "../d.png", "split": "train"}
    assert samples["/etc/x.png"].members[0].content is None
    left = tree_of(rewrite(source, tmp_path / "out", lambda sample: sample.key[:2] not in "c./e"))
    assert left["train/metadata.csv"] == b"file_name,split\na.png,train\n../d.png,train\n"
    assert len(left["metadata.jsonl"].splitlines()) == 2


def test_links_are_skipped_and_never_admitted(tmp_path: Path) -> None:
    source = make(tmp_path, {"a.png": A, "deep/b.png": B})
    folder = Path(source.path)
    secret = tmp_path / "secret.png"
    secret.write_bytes(C)
    (folder / "out.png").symlink_to(secret)
    (folder / "in.png").symlink_to(folder / "a.png")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    source = shard(folder)
    skipped = [s.members[0] for s in read(source) if s.members[0].kind is Kind.SKIPPED]
    assert [m.name for m in skipped] == ["dangling.png", "in.png", "loop", "out.png", "pipe.png"]
    assert {member.content for member in skipped} == {None}
    with pytest.raises(ShardError, match=r"dangling.png is a link"):
        rewrite(source, tmp_path / "out")
    left = rewrite(source, tmp_path / "out", lambda s: s.members[0].kind is Kind.PICTURE)
    assert tree_of(left) == {"a.png": A, "deep/b.png": B}


def test_what_is_too_large_to_be_read_is_held_unread(tmp_path: Path) -> None:
    source = make(tmp_path, {"a.png": A, "b.png": B, "c.png": C, "c.txt": b"c"})
    os.truncate(Path(source.path) / "b.png", (1 << 30) + 1)
    os.truncate(Path(source.path) / "c.txt", 1 << 30)  # by itself it could be read
    source = shard(Path(source.path))
    found = {s.key: [(m.kind, m.content is None) for m in s.members] for s in read(source)}
    assert found["a.png"] == [(Kind.PICTURE, False)]
    assert found["b.png"] == [(Kind.OTHER, True)]
    assert found["c.png"] == [(Kind.OTHER, True), (Kind.OTHER, True)]
    with pytest.raises(
        ShardError, match=r"b\.png is a link, no file or too large, and cannot be admitted"
    ):
        rewrite(source, tmp_path / "out", lambda s: s.key == "b.png")


def test_a_metadata_file_that_is_too_large(tmp_path: Path) -> None:
    source = make(tmp_path, {"a.png": A, "metadata.csv": b"file_name\na.png\n"})
    os.truncate(Path(source.path) / "metadata.csv", (1 << 30) + 1)
    with pytest.raises(ShardError, match=r"cats/metadata\.csv: has more than 1024 MiB"):
        read(shard(Path(source.path)))


def test_an_untouched_folder_comes_out_as_it_was(tmp_path: Path) -> None:
    source = make(
        tmp_path,
        {"a/b/c.png": A, "a/x.txt": b"x", ".hidden": b"h", "metadata.csv": b"file_name\na/b/c.png"},
    )
    (Path(source.path) / "a/x.txt").chmod(0o640)
    output = rewrite(source, tmp_path / "out")
    assert tree_of(output) == tree_of(Path(source.path))
    for name in tree_of(output):
        before, after = (Path(source.path) / name).stat(), (output / name).stat()
        assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)


def test_an_earlier_output_is_replaced_as_a_whole(tmp_path: Path) -> None:
    source = make(tmp_path, {"a.png": A, "b.png": B})
    rewrite(source, tmp_path / "out")
    left = rewrite(source, tmp_path / "out", lambda sample: sample.key == "b.png")
    assert tree_of(left) == {"b.png": B}
    with FOLDER.rewrite(source, str(tmp_path / "out")) as writer:
        writer.begin(FOLDER.cut(source, OPTIONS)[0])
        writer.keep(read(source)[0])
        with pytest.raises(ShardError, match="range 0 was not decided on"):
            writer.publish()
    assert tree_of(tmp_path / "out") == {"cats/b.png": B}


def test_ranges_are_of_about_the_size_and_gapless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path, {f"{i:02d}.bin": bytes(100) for i in range(10)})
    works = FOLDER.cut(source, ReadOptions(range_bytes=250))
    assert [(work.start, work.stop) for work in works] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    monkeypatch.setattr("ingestgate.assets.containers.image_folder._FILES_PER_RANGE", 4)
    assert [work.stop for work in FOLDER.cut(source, OPTIONS)] == [4, 8, 10]
    assert [work.total for work in FOLDER.cut(source, OPTIONS)] == [3, 3, 3]


def test_the_digest_of_a_range_binds_the_metadata(tmp_path: Path) -> None:
    def digest(caption: bytes) -> str:
        source = make(
            tmp_path, {"a.png": A, "metadata.csv": b"file_name,text\na.png," + caption + b"\n"}
        )
        path = Path(source.path) / "metadata.csv"
        os.utime(path, ns=(1, int.from_bytes(caption, "big")))
        source = shard(Path(source.path))
        return FOLDER.range_sha256(source, FOLDER.cut(source, OPTIONS)[0])

    assert digest(b"x") == digest(b"x")
    assert digest(b"x") != digest(b"y")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("metadata.parquet", b"an ordinary text", "cannot be read as Parquet"),
        ("metadata.csv", b'file_name,t\na.png,5" x\n', "a quote that RFC 4180 does not allow"),
        ("metadata.jsonl", b'{"file_name": "a.png"\n', "not one JSON object"),
    ],
)
def test_damaged_metadata_is_an_error_that_names_it(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    source = make(tmp_path, {"a.png": A, name: content})
    with pytest.raises(ShardError, match=problem) as caught:
        FOLDER.cut(source, OPTIONS)
    assert str(caught.value).startswith(f"cats/{name}: ")


def test_metadata_may_not_hold_pictures(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"file_name": ["a.png"], "thumbnail": [B]}), sink)
    source = make(tmp_path, {"a.png": A, "metadata.parquet": sink.getvalue()})
    with pytest.raises(ShardError, match="holds bytes itself"):
        FOLDER.cut(source, OPTIONS)


def test_metadata_in_which_a_column_hides_another(tmp_path: Path) -> None:
    names, urls = pa.array(["a.png"]), pa.array(["https://a.example/1"])
    sink = io.BytesIO()
    pq.write_table(pa.table([names, urls, urls], ["file_name", "url", "url"]), sink)
    source = make(tmp_path, {"a.png": A, "metadata.parquet": sink.getvalue()})
    with pytest.raises(ShardError, match=r"^cats/metadata.parquet: two of.*same name"):
        FOLDER.cut(source, OPTIONS)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_ties_make_a_partition_that_survives_any_choice(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = [f"{i}.png" for i in range(6)]
    rows = data.draw(st.lists(st.lists(st.sampled_from([*names, "gone.png"]), max_size=3)))
    lines = [json.dumps({"file_names": row, "row": i}) for i, row in enumerate(rows)]
    tree = dict.fromkeys(names, A) | {"metadata.jsonl": "\n".join(lines).encode()}
    root = tmp_path_factory.mktemp("ties")
    source = make(root, tree)
    samples = read(source)
    seen = [member.name for sample in samples for member in sample.members]
    assert len(seen) == len(set(seen))
    assert {*names} <= {*seen}
    where = {m.name: sample.key for sample in samples for m in sample.members}
    assert all(len({where[name] for name in row}) <= 1 for row in rows)
    firsts = [sample.members[0].position for sample in samples]
    assert firsts == sorted(firsts)
    keep = {sample.key: data.draw(st.booleans()) for sample in samples}
    left = tree_of(rewrite(source, root / "out", lambda sample: keep[sample.key]))
    kept_rows = [
        line
        for number, (line, row) in enumerate(zip(lines, rows, strict=True))
        if keep[where[row[0]] if row else f"metadata.jsonl#{number}"]
    ]
    content = left.pop("metadata.jsonl") if rows else b""
    assert content.decode().split() == "\n".join(kept_rows).split()
    assert {*left} - {"metadata.jsonl"} == {name for name in names if keep[where[name]]}


def test_datasets_loads_what_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets.disable_progress_bars()
    rows = [{"file_name": f"{i}.png", "text": f"t{i}"} for i in range(4)]
    tree = {f"{i}.png": picture(i) for i in range(4)}
    source = make(tmp_path, {**tree, "metadata.jsonl": as_metadata("jsonl", rows)})
    left = rewrite(source, tmp_path / "out", lambda sample: sample.key != "2.png")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(left), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert loaded["text"][:] == ["t0", "t1", "t3"]
    assert np.array_equal(
        np.asarray(loaded[2]["image"]), np.asarray(Image.open(io.BytesIO(picture(3))))
    )
