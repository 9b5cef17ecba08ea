"""Manifests against the audit log: every change has a name."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestgate.assets.errors import EvidenceError
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.audit_writing import append_machine, audit_writer
from ingestgate.quarantine.faults import Fault, Problem
from ingestgate.quarantine.manifest_checking import check_manifests, unlogged
from ingestgate.quarantine.sealed_manifests import (
    SEALED,
    SealedManifest,
    put_on_record,
    sealed_manifests,
)
from tests.quarantine.vaults import Sample, asset, fill, reader

SAMPLES = (Sample("one"), Sample("two"), Sample("three"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "vault", [reader().recipient], *SAMPLES)
    return tmp_path / "vault"


def faults(root: Path) -> list[Fault]:
    found = check_manifests(str(root), sealed_manifests(read_log(str(root))))
    assert not any("picture" in fault.detail or "http" in fault.detail for fault in found)
    return found


def file(root: Path, suffix: str) -> Path:
    (path,) = (root / "manifest").glob(f"*.{suffix}")
    return path


def _lines(root: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = file(root, "jsonl")
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def _edited(lines: list[bytes]) -> list[bytes]:
    row = json.loads(lines[1])
    row["member"], row["tier"] = "other.jpg", None
    return [lines[0], json.dumps(row).encode() + b"\n", lines[2]]


def _put_in(lines: list[bytes]) -> list[bytes]:
    row = json.loads(lines[0])
    row["asset_id"] = "f" * 32
    return [*lines, json.dumps(row).encode() + b"\n"]


@pytest.mark.parametrize(
    ("change", "said", "about"),
    [
        (_edited, "line 2: was edited: member, tier", asset("two")),
        (lambda lines: [lines[0], lines[2]], "a row is missing; it was dropped", asset("two")),
        (_put_in, "line 4: is in this file only; it was put in", "f" * 32),
        (lambda lines: [*lines, lines[0]], "line 4: is no row of a manifest, or one twice", ""),
        (lambda lines: [*lines, b"{\n"], "line 4: is no row of a manifest, or one twice", ""),
    ],
    ids=["edited", "dropped", "put-in", "twice", "no-row"],
)
def test_a_changed_row_of_the_lines_is_named(
    root: Path, change: Callable[[list[bytes]], list[bytes]], said: str, about: str
) -> None:
    assert faults(root) == []
    _lines(root, change)
    first, second = faults(root)
    name = f"manifest/{file(root, 'jsonl').name}"
    assert first == (Problem.CHANGED, name, f"{name}: is not what was sealed; it was changed", ())
    assert (second.problem, second.path) == (Problem.CHANGED, name)
    assert said in second.detail
    assert second.assets == ((about,) if about else ())


def test_a_changed_row_of_the_parquet_is_named(root: Path) -> None:
    path = file(root, "parquet")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    first, second = faults(root)
    assert first.path == second.path == f"manifest/{path.name}"
    assert "a row is missing; it was dropped" in second.detail
    assert second.assets == (asset("one"),)


def test_rows_in_another_order_or_form_are_a_change_of_the_file_alone(root: Path) -> None:
    _lines(root, lambda lines: lines[::-1])
    (only,) = faults(root)
    assert only.problem is Problem.CHANGED


def test_both_changed_and_they_differ(root: Path) -> None:
    _lines(root, _edited)
    path = file(root, "parquet")
    pq.write_table(pq.read_table(path), path, compression="none")
    found = faults(root)
    assert [fault.path.rpartition(".")[2] for fault in found] == ["jsonl", "parquet", "jsonl"]
    assert "line 2: differs from the Parquet: member, tier" in found[-1].detail


def test_a_parquet_that_is_none_is_named(root: Path) -> None:
    file(root, "parquet").write_bytes(b"PAR1")
    assert "cannot be read any more" in faults(root)[-1].detail


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_missing_file_is_named(root: Path, suffix: str) -> None:
    path = file(root, suffix)
    path.unlink()
    (only,) = faults(root)
    assert (only.problem, only.path) == (Problem.MISSING, f"manifest/{path.name}")


def test_a_manifest_that_is_gone_whole_is_named(root: Path) -> None:
    for suffix in ("jsonl", "parquet"):
        file(root, suffix).unlink()
    assert [fault.problem for fault in faults(root)] == [Problem.MISSING] * 2


def test_a_manifest_that_no_run_put_on_record_is_named(root: Path) -> None:
    for suffix in ("jsonl", "parquet"):
        path = file(root, suffix)
        (path.parent / f"b.tar-0123abcd-0123abcd.{suffix}").write_bytes(path.read_bytes())
    (only,) = faults(root)
    assert (only.problem, only.path) == (
        Problem.UNLOGGED,
        "manifest/b.tar-0123abcd-0123abcd.jsonl",
    )
    (found,) = unlogged(str(root), sealed_manifests(read_log(str(root))))
    with audit_writer(str(root)) as log:
        put_on_record(log, [found], None)
    assert faults(root) == []


def test_of_one_on_no_record_it_is_named_what_its_files_disagree_about(root: Path) -> None:
    """Who accepts it would put the lines on record, and the Parquet says something else."""
    _lines(root, _edited)
    (root / "audit" / "log.jsonl").unlink()
    first, second = faults(root)
    assert first.problem is Problem.UNLOGGED
    assert "line 2: differs from the Parquet: member, tier" in second.detail
    assert second.assets == (asset("two"),)


def test_without_the_log_nothing_is_taken_for_sealed(root: Path) -> None:
    (root / "audit" / "log.jsonl").unlink()
    assert [fault.problem for fault in faults(root)] == [Problem.UNLOGGED]


def test_a_stray_file_is_named(root: Path) -> None:
    (root / "manifest" / "notes.txt").write_bytes(b"x")
    assert [(each.problem, each.path) for each in faults(root)] == [
        (Problem.UNNAMED, "manifest/notes.txt")
    ]


def test_what_is_on_record_is_not_put_there_again_and_the_last_counts(tmp_path: Path) -> None:
    root = str(tmp_path)
    first = SealedManifest("a", "0" * 64, "1" * 64)
    again = SealedManifest("a", "2" * 64, "1" * 64)
    with audit_writer(root) as log:
        assert put_on_record(log, [first, first], None, run="r1") == [first]
        assert put_on_record(log, [first], None) == []
        assert put_on_record(log, [again], None) == [again]
        many = [SealedManifest(f"m{n}", "0" * 64, "1" * 64) for n in range(501)]
        assert len(put_on_record(log, many, None)) == 501
    assert [len(line.fields["manifests"]) for line in read_log(root)] == [1, 1, 500, 1]
    assert sealed_manifests(read_log(root))["a"] == again


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"manifests": ["a"]},
        {"manifests": [{"name": "../x", "jsonl": "0" * 64, "parquet": "0" * 64}]},
        {"manifests": [{"name": "x", "jsonl": "0", "parquet": "0" * 64}]},
        {"manifests": [{"name": "x", "jsonl": "0" * 64}]},
    ],
    ids=["nothing", "no-fields", "path", "no-digest", "one-digest"],
)
def test_a_line_that_does_not_say_it_is_refused(tmp_path: Path, fields: dict[str, object]) -> None:
    append_machine(str(tmp_path), SEALED, fields)
    with pytest.raises(EvidenceError, match=r"line 1: manifests\.sealed: does not say"):
        sealed_manifests(read_log(str(tmp_path)))
