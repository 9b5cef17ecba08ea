import hashlib
import io
import os
import re
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
from ingestgate.quarantine.keys import generate_identity, read_recipients
from ingestgate.quarantine.layout import key_path, object_id, object_path
from ingestgate.quarantine.opening import open_object, read_identities, unpacked
from ingestgate.quarantine.packaging import packed
from ingestgate.quarantine.vault import Vault, package

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
    for identity in identities[:2]:
        assert open_object(root, sealed.path, [identity]) == FILES
    with pytest.raises(VaultError, match=r"keys/.*cannot be opened .*let one of them open it, or"):
        open_object(root, sealed.path, [identities[2]])


def test_what_is_reported_is_what_was_written(
    tmp_path: Path, identities: list[object], recipients: list[str]
) -> None:
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    raw = (tmp_path / "q" / sealed.path).read_bytes()
    key = pyrage.decrypt((tmp_path / "q" / sealed.key_path).read_bytes(), [identities[0]])
    sample_key = pyrage.x25519.Identity.from_str(key.decode().splitlines()[1])
    assert key.decode().splitlines()[0] == f"# public key: {sample_key.to_public()}"
    plain = pyrage.decrypt(raw, [sample_key])
    assert sealed.path == f"objects/{ID[:2]}/{ID}/{sealed.sha256}.age"
    assert sealed.key_path == f"keys/{ID[:2]}/{ID}/{sealed.sha256}.age"
    assert (sealed.size, sealed.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert sealed.plain_sha256 == hashlib.sha256(plain).hexdigest()
    assert raw.startswith(b"age-encryption.org/v1\n")


def test_sealing_again_writes_beside_what_is_there(
    tmp_path: Path, identities: list[object], recipients: list[str]
) -> None:
    root = str(tmp_path / "q")
    first, second = Vault(root, recipients).seal(ID, FILES), Vault(root, recipients).seal(ID, FILES)
    assert first.plain_sha256 == second.plain_sha256
    assert first.sha256 != second.sha256, "each copy has a key of its own"
    for sealed in (first, second):
        assert hashlib.sha256((tmp_path / "q" / sealed.path).read_bytes()).hexdigest() == (
            sealed.sha256
        )
        assert open_object(root, sealed.path, identities) == FILES
    assert len([path for path in (tmp_path / "q").rglob("*") if path.is_file()]) == 4


def test_a_key_opens_its_own_copy_only(
    tmp_path: Path, identities: list[object], recipients: list[str]
) -> None:
    root = tmp_path / "q"
    first, second = (Vault(str(root), recipients).seal(ID, FILES) for _ in range(2))
    shutil.copyfile(root / first.key_path, root / second.key_path)
    with pytest.raises(VaultError, match=r"objects/.*cannot be opened"):
        open_object(str(root), second.path, identities)


def test_without_its_key_a_copy_is_lost(
    tmp_path: Path, identities: list[object], recipients: list[str]
) -> None:
    root = tmp_path / "q"
    sealed = Vault(str(root), recipients).seal(ID, FILES)
    (root / sealed.key_path).unlink()
    with pytest.raises(StorageError, match=r"keys/.*No such file"):
        open_object(str(root), sealed.path, identities)
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt((root / sealed.path).read_bytes(), identities)


@pytest.mark.skipif(shutil.which("age") is None, reason="needs the age tool")
def test_age_and_tar_alone_open_it(tmp_path: Path) -> None:
    recipient = generate_identity(str(tmp_path / "key.txt"))
    sealed = Vault(str(tmp_path / "q"), [recipient]).seal(ID, FILES)
    (tmp_path / "opened").mkdir()
    subprocess.run(
        f"age -d -i key.txt q/{sealed.key_path} > sample-key.txt && "
        f"age -d -i sample-key.txt q/{sealed.path} | tar -x -C opened",
        shell=True,
        check=True,
        cwd=tmp_path,
    )
    opened = [(name, (tmp_path / "opened" / name).read_bytes()) for name, _ in FILES]
    assert opened == FILES


def test_everything_is_private_under_a_loose_umask(
    tmp_path: Path, recipients: list[str], loose_umask: None
) -> None:
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    path = tmp_path / "q" / sealed.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = tmp_path / "q" / sealed.key_path
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for directory in (path.parent, path.parent.parent, key.parent, key.parents[2], tmp_path / "q"):
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


@pytest.mark.parametrize("file", ["keys", "objects"])
def test_a_full_disk_fails_the_sealing(
    tmp_path: Path, recipients: list[str], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    vault = Vault(str(tmp_path / "q"), recipients)
    real = os.fsync

    def full(descriptor: int) -> None:
        if f"/q/{file}/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        vault.seal(ID, FILES)
    assert [path for path in tmp_path.glob("q/objects/**/*") if path.is_file()] == []
    keys = [path for path in tmp_path.glob("q/keys/**/*") if path.is_file()]
    assert len(keys) == (file == "objects"), "a key without its object opens nothing"


@pytest.mark.parametrize("file", ["path", "key_path"])
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"junk" + b], ids=["cut", "empty", "junk"]
)
def test_damage_is_told(
    tmp_path: Path, identities: list[object], recipients: list[str], damage: object, file: str
) -> None:
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    path = tmp_path / "q" / getattr(sealed, file)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(VaultError, match=f"{getattr(sealed, file)}: cannot be opened"):
        open_object(str(tmp_path / "q"), sealed.path, identities)


