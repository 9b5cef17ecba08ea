"""What earlier runs left in a landing zone is no input."""

from pathlib import Path

import pyarrow as pa
import pytest

from ingestgate.assets import ledger
from ingestgate.assets.containers.discovery import discover
from ingestgate.assets.errors import InputError, UsageError
from tests.archives import make_tar
from tests.pictures import jpeg

TAR = make_tar([("a.jpg", jpeg(1))])
LEFT = {
    "evidence": ("contexts/0.json", "ledger/a.tar.parts/part-00000.parquet", "withdrawn/0.jsonl"),
    "quarantine": ("audit/log.jsonl", "manifest/0.jsonl"),
    "output": ("_ingestgate/certificate.dsse.json", "a.tar"),
}


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(1) if name.endswith(".jpg") else TAR)


@pytest.mark.parametrize("what", sorted(LEFT))
@pytest.mark.parametrize("deep", ["old", "of/2025/old"])
@pytest.mark.parametrize("beside", ["0.tar", "0.jpg"])
def test_in_a_directory(tmp_path: Path, what: str, deep: str, beside: str) -> None:
    write(tmp_path, beside, *(f"{deep}/{name}" for name in LEFT[what]))
    kind = f"{tmp_path / deep}: is the {what} of an earlier run and lies in the input {tmp_path};"
    with pytest.raises(UsageError) as refused:
        discover([str(tmp_path)])
    assert str(refused.value).startswith(kind)


@pytest.mark.parametrize("pattern", ["**/*", "*", "**/*.jsonl", "*/*/*.jsonl"])
@pytest.mark.parametrize("what", sorted(LEFT))
def test_by_a_pattern(tmp_path: Path, what: str, pattern: str) -> None:
    write(tmp_path, "0.tar", "plain/0/0.jsonl", *(f"old/{name}" for name in LEFT[what]))
    if what == "output":  # what it holds is as good as any, but was admitted already
        write(tmp_path, "old/a/a.jsonl")
    with pytest.raises(UsageError, match=f"old: is the {what} of an earlier run"):
        discover([str(tmp_path / pattern)])


def test_a_pattern_that_reaches_none(tmp_path: Path) -> None:
    write(tmp_path, "0.tar", *(f"old/{name}" for name in LEFT["output"]))
    (shard,) = discover([str(tmp_path / "*.tar")]).shards
    assert shard.name == "0.tar"


@pytest.mark.parametrize("pattern", ["", "*", "**/*"])
def test_an_output_that_is_named_is_the_input_of_another_gate(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, *LEFT["output"], "_ingestgate/recalls/r.dsse.json", "sub/b.tar")
    found = discover([f"{tmp_path}/{pattern}".rstrip("/")])
    assert [shard.name for shard in found.shards] == ["a.tar", "sub/b.tar"]
    assert not found.left_behind


def test_image_folders_of_an_output(tmp_path: Path) -> None:
    write(tmp_path, LEFT["output"][0], "one/a.jpg", "two/a.jpg")
    with pytest.raises(UsageError, match="name the image folders in it"):
        discover([str(tmp_path)])
    found = discover([f"{tmp_path}/*"])
    assert [shard.name for shard in found.shards] == ["one", "two"]


def test_a_ledger_part_is_no_list_of_urls(tmp_path: Path) -> None:
    header = ledger.PartHeader("a.tar", "0" * 64, 0, 1, 0, 1, "0" * 64, "2026-01-01T00:00:00Z")
    schema = ledger.ledger_schema([])
    path = ledger.write_part(str(tmp_path), header, pa.table([[]] * len(schema), schema=schema))
    with pytest.raises(InputError, match="part of a run's ledger"):
        discover([path])
