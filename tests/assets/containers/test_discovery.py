"""Inputs resolved to shards: formats, names, identities, and what is refused."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestgate.assets import storage
from ingestgate.assets.containers import discovery
from ingestgate.assets.containers.container import Discovery, ReadOptions
from ingestgate.assets.containers.copying import ShardCopy
from ingestgate.assets.containers.discovery import discover
from ingestgate.assets.containers.registry import container
from ingestgate.assets.containers.webdataset import WebDataset
from ingestgate.assets.errors import InputError, ShardError, UsageError
from tests.archives import JPEG, make_tar, read_all
from tests.object_store import ROOT_VARIABLE

TAR = make_tar([("a.jpg", JPEG)])
IMAGES = pa.table({"image": pa.array([{"bytes": JPEG, "path": "a.jpg"}])})
LINKS = pa.table({"url": ["http://example.org/a"], "text": ["a"]})
TRIO = LINKS.append_column("key", pa.array(["0"])).append_column("status", pa.array(["success"]))


def write(root: Path, *names: str) -> None:
    """Writes a file under each name, with content that fits it."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            kinds = {"links": LINKS, "trio": TRIO, "plain": pa.table({"n": [1]})}
            table = next((t for kind, t in kinds.items() if kind in path.stem), IMAGES)
            pq.write_table(table, path)
        else:
            path.write_bytes(JPEG if path.suffix == ".jpg" else TAR)


def formats(found: Discovery) -> dict[str, str]:
    return {shard.name: shard.format for shard in found.shards}


def test_formats_by_name_and_content(tmp_path: Path) -> None:
    write(tmp_path, "a.tar", "b.tar.gz", "c.TGZ", "images.parquet", "links.parquet")
    write(tmp_path, "l.csv", "l.jsonl", "trio.tar", "trio.parquet", "odd.tar", "odd.parquet")
    assert formats(discover([f"{tmp_path}/*"])) == {
        "a.tar": "webdataset",
        "b.tar.gz": "webdataset",
        "c.TGZ": "webdataset",
        "images.parquet": "parquet",
        "l.csv": "url-manifest",
        "l.jsonl": "url-manifest",
        "links.parquet": "url-manifest",
        "odd.parquet": "parquet",
        "odd.tar": "webdataset",
        "trio.tar": "img2dataset",
    }


@pytest.mark.parametrize("pattern", ["*.tar", "*", "0.tar", ""])
def test_a_trio_is_one_shard_however_it_is_named(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, "0.tar", "0.parquet", "0_stats.json")
    found = discover([f"{tmp_path}/{pattern}"])
    (shard,) = found.shards
    assert (shard.name, shard.format) == ("0.tar", "img2dataset")
    assert list(shard.parts) == [f"{tmp_path}/0.parquet", f"{tmp_path}/0_stats.json"]
    assert shard.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert found.left_behind == []


def test_a_directory_of_shards_stands_for_all_of_them(tmp_path: Path) -> None:
    write(tmp_path, "train/0.tar", "train/1.tar", "val/0.tar", "README.md", ".cache/x.tar")
    found = discover([str(tmp_path)])
    assert found.root == str(tmp_path)
    assert [shard.name for shard in found.shards] == ["train/0.tar", "train/1.tar", "val/0.tar"]
    assert found.left_behind == [".cache/x.tar", "README.md"]


def test_a_directory_of_pictures_is_one_folder(tmp_path: Path) -> None:
    write(tmp_path, "p/a.jpg", "p/x/b.jpg", "p/metadata.parquet", "p/notes.csv", "p/README.md")
    found = discover([f"{tmp_path}/p/"])
    (shard,) = found.shards
    assert (found.root, shard.name, shard.format) == (str(tmp_path), "p", "folder")
    assert (shard.path, list(shard.parts)) == (f"{tmp_path}/p", [])
    assert shard.size == sum(p.stat().st_size for p in (tmp_path / "p").rglob("*") if p.is_file())
    assert found.left_behind == []


@pytest.mark.parametrize("shard", ["0.tar", "0.parquet"])
def test_pictures_and_shards_together_have_to_be_told_apart(tmp_path: Path, shard: str) -> None:
    write(tmp_path, "a.jpg", shard)
    with pytest.raises(InputError, match="holds both pictures and shards"):
        discover([str(tmp_path)])
    assert len(discover([f"{tmp_path}/{shard}"]).shards) == 1
    assert formats(discover([str(tmp_path)], "folder")) == {tmp_path.name: "folder"}