def planted(root: Path, plain: bytes, key: bytes | None = None) -> str:
    """An object of anybody's; returns its path."""
    sample_key = pyrage.x25519.Identity.generate()
    path = object_path(ID, "ab" * 32)
    for name, content, recipient in (
        (path, plain, sample_key.to_public()),
        (key_path(path), f"{sample_key}".encode() if key is None else key, READER.to_public()),
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(pyrage.encrypt(content, [recipient]))
    return path


READER = pyrage.x25519.Identity.generate()


def test_what_is_not_our_package_is_told(tmp_path: Path) -> None:
    path = planted(tmp_path, b"no tar")
    with pytest.raises(VaultError, match="not a package"):
        open_object(str(tmp_path), path, [READER])


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    path = planted(tmp_path, b"", key=b"no key")
    with pytest.raises(VaultError, match=r"\.age:1: not an age secret key"):
        open_object(str(tmp_path), path, [READER])


def test_a_planted_object_cannot_write_elsewhere(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../.ssh/authorized_keys"))
    path = planted(tmp_path, sink.getvalue())
    assert open_object(str(tmp_path), path, [READER]) == [(".ssh/authorized_keys", b"")]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_an_ssh_key_opens_what_was_sealed_to_it(tmp_path: Path) -> None:
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    recipients = read_recipients([str(tmp_path / "id.pub")])
    sealed = Vault(str(tmp_path / "q"), recipients).seal(ID, FILES)
    assert open_object(str(tmp_path / "q"), sealed.path, read_identities(str(key))) == FILES


def test_the_package_is_plain_ustar_with_fixed_attributes() -> None:
    raw = package(FILES)
    assert raw == package(FILES)
    assert raw[257:265] == b"ustar\x0000"
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert [
            (member.name, member.mode, member.mtime, member.uid, member.uname) for member in tar
        ] == [(name, 0o400, 0, 0, "") for name, _ in FILES]


def test_names_cannot_harm_who_unpacks() -> None:
    given = ["/etc/passwd", "../../x", "a/../../b", "x\0y\n", "c:\\d", "", "."]
    given += ["same.tar.gz", "same.tar.gz", "./same.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(package([(name, b"") for name in given]))) as tar:
        assert tar.getnames() == [
            *("etc/passwd", "x", "a/b", "x_y_", "c__d", "unnamed", "unnamed~2"),
            *("same.tar.gz", "same~2.tar.gz", "same~3.tar.gz"),
        ]


#: C0, DEL, C1; breaks of a line; Unicode's Bidi_Control.
UNSAFE = (
    "\x01\x1b\x1f\x7f\x80\x9b\x9f\u2028\u2029"
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@pytest.mark.parametrize("sealed_before", [False, True])
def test_no_name_moves_a_cursor_or_turns_the_writing(
    monkeypatch: pytest.MonkeyPatch, *, sealed_before: bool
) -> None:
    """Nor one out of a package that was sealed with its names as they were."""
    given = [(f"é{one}gpj.exe", b"%d" % number) for number, one in enumerate(UNSAFE)]
    with monkeypatch.context() as patch:
        if sealed_before:
            patch.setattr("ingestgate.quarantine.vault.packed", lambda files: files)
        plain = package(given)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert ("é\x9bgpj.exe" in tar.getnames()) == sealed_before
    harmless = ["é_gpj.exe", *(f"é_gpj~{number}.exe" for number in range(2, len(UNSAFE) + 1))]
    files = unpacked("x.age", plain)
    assert [name for name, _ in files] == harmless
    assert [content for _, content in files] == [content for _, content in given]


def test_names_fit_into_every_file_system_and_stay_as_they_are_where_they_can() -> None:
    long, deep = "a" * 300, "d/" * 2000
    given = [f"{long}.jpg", f"{long}.txt", f"{long}.jpg", f"{deep}x.jpg", "b" * 200]
    given += ["row.parquet", "row.parquet/x.jpg", "row.parquet/y.jpg", "z/x", "z"]
    names = [name for name, _ in packed((name, b"") for name in given)]
    jpg, txt, again, below, *rest = names
    assert (jpg[:100], jpg[-4:], txt[-4:]) == ("a" * 100, ".jpg", ".txt")
    assert {len(jpg), len(txt)} == {200}
    assert again == jpg.replace(".jpg", "~2.jpg")
    assert re.fullmatch(r"[0-9a-f]{16}/x\.jpg", below)
    assert rest == [
        *("b" * 200, "row.parquet", "row~2.parquet/x.jpg", "row~2.parquet/y.jpg", "z/x", "z~2"),
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
