import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.errors import StorageError, UsageError, VaultError
from ingestgate.quarantine.keys import read_recipients
from ingestgate.quarantine.opening import open_object, read_identities
from ingestgate.quarantine.vault import Vault, object_id, package

FILES = [("0001.jpg", b"\xff\xd8picture"), ("0001.json", b'{"url": "https://example.org/"}')]
ID = object_id("train/00000.tar", "0001", 512, "ab" * 32)


@pytest.fixture
def identities() -> list[object]:
    return [pyrage.x25519.Identity.generate() for _ in range(3)]


@pytest.fixture
def recipients(identities: list[object]) -> list[str]:
    """Of the first two identities only."""
    return [str(identity.to_public()) for identity in identities[:2]]  # type: ignore[attr-defined]


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_each_recipient_opens_it_and_nobody_else(
    tmp_path: Path, identities: list[object], recipients: list[str]
) -> None:
    root = str(tmp_path / "quarantine")
    sealed = Vault(root, recipients).seal(ID, FILES)
    path = f"{root}/{sealed.path}"
    for identity in identities[:2]:
        assert open_object(path, [identity]) == FILES
    with pytest.raises(VaultError, match="cannot be opened"):
        open_object(path, [identities[2]])


def test_what_is_reported_is_what_was_written(
    tmp_path: Path, identities: list[object], recipients: list[str]
) -> None:
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    raw = (tmp_path / "q" / sealed.path).read_bytes()
    plain = pyrage.decrypt(raw, [identities[0]])
    assert sealed.path == f"objects/{ID[:2]}/{ID}.age"
    assert (sealed.size, sealed.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert (sealed.plain_size, sealed.plain_sha256) == (
        len(plain),
        hashlib.sha256(plain).hexdigest(),
    )
    assert raw.startswith(b"age-encryption.org/v1\n")


def test_sealing_again_replaces_the_object_and_keeps_the_package(
    tmp_path: Path, identities: list[object], recipients: list[str]
) -> None:
    vault = Vault(str(tmp_path / "q"), recipients)
    first, second = vault.seal(ID, FILES), vault.seal(ID, FILES)
    assert first.path == second.path
    assert first.sha256 != second.sha256, "age takes fresh keys each time"
    assert first.plain_sha256 == second.plain_sha256
    assert [path for path in (tmp_path / "q").rglob("*") if path.is_file()] == [
        tmp_path / "q" / second.path
    ]
    assert open_object(str(tmp_path / "q" / second.path), identities) == FILES


def test_everything_is_private_under_a_loose_umask(
    tmp_path: Path, recipients: list[str], loose_umask: None
) -> None:
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    path = tmp_path / "q" / sealed.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for directory in (path.parent, path.parent.parent, tmp_path / "q"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_made_beforehand(tmp_path: Path, recipients: list[str]) -> None:
    root = tmp_path / "q"
    root.mkdir(mode=0o755)
    Vault(str(root), recipients)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700, "an empty one is closed"

    (root / "else").mkdir()
    root.chmod(0o750)
    with pytest.raises(UsageError, match="open to others"):
        Vault(str(root), recipients)
    assert stat.S_IMODE(root.stat().st_mode) == 0o750, "one in use is not touched"


def test_a_bad_recipient_fails_before_anything_is_made(
    tmp_path: Path, recipients: list[str]
) -> None:
    for bad, problem in (([], "no recipient"), ([*recipients, "age1x"], "age1x: not an age")):
        with pytest.raises(UsageError, match=problem):
            Vault(str(tmp_path / "q"), bad)
    assert not (tmp_path / "q").exists()


def test_a_full_disk_fails_the_sealing(
    tmp_path: Path, recipients: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(str(tmp_path / "q"), recipients)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        vault.seal(ID, FILES)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("bad", ["", "../../x", ID + "\n", ID.upper(), ID[:-1]])
def test_an_object_id_cannot_lead_elsewhere(
    tmp_path: Path, recipients: list[str], bad: str
) -> None:
    with pytest.raises(VaultError, match="40 lower-case hex digits"):
        Vault(str(tmp_path / "q"), recipients).seal(bad, FILES)


def test_object_ids_differ_in_each_component() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    ids = {
        object_id("s", "k", 0, digest),
        object_id("t", "k", 0, digest),
        object_id("s", "l", 0, digest),
        object_id("s", "k", 1, digest),
        object_id("s", "k", 0, "00" * 32),
        object_id("s", "k", 0, digest, "context"),
    }
    assert len(ids) == 6
    assert all(digest[:8] not in name for name in ids)
    assert object_id("s\udcff", "k", 0, digest) != object_id("s", "k", 0, digest)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"junk" + b])
def test_damage_is_told(
    tmp_path: Path, identities: list[object], recipients: list[str], damage: object
) -> None:
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    path = tmp_path / "q" / sealed.path
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(VaultError, match="cannot be opened"):
        open_object(str(path), identities)


def test_what_is_not_our_package_is_told(tmp_path: Path, identities: list[object]) -> None:
    path = tmp_path / "other.age"
    path.write_bytes(pyrage.encrypt(b"no tar", [identities[0].to_public()]))  # type: ignore[attr-defined]
    with pytest.raises(VaultError, match="not a package"):
        open_object(str(path), identities)


def test_a_planted_object_cannot_write_elsewhere(tmp_path: Path, identities: list[object]) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../.ssh/authorized_keys"))
    path = tmp_path / "planted.age"
    path.write_bytes(pyrage.encrypt(sink.getvalue(), [identities[0].to_public()]))  # type: ignore[attr-defined]
    assert open_object(str(path), identities) == [("_/_/.ssh/authorized_keys", b"")]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_an_ssh_key_opens_what_was_sealed_to_it(tmp_path: Path) -> None:
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    recipients = read_recipients([str(tmp_path / "id.pub")])
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    assert open_object(str(tmp_path / "q" / sealed.path), read_identities(str(key))) == FILES


def test_the_package_is_plain_ustar_with_fixed_attributes() -> None:
    raw = package(FILES)
    assert raw == package(FILES)
    assert raw[257:265] == b"ustar\x0000"
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert [
            (member.name, member.mode, member.mtime, member.uid, member.uname) for member in tar
        ] == [(name, 0o400, 0, 0, "") for name, _ in FILES]


def test_names_cannot_harm_who_unpacks() -> None:
    given = ["/etc/passwd", "../../x", "a/../../b", "x\0y\n", "", ".", "same", "same", "./same"]
    with tarfile.open(fileobj=io.BytesIO(package([(name, b"") for name in given]))) as tar:
        assert tar.getnames() == [
            *("etc/passwd", "_/_/x", "a/_/_/b", "x_y_", "_", "5/_", "same", "7/same", "8/same")
        ]


@given(st.lists(st.tuples(st.text(max_size=300), st.binary(max_size=600)), max_size=5))
def test_a_package_holds_every_file_under_a_name_of_its_own(files: list[tuple[str, bytes]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(package(files))) as tar:
        members = tar.getmembers()
        contents = [tar.extractfile(member).read() for member in members]  # type: ignore[union-attr]
    assert contents == [content for _, content in files]
    assert len({member.name for member in members}) == len(files)


def test_a_name_that_is_not_unicode_is_kept() -> None:
    with tarfile.open(fileobj=io.BytesIO(package([("caf\udce9.jpg", b"")]))) as tar:
        assert tar.getnames() == ["caf\udce9.jpg"]
