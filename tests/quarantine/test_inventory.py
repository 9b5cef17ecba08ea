from pathlib import Path

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.quarantine.inventory import (
    by_asset,
    copies,
    named_objects,
    rows_of,
    unnamed_files,
)
from ingestgate.quarantine.layout import id_of
from ingestgate.quarantine.vault import SealedObject, Vault
from tests.quarantine.test_manifest import row, write
from tests.quarantine.vaults import Sample, asset, fill, log_manifests, reader, seal

READER = reader()
PAIR = Sample("pair", (b"left", b"right"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def sealed(root: Path) -> dict[str, SealedObject]:
    return fill(root, [READER.recipient], PAIR, Sample("one"))


def test_every_object_has_its_assets(root: Path, sealed: dict[str, SealedObject]) -> None:
    objects = named_objects(str(root))
    pair = objects[sealed["pair"].path]
    assert set(objects) == {made.path for made in sealed.values()}
    assert [each.asset_id for each in pair.assets] == [asset("pair"), asset("pair", 1)]
    assert (pair.key_path, pair.size) == (sealed["pair"].key_path, sealed["pair"].size)
    assert by_asset(objects.values())[asset("pair", 1)] == [pair]


def test_each_judging_names_a_copy_of_its_own(root: Path, sealed: dict[str, SealedObject]) -> None:
    again = fill(root, [READER.recipient], PAIR, context="c1")["pair"]
    holders = by_asset(named_objects(str(root)).values())[asset("pair")]
    assert {each.path for each in holders} == {sealed["pair"].path, again.path}
    assert len(rows_of(str(root), asset("pair"))) == 2


def test_rows_come_as_they_were_sealed_whatever_their_manifests_are_called(tmp_path: Path) -> None:
    """A manifest's name ends in a digest, and times are written in two ways."""
    times = ["2026-03-01T00:00:00Z", "2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"]
    for context, time in zip(("00", "55", "aa"), times, strict=True):
        write(tmp_path, [row(1, sealed_at=time)], context=context * 32)
    log_manifests(tmp_path)
    assert [each["sealed_at"] for each in rows_of(str(tmp_path), f"{1:032x}")] == [
        *(times[1], times[0], times[2])
    ]


def test_copies_are_found_whoever_made_them(root: Path, sealed: dict[str, SealedObject]) -> None:
    vault = Vault(str(root), [READER.recipient])
    whole, key, content = (seal(vault, PAIR) for _ in range(3))
    (root / key.path).unlink()
    (root / content.key_path).unlink()
    sample = id_of(sealed["pair"].path)
    expected = {sealed["pair"].path, whole.path, key.path, content.path}
    assert set(copies(str(root), sample)) == expected
    assert set(unnamed_files(str(root), named_objects(str(root)))) == {
        *(whole.path, whole.key_path, key.key_path, content.path)
    }
    assert list(copies(str(root), "0" * 40)) == []


def test_an_asset_goes_by_the_start_of_its_id(root: Path, sealed: dict[str, SealedObject]) -> None:
    (row,) = rows_of(str(root), asset("one")[:8])
    assert row["asset_id"] == asset("one")
    with pytest.raises(UsageError, match="no asset of this quarantine"):
        rows_of(str(root), "zz")
    with pytest.raises(UsageError, match="no id; name the asset by its id"):
        rows_of(str(root), "")
