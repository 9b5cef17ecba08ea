from pathlib import Path

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.overlap import refuse_overlap

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
