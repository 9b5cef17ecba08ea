import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets import ledger, storage
from ingestgate.assets.errors import StorageError, UsageError, VaultError
from ingestgate.assets.verdict import Finding
from ingestgate.quarantine import manifest
from ingestgate.quarantine.manifest import (
    ManifestFinding,
    ManifestRow,
    ManifestWriter,
    every_row,
    manifest_name,
    manifest_schema,
)

SHARD = "train/00000.tar"
CONTEXT = "c0" * 32
FINDING = Finding(
    list_id="partner",
    list_version=3,
    entry_id="e-17",
    category="A1",
    signal_type="pdq",
    kind="perceptual",
    view="full/r90",
    distance=8,
    threshold=31,
    action="quarantine",
)


def row(number: int, **changes: Any) -> ManifestRow:
    values: dict[str, Any] = {
        "asset_id": f"{number:032x}",
        "dataset": "crawl",
        "format": "webdataset",
        "shard": SHARD,
        "member": f"{number:04d}.jpg",
        "field": "",
        "sample": f"{number:04d}",
        "verdict": "quarantined",
        "reason": "matched",
        "tier": "near",
        "findings": [FINDING._asdict()],
        "media_type": "image/jpeg",
        "width": 64,
        "height": 48,
        "size": 1234,
        "md5": "0" * 32,
        "sha1": "1" * 40,
        "sha256": "2" * 64,
        "provenance": {"url": "https://example.org/ü.jpg", "caption": "line\nbreak\u2028"},
        "sealed_object": f"objects/ab/{'ab' * 20}/{'3' * 64}.age",
        "sealed_key": f"keys/ab/{'ab' * 20}/{'3' * 64}.age",
        "sealed_key_sha256": "7" * 64,
        "sealed_sha256": "3" * 64,
        "sealed_size": 2345,
        "package_sha256": "4" * 64,
        "recipients": ["age1x"],
        "lists": [{"list_id": "partner", "list_version": 3, "digest": "5" * 64}],
        "policy_digest": "6" * 64,
        "software": "0.1.0",
        "judged_at": "2026-01-02T03:04:05Z",
        "sealed_at": "2026-01-02T03:04:06+00:00",
    }
    return ManifestRow.model_validate(values | changes)


def write(root: Path, rows: list[ManifestRow], context: str = CONTEXT) -> str:
    """Returns the path of the JSON lines below the root, "" if there are none."""
    with ManifestWriter(str(root), SHARD, context) as writer:
        for each in rows:
            writer.add(each)
        published = writer.publish()
    assert writer.rows == len(rows)
    expected = [f"{root}/manifest/{writer.stem}.{suffix}" for suffix in ("jsonl", "parquet")]
    assert published == (expected if rows else [])
    return f"manifest/{writer.stem}.jsonl" if rows else ""


def conforms(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """A JSON Schema validator for the keywords that the schema uses, and no others."""
    schema = dict(schema)
    checks: dict[str, Callable[[Any], bool]] = {
        "title": lambda _: True,
        "description": lambda _: True,
        "default": lambda _: True,
        "$defs": lambda _: True,
        "$ref": lambda ref: conforms(value, root["$defs"][ref.removeprefix("#/$defs/")], root),
        "anyOf": lambda options: any(conforms(value, option, root) for option in options),
        "type": lambda name: (
            type(value).__name__
            in {
                "object": ["dict"],
                "array": ["list"],
                "string": ["str"],
                "integer": ["int"],
                "null": ["NoneType"],
            }[name]
        ),
        "enum": lambda values: value in values,
        "const": lambda expected: value == expected,
        "pattern": lambda pattern: not isinstance(value, str) or bool(re.search(pattern, value)),
        "minimum": lambda least: not isinstance(value, int) or value >= least,
        "items": lambda item: all(conforms(each, item, root) for each in value),
        "properties": lambda named: all(
            conforms(each, named[key], root) for key, each in value.items() if key in named
        ),
        "required": lambda names: set(names) <= set(value),
        "additionalProperties": lambda rule: (
            set(value) <= set(schema["properties"])
            if rule is False
            else all(conforms(each, rule, root) for each in value.values())
        ),
    }
    return all(checks[keyword](argument) for keyword, argument in schema.items())


def test_jsonl_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = [row(1), row(2, tier=None, reason="companion_matched", findings=[], width=None)]
    name = write(tmp_path, rows)
    lines = (tmp_path / name).read_bytes().splitlines()
    read = [json.loads(line) for line in lines]
    assert read == [each.model_dump(mode="json") for each in rows]
    assert list(every_row(str(tmp_path))) == read
    assert [list(each) for each in read] == [list(ManifestRow.model_fields)] * 2, "in fixed order"

    table = pq.read_table(tmp_path / name.replace(".jsonl", ".parquet"))
    columns = table.to_pylist(maps_as_pydicts="strict")
    assert columns == read


def test_rows_conform_to_the_published_schema() -> None:
    schema = manifest_schema()
    good = row(1).model_dump(mode="json")
    assert conforms(good, schema, schema)
    assert conforms(row(1, tier=None, md5=None).model_dump(mode="json"), schema, schema)
    changes: tuple[dict[str, object], ...] = (
        {"schema_version": 3},
        {"verdict": "unknown"},
        {"md5": "xyz"},
        {"size": -1},
        {"more": 1},
        {"findings": [{}]},
        {"provenance": {"url": 1}},
        {"judged_at": "yesterday"},
    )
    for change in changes:
        assert not conforms(good | change, schema, schema), change
    del good["sealed_object"]
    assert not conforms(good, schema, schema)


def test_the_schema_has_the_findings_and_the_columns_of_the_rest() -> None:
    assert tuple(ManifestFinding.model_fields) == Finding._fields
    assert manifest.arrow_schema().names == list(ManifestRow.model_fields)
    assert manifest.arrow_schema().field("findings").type.value_type == ledger.FINDING_TYPE


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [row(number) for number in range(3)]
    for root in ("a", "b"):
        write(tmp_path / root, rows)
        write(tmp_path / root, rows)
    files = sorted((tmp_path / "a").rglob("*.*"))
    assert len(files) == 2
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_rows_beyond_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "BATCH_ROWS", 4)
    name = write(tmp_path, [row(number) for number in range(10)])
    file = pq.ParquetFile(tmp_path / name.replace(".jsonl", ".parquet"))
    assert (file.num_row_groups, file.metadata.num_rows) == (3, 10)
    assert [each["asset_id"] for each in every_row(str(tmp_path))] == [
        f"{number:032x}" for number in range(10)
    ]