def test_patterns_that_match_directories(tmp_path: Path) -> None:
    write(tmp_path, "in/cats/a.jpg", "in/dogs/b.jpg", "in/tars/0.tar")
    found = discover([f"{tmp_path}/in/*"])
    assert found.root == f"{tmp_path}/in"
    assert formats(found) == {"cats": "folder", "dogs": "folder", "tars/0.tar": "webdataset"}


def test_the_common_root_of_several_inputs(tmp_path: Path) -> None:
    write(tmp_path, "a/x/0.tar", "a/y/0.tar", "ab/0.tar")
    first = discover([f"{tmp_path}/a/x/*.tar", f"{tmp_path}/a/y/0.tar"])
    assert (first.root, [s.name for s in first.shards]) == (
        f"{tmp_path}/a",
        ["x/0.tar", "y/0.tar"],
    )
    second = discover([f"{tmp_path}/a/**/*.tar", f"{tmp_path}/ab/0.tar"])
    assert second.root == str(tmp_path)
    assert [s.name for s in second.shards] == ["a/x/0.tar", "a/y/0.tar", "ab/0.tar"]


def test_relative_inputs_and_repeated_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "in/0.tar")
    monkeypatch.chdir(tmp_path)
    found = discover(["in/*.tar", "in/0.tar", str(tmp_path / "in")])
    assert [(shard.name, shard.path) for shard in found.shards] == [
        ("0.tar", f"{tmp_path}/in/0.tar")
    ]


def test_a_name_with_brackets_that_is_there_is_meant_literally(tmp_path: Path) -> None:
    write(tmp_path, "in[1]/0.tar", "in1/1.tar")
    found = discover([f"{tmp_path}/in[1]"])
    assert (found.root, formats(found)) == (f"{tmp_path}/in[1]", {"0.tar": "webdataset"})
    assert formats(discover([f"{tmp_path}/in[1]/0.tar"])) == {"0.tar": "webdataset"}


@pytest.mark.parametrize("pattern", ["missing.tar", "*.zip", "empty"])
def test_what_matches_nothing_is_an_error_that_names_it(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=pattern.replace("*", r"\*")):
        discover([f"{tmp_path}/{pattern}"])


@pytest.mark.parametrize("name", ["README.md", "a.jpg", "plain.parquet"])
def test_a_named_file_of_no_known_format_is_an_error(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    with pytest.raises(InputError, match=rf"{name}: is of no known format"):
        discover([f"{tmp_path}/{name}"])


def test_a_directory_without_anything_known(tmp_path: Path) -> None:
    write(tmp_path, "README.md")
    with pytest.raises(InputError, match="holds neither shards nor pictures"):
        discover([str(tmp_path)])


def test_a_damaged_parquet_file_is_a_shard_that_names_itself_when_it_is_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no more")
    (shard,) = discover([str(tmp_path)]).shards
    with pytest.raises(ShardError, match=r"^x\.parquet: cannot be read as Parquet"):
        container(shard.format).cut(shard, ReadOptions())
    (tmp_path / "x.tar").write_bytes(TAR)
    assert formats(discover([f"{tmp_path}/*.tar"])) == {"x.tar": "img2dataset"}


def test_a_said_format_holds_for_every_input(tmp_path: Path) -> None:
    write(tmp_path, "in/0.tar", "in/0.parquet", "in/0_stats.json", "in/x.bin")
    assert formats(discover([f"{tmp_path}/in"], "webdataset")) == {"0.tar": "webdataset"}
    assert formats(discover([f"{tmp_path}/in/x.bin"], "webdataset")) == {"x.bin": "webdataset"}
    assert formats(discover([f"{tmp_path}/in/0*"], "img2dataset")) == {"0.tar": "img2dataset"}
    assert formats(discover([f"{tmp_path}/in"], "parquet")) == {"0.parquet": "parquet"}
    with pytest.raises(InputError, match="is a file; the format 'folder' takes directories"):
        discover([f"{tmp_path}/in/0.tar"], "folder")
    with pytest.raises(InputError, match="has no Parquet file of the same name"):
        discover([f"{tmp_path}/in/x.bin"], "img2dataset")
    with pytest.raises(UsageError, match=r"'tarball' is not a format; known formats: .*webdataset"):
        discover([f"{tmp_path}/in"], "tarball")


def test_a_shard_inside_a_folder_that_is_an_input_too(tmp_path: Path) -> None:
    write(tmp_path, "p/a.jpg", "p/x/b.jpg")
    with pytest.raises(InputError, match="lies inside the image folder"):
        discover([f"{tmp_path}/p", f"{tmp_path}/p/x"])


def test_links_are_followed_to_shards_and_not_out_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "real/x.tar", "p/a.jpg", "s/0.tar")
    for name in ("p", "s"):
        (tmp_path / name / "linked").symlink_to(tmp_path / "real")
        (tmp_path / name / "gone").symlink_to(tmp_path / "nowhere")
    assert formats(discover([f"{tmp_path}/p"])) == {"p": "folder"}
    found = discover([f"{tmp_path}/s"])
    assert formats(found) == {"0.tar": "webdataset", "linked/x.tar": "webdataset"}
    assert found.left_behind == ["gone"]
    (shard,) = discover([f"{tmp_path}/p"]).shards
    assert discovery.identity_of(str(tmp_path), discovery.files_of(shard)) == shard.identity


