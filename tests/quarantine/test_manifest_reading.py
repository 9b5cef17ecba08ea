"""Nobody acts by a manifest that is not what was sealed, however short a time it is so."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.decisions import whole_ids
from ingestgate.quarantine.destroying import affected
from ingestgate.quarantine.inventory import named_objects, rows_of
from ingestgate.quarantine.manifest_reading import not_on_record, read_manifest
from ingestgate.quarantine.opening import open_as_sealed
from ingestgate.quarantine.rewrapping import rewrap
from ingestgate.quarantine.sealed_manifests import sealed_manifests
from ingestgate.quarantine.selecting import Selection, assets_of_cluster, select
from tests.quarantine.vaults import Sample, asset, files, fill, log_manifests, reader

READER = reader()
SAMPLES = (Sample("one", (b"1",)), Sample("two", (b"2",)))
SEALED = (
    *("sealed_object", "sealed_key", "sealed_key_sha256"),
    *("sealed_sha256", "sealed_size", "package_sha256"),
)

#: All matched one entry; a cluster goes by the smallest id in it.
CLUSTER = min(asset("other", shard="b.tar"), *(asset(each.key) for each in SAMPLES))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "vault", [READER.recipient], *SAMPLES)
    fill(tmp_path / "vault", [READER.recipient], Sample("other", (b"3",)), shard="b.tar")
    return tmp_path / "vault"


def lines_of(root: Path) -> Path:
    return next((root / "manifest").glob("a.tar*.jsonl"))


def change(root: Path, how: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """Changes a manifest's rows; returns what they were."""
    path = lines_of(root)
    before = path.read_bytes()
    rows = [json.loads(line) for line in before.splitlines()]
    how(rows)
    text = (json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes("".join(text).encode())
    return before


def swapped(rows: list[dict[str, Any]]) -> None:
    """Each row points to what the other has sealed."""
    for name in SEALED:
        rows[0][name], rows[1][name] = rows[1][name], rows[0][name]


def dropped(rows: list[dict[str, Any]]) -> None:
    del rows[0]


def other_key(rows: list[dict[str, Any]]) -> None:
    rows[0]["sealed_key_sha256"] = "0" * 64


def silent(event: str, fields: Mapping[str, Any]) -> None:
    """Logs nothing."""


ACTS: dict[str, Callable[[str], object]] = {
    "list": lambda root: list(select(root, Selection())),
    "open": lambda root: rows_of(root, asset("two")),
    "decide": lambda root: whole_ids(root, [asset("two")]),
    "decide-cluster": lambda root: assets_of_cluster(root, CLUSTER),
    "destroy": lambda root: affected(root, [asset("two")]),
    "rewrap": lambda root: rewrap(root, [READER.identity], [READER.recipient], silent),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("how", [swapped, dropped, other_key])
def test_nobody_acts_by_a_changed_manifest(
    root: Path, act: str, how: Callable[[list[dict[str, Any]]], None]
) -> None:
    sealed = files(root)
    before = change(root, how)
    with pytest.raises(EvidenceError, match=rf"{lines_of(root).name}: is not what was sealed"):
        ACTS[act](str(root))
    assert files(root) == sealed
    lines_of(root).write_bytes(before)
    ACTS[act](str(root))


@pytest.mark.parametrize("act", ACTS)
def test_nor_while_one_is_missing(root: Path, tmp_path: Path, act: str) -> None:
    """Also where what is asked for lies in another one."""
    path = lines_of(root)
    path.rename(tmp_path / "taken")
    with pytest.raises(EvidenceError, match=rf"{path.name}: is not there; it was removed"):
        ACTS[act](str(root))
    (tmp_path / "taken").rename(path)
    ACTS[act](str(root))


def planted(root: Path, **said: Any) -> str:
    """Puts a manifest in that nobody sealed: a row of the first sample that says otherwise."""
    row = json.loads(lines_of(root).read_bytes().splitlines()[0]) | said
    (root / "manifest" / "zz-0-0.jsonl").write_text(json.dumps(row) + "\n")
    return str(row["asset_id"])


def test_what_is_on_no_record_says_nothing(root: Path) -> None:
    before = list(read_manifest(str(root)))
    members = assets_of_cluster(str(root), CLUSTER)
    planted(root, asset_id="f" * 32)
    planted(root, member="other.jpg")
    assert list(read_manifest(str(root))) == before
    assert assets_of_cluster(str(root), CLUSTER) == members, "it joins nothing"
    assert [row["member"] for row in rows_of(str(root), asset("one"))] == ["one.0.jpg"]
    assert len(list(select(str(root), Selection()))) == 3
    sealed = sealed_manifests(read_log(str(root)))
    assert not_on_record(str(root), sealed) == ["manifest/zz-0-0.jsonl"]


def test_what_is_on_no_record_alone_is_refused(root: Path) -> None:
    planted(root, asset_id="f" * 32)
    with pytest.raises(EvidenceError, match=r"zz-0-0\.jsonl: the audit log does not say"):
        rows_of(str(root), "f" * 32)
    with pytest.raises(UsageError, match="no asset"):
        whole_ids(str(root), ["f" * 32])


@pytest.mark.parametrize("act", ["destroy", "rewrap"])
def test_what_concerns_every_copy_waits_until_all_is_on_record(root: Path, act: str) -> None:
    planted(root)
    sealed = files(root)
    with pytest.raises(EvidenceError, match=r"zz-0-0\.jsonl: the audit log does not say .*accept"):
        ACTS[act](str(root))
    with pytest.raises(EvidenceError, match="the audit log does not say"):
        named_objects(str(root))
    assert files(root) == sealed


def test_what_is_opened_is_what_was_sealed(root: Path) -> None:
    """Also where the log was written to fit."""
    (row,) = rows_of(str(root), asset("one"))
    assert [content for _, content in open_as_sealed(str(root), row, [READER.identity])] == [b"1"]
    change(root, swapped)
    log_manifests(root)
    (row,) = rows_of(str(root), asset("one"))
    with pytest.raises(EvidenceError, match="what is inside is not what was sealed there"):
        open_as_sealed(str(root), row, [READER.identity])


def test_another_package_under_its_name_is_not_opened(root: Path) -> None:
    (one,) = rows_of(str(root), asset("one"))
    (two,) = rows_of(str(root), asset("two"))
    for name in ("sealed_object", "sealed_key"):
        (root / one[name]).write_bytes((root / two[name]).read_bytes())
    with pytest.raises(EvidenceError, match="what is inside is not what was sealed there"):
        open_as_sealed(str(root), one, [READER.identity])
