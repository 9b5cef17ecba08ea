from pathlib import Path

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.assets.receipts import Receipt, receipt_path, write_receipt
from ingestgate.assets.shard import Shard
from ingestgate.pipeline.overlap import refuse_nested, refuse_overlap

AROUND = "lies where the input"
INSIDE = "lies in"


@pytest.mark.parametrize(
    ("pattern", "folder", "place"),
    [
        ("/data", "/data/out", AROUND),
        ("/data/", "/data/out", AROUND),
        ("/data/*", "/data/out", AROUND),
        ("/data/o[ux]t", "/data/out", AROUND),
        ("/data/*", "/data/out/deep", AROUND),
        ("/data/**/*.tar", "/data/out", AROUND),
        ("/*/in/**", "/data/in/a/out", AROUND),
        ("/data/*/*.tar", "/data/out", AROUND),
        ("/data/out/*.tar", "/data/out", INSIDE),
        ("/data/out", "/data/out", INSIDE),
        ("/data/out/a.tar", "/data/out", INSIDE),
        ("gs://b/**/*.tar", "gs://b/out", AROUND),
        ("gs://b/out/*.tar", "gs://b/out", INSIDE),
        ("/data/*.tar", "/data/out", ""),
        ("/data/in", "/data/in2", ""),
        ("/data/in/*.tar", "/data/in2", ""),
        ("/data/in*/*.tar", "/data/out", ""),
        ("/data/2025-*", "/data/out", ""),
        ("gs://a/**/*.tar", "gs://b/out", ""),
        ("/b/*", "gs://b/out", ""),
    ],
)
def test_which_lies_in_which(pattern: str, folder: str, place: str) -> None:
    if not place:
        refuse_overlap([pattern], {folder: "output"})
        return
    with pytest.raises(UsageError, match=place) as refused:
        refuse_overlap(["/elsewhere/*", pattern], {folder: "output"})
    assert pattern in str(refused.value)
    assert f"{folder}, the output" in str(refused.value)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "landing")
    with pytest.raises(UsageError, match=AROUND):
        refuse_overlap([f"{tmp_path}/link/**/*.tar"], {f"{tmp_path}/landing/out": "output"})
    with pytest.raises(UsageError, match=INSIDE):
        refuse_overlap([f"{tmp_path}/landing/*.tar"], {f"{tmp_path}/link": "output"})


def test_a_name_with_brackets_that_is_there_is_meant_literally(tmp_path: Path) -> None:
    (tmp_path / "in[ab]").mkdir()
    refuse_overlap([f"{tmp_path}/in[ab]"], {f"{tmp_path}/ina": "output"})
    with pytest.raises(UsageError, match=AROUND):
        refuse_overlap([f"{tmp_path}/in[ab]"], {f"{tmp_path}/in[ab]/out": "output"})


def test_credentials_are_not_shown() -> None:
    with pytest.raises(UsageError) as refused:
        refuse_overlap(["s3://me:secret@b/**"], {"s3://me:secret@b/out": "output"})
    assert "secret" not in str(refused.value)


def _committed(evidence: Path, name: str, format: str) -> None:
    receipt = Receipt(name, format, "i", 1, "c", 1, "l", [""], {}, [], "", {}, "", "")
    write_receipt(str(evidence), receipt)


@pytest.mark.parametrize(
    ("format", "name", "committed", "lies"),
    [
        ("folder", "a", "a/b", "is an image folder around a/b, "),
        ("webdataset", "a/b/0.tar", "a", "lies inside the image folder a, "),
        ("folder", "a/b", "a/b", ""),
        ("webdataset", "ab/0.tar", "a", ""),
        ("folder", "a", "ab", ""),
        ("webdataset", "a", "a/b", ""),
    ],
)
def test_shards_inside_and_around_image_folders_of_earlier_runs(
    tmp_path: Path, format: str, name: str, committed: str, lies: str
) -> None:
    _committed(tmp_path, committed, "folder")
    planned = [Shard(name, f"/{name}", format, 1, "j"), Shard("c", "/c", format, 1, "k")]
    if not lies:
        refuse_nested(planned, str(tmp_path))
        return
    with pytest.raises(UsageError, match=f"^{name}: {lies}which an earlier run") as refused:
        refuse_nested(planned, str(tmp_path))
    left = f"{receipt_path(str(tmp_path), committed)} and {tmp_path}/ledger/{committed}.parts"
    assert str(refused.value).endswith(f"remove it from the output, with {left}")


def test_what_lies_below_a_file_of_an_earlier_run_is_not_inside_it(tmp_path: Path) -> None:
    _committed(tmp_path, "a", "webdataset")  # a store takes both names
    planned = [Shard("a/0.tar", "/a/0.tar", "webdataset", 1, "j")]
    refuse_nested(planned, str(tmp_path))
    Path(receipt_path(str(tmp_path), "a")).write_bytes(b"damaged")
    with pytest.raises(UsageError, match="lies inside the image folder a"):
        refuse_nested(planned, str(tmp_path))
