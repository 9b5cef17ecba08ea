import hashlib

import pytest

from ingestgate.assets.errors import VaultError
from ingestgate.quarantine.layout import checked, id_of, key_path, object_id, object_path

ID = object_id("train/00000.tar", "0001", 512, "ab" * 32)
SHA256 = "cd" * 32


def test_an_object_and_its_key_lie_under_the_samples_id() -> None:
    path = object_path(ID, SHA256)
    assert path == f"objects/{ID[:2]}/{ID}/{SHA256}.age"
    assert key_path(path) == f"keys/{ID[:2]}/{ID}/{SHA256}.age"
    assert id_of(path) == ID


@pytest.mark.parametrize(
    "bad",
    ["", "../../x", ID + "\n", ID.upper(), ID[:-1]],
    ids=["empty", "up", "newline", "upper", "short"],
)
def test_an_id_cannot_lead_elsewhere(bad: str) -> None:
    with pytest.raises(VaultError, match="40 lower-case hex digits"):
        object_path(bad, SHA256)


@pytest.mark.parametrize(
    "bad",
    [
        "objects/../../etc/passwd",
        f"keys/{ID[:2]}/{ID}/{SHA256}.age",
        f"objects/{ID[:2]}/{ID}/{SHA256}.age\n",
        f"objects/{ID[:2]}/{ID}.age",
        f"/objects/{ID[:2]}/{ID}/{SHA256}.age",
        f"objects/{'00' if ID[:2] != '00' else '11'}/{ID}/{SHA256}.age",
    ],
    ids=["up", "key", "newline", "flat", "absolute", "other-fan"],
)
def test_a_path_of_a_manifest_cannot_lead_elsewhere(bad: str) -> None:
    for function in (checked, key_path, id_of):
        with pytest.raises(VaultError, match="a sealed object lies at"):
            function(bad)


def test_object_ids_differ_in_each_component() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    ids = {
        object_id("s", "k", 0, digest),
        object_id("t", "k", 0, digest),
        object_id("s", "l", 0, digest),
        object_id("s", "k", 1, digest),
        object_id("s", "k", 0, "00" * 32),
    }
    assert len(ids) == 5
    assert all(digest[:8] not in name for name in ids)
    assert object_id("s\udcff", "k", 0, digest) != object_id("s", "k", 0, digest)