def test_identity_changes_with_any_file_of_the_shard(tmp_path: Path) -> None:
    write(tmp_path, "0.tar", "0.parquet", "0_stats.json", "p/a.jpg", "p/metadata.csv")

    def identities() -> list[str]:
        return [
            shard.identity
            for pattern in ("0.tar", "p")
            for shard in discover([f"{tmp_path}/{pattern}"]).shards
        ]

    before = identities()
    assert identities() == before
    for name, changed in (("0_stats.json", 0), ("0.tar", 0), ("p/metadata.csv", 1)):
        status = (tmp_path / name).stat()
        os.utime(tmp_path / name, ns=(0, status.st_mtime_ns + 1))
        now = identities()
        assert [a != b for a, b in zip(before, now, strict=True)] == [changed == 0, changed == 1]
        before = now


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.tar")
    (tmp_path / name).write_bytes(TAR)
    with pytest.raises(InputError, match="not UTF-8"):
        discover([f"{tmp_path}/*.tar"])


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_name_with_a_line_break_is_refused(tmp_path: Path, end: str) -> None:
    write(tmp_path, f"shards/a{end}b.tar", f"photos/below/a{end}b.jpg", f"of{end}them/a.jpg")
    for pattern in ("shards/*.tar", "photos", "of*"):
        with pytest.raises(InputError, match=r"\\[nr].*: the name has a line break; rename it"):
            discover([f"{tmp_path}/{pattern}"])


def test_a_trio_with_a_line_break_in_its_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "trio\n0.tar", "trio\n0.parquet")
    with pytest.raises(InputError, match="has a line break"):
        discover([str(tmp_path)])


def test_credentials_are_not_shown() -> None:
    assert discovery.shown("s3://key:secret@bucket/x") == "s3://bucket/x"
    assert discovery.shown("/data/a@b.tar") == "/data/a@b.tar"


def test_no_inputs() -> None:
    with pytest.raises(InputError, match="no input was given"):
        discover([])


@pytest.mark.parametrize("store", ["teststore://bucket", "testtree://host"])
def test_other_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for name in ("in/0.tar", "in/sub/1.tar", "in/trio.tar", "in/trio_stats.json", "in/README"):
        storage.write_bytes(f"{store}/{name}", TAR)
    storage.write_bytes(f"{store}/in/trio.parquet", b"")
    expected = {"0.tar": "webdataset", "sub/1.tar": "webdataset", "trio.tar": "img2dataset"}
    found = discover([f"{store}/in"])
    assert (found.root, formats(found), found.left_behind) == (
        f"{store}/in",
        expected,
        ["README"],
    )
    assert formats(discover([f"{store}/in/*.tar"])) == {
        name: format for name, format in expected.items() if "/" not in name
    }
    shard = found.shards[0]
    (sample,) = read_all(WebDataset(), shard)
    with ShardCopy(shard, f"{store}/out") as copy:
        assert read_all(WebDataset(), copy.shard) == [sample]
        copy.publish()
    with WebDataset().rewrite(shard, f"{store}/again") as writer:
        writer.keep(sample)
        writer.publish()
    for root in ("out", "again"):
        assert storage.read_bytes(f"{store}/{root}/0.tar") == TAR


def test_buckets_have_no_common_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for bucket in ("a", "b"):
        storage.write_bytes(f"teststore://{bucket}/0.tar", TAR)
    with pytest.raises(InputError, match="different buckets"):
        discover(["teststore://a/0.tar", "teststore://b/*.tar"])