def test_without_rows_nothing_is_written_and_nothing_lost(tmp_path: Path) -> None:
    assert write(tmp_path, []) == ""
    assert list(tmp_path.iterdir()) == []

    write(tmp_path, [row(1)])
    write(tmp_path, [])
    write(tmp_path, [row(2)], context="c1" * 32)  # newer lists: row 1 matches no longer
    assert {each["asset_id"][-1] for each in every_row(str(tmp_path))} == {"1", "2"}


@pytest.mark.parametrize("context", ["", "c0c0", "../../etc/x", "C0" * 32, "c0" * 32 + "\n"])
def test_a_context_is_a_digest(tmp_path: Path, context: str) -> None:
    with pytest.raises(VaultError, match="hex digest"):
        ManifestWriter(str(tmp_path), SHARD, context)


def test_what_is_not_published_is_discarded(tmp_path: Path) -> None:
    with ManifestWriter(str(tmp_path), SHARD, CONTEXT) as writer:
        writer.add(row(1))
    with pytest.raises(KeyError), ManifestWriter(str(tmp_path), SHARD, CONTEXT) as writer:  # noqa: PT012
        writer.add(row(1))
        raise KeyError
    assert list((tmp_path / "manifest").iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_manifest_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    name = write(tmp_path, [row(1)])
    before = (tmp_path / name).read_bytes()

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match="No space left"):
        write(tmp_path, [row(2)])
    monkeypatch.undo()
    assert (tmp_path / name).read_bytes() == before
    assert len(list((tmp_path / "manifest").iterdir())) == 2


def test_the_lines_that_are_the_record_come_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that is killed in between leaves no record of which the Parquet is missing."""
    replace = os.replace
    done: list[str] = []

    def once(source: str, path: str) -> None:
        if done:
            raise OSError(28, "No space left on device")
        replace(source, path)
        done.append(path)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(StorageError, match=r"\.jsonl: No space left"):
        write(tmp_path, [row(1)])
    assert [Path(path).suffix for path in done] == [".parquet"]


def test_the_manifest_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write(tmp_path / "q", [row(1)])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "q" / "manifest").stat().st_mode) == 0o700
    for file in (tmp_path / "q" / "manifest").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda line: line[:-1], "ends in the middle of a line"),
        (lambda line: line[:50] + b"\n", "the line: Invalid JSON"),
        (lambda line: b"\n", "the line: Invalid JSON"),
        (lambda line: b"[]\n", "the line: Input should be an object"),
        (lambda line: line.replace(b"matched", b"snatched"), "reason: Input should be"),
        (lambda line: line.replace(b'"dataset"', b'"data"'), "dataset: Field required"),
        (
            lambda line: line.replace(b'schema_version":2', b'schema_version":3'),
            "schema_version: Input",
        ),
        (lambda line: line.replace(b"2" * 64, b"x" * 64), "sha256: String should match"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, damage: Any, problem: str) -> None:
    name = write(tmp_path, [row(1), row(2)])
    path = tmp_path / name
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage(second))
    rows = every_row(str(tmp_path))
    assert next(rows)["asset_id"].endswith("1")
    with pytest.raises(VaultError, match=rf"{re.escape(str(path))}:2: .*{problem}") as caught:
        next(rows)
    assert "example.org" not in str(caught.value)
    assert "2" * 64 not in str(caught.value)


def test_a_quarantine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no quarantine there"):
        next(every_row(str(tmp_path / "typo")))


@given(st.text(min_size=1, max_size=300))
def test_names_are_flat_safe_and_short(shard: str) -> None:
    name = manifest_name(shard)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,88}", name)
    assert not storage.is_partial(name + ".jsonl")


def test_names_never_collide() -> None:
    assert len({manifest_name(shard) for shard in ("a/b", "a_b", "a b", "a/b/", "x" * 200)}) == 5
    assert manifest_name("a/b.tar").startswith("a_b.tar-")
