import errno
import os
from pathlib import Path

import pytest

from ingestgate.assets.errors import StorageError, UsageError, VaultError
from ingestgate.quarantine.opened import new_folder, write
from ingestgate.quarantine.opening import open_object
from ingestgate.quarantine.vault import Vault
from tests.quarantine.vaults import reader

FILES = [("0000.jpg", b"picture"), ("a/0000.json", b"{}")]


def opened(to: Path, asset: str, files: list[tuple[str, bytes]] = FILES) -> list[str]:
    return list(write(new_folder(str(to), asset), files))


def test_each_asset_has_a_private_folder_of_its_own(tmp_path: Path) -> None:
    to = tmp_path / "a" / "opened"
    paths = opened(to, "one") + opened(to, "two", [("0000.jpg", b"another")])
    told = ["one/0000.jpg", "one/a/0000.json", "two/0000.jpg"]
    assert paths == [f"{to}/{path}" for path in told]
    assert (to / "one" / "0000.jpg").read_bytes() == b"picture", "two shards have the same names"
    made = [to.parent, to, *to.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in made if path.is_file()} == {0o600}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    opened(tmp_path / "to", "one")
    with pytest.raises(UsageError, match="to/one: exists; what was opened is never overwritten"):
        new_folder(str(tmp_path / "to"), "one")
    folder = new_folder(str(tmp_path / "to"), "two")
    (tmp_path / "to" / "two").mkdir()
    with pytest.raises(UsageError, match="to/two: exists"):
        list(write(folder, FILES))
    with pytest.raises(VaultError, match=r"three/0000.jpg: is twice in the sample"):
        opened(tmp_path / "to", "three", [FILES[0], ("0000.jpg", b"another")])


def test_what_failed_or_was_ended_keeps_nobody_from_opening_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = new_folder(str(tmp_path / "to"), "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match="No space left"):
            list(write(folder, FILES))
    assert not Path(folder).exists()
    writing = write(folder, FILES)
    next(writing)
    writing.close()  # type: ignore[attr-defined]
    assert not Path(folder).exists()
    assert len(list(write(new_folder(str(tmp_path / "to"), "one"), FILES))) == 2


HOSTILE = [
    [f"{'a' * 300}.jpg", f"{'a' * 300}.txt", f"{'a' * 301}.jpg", "ä" * 150, f"b.{'c' * 300}"],
    ["row.parquet", "row.parquet/x.jpg", "row.parquet/y.jpg", "row.parquet"],
    ["row.parquet/x.jpg", "row.parquet", "row.parquet/x.jpg/z"],
    ["a/b/c", "a/b", "a", "a/b/c/d", "a~2/x"],
    ["/".join(["d" * 19] * 205), f"{'e' * 190}/" * 22 + f"{'f' * 250}.jpg"],
    ["\udce9" * 300, f"{'h' * 200}.jpg", f"{'h' * 200}.jpg"],
]


@pytest.mark.parametrize("names", HOSTILE)
@pytest.mark.parametrize("sealed_before", [False, True])
def test_whatever_names_a_shard_gives_its_files_they_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], *, sealed_before: bool
) -> None:
    """Also those of objects that were sealed with their names as they were."""
    who = reader()
    given = [(name, b"%d" % number) for number, name in enumerate(names)]
    with monkeypatch.context() as patch:
        if sealed_before:
            patch.setattr("ingestgate.quarantine.vault.packed", lambda files: files)
        made = Vault(str(tmp_path / "vault"), [who.recipient]).seal("ab" * 20, given)
    files = open_object(str(tmp_path / "vault"), made.path, [who.identity])
    paths = opened(tmp_path / "to", "one", files)
    assert [Path(path).read_bytes() for path in paths] == [content for _, content in given]
    assert all(len(os.fsencode(path)) < 900 for path in paths)


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    to = tmp_path / "to"
    to.mkdir(mode=0o755)
    opened(to, "one")
    assert to.stat().st_mode & 0o777 == 0o700, "it was empty, and so made for this"
    to.chmod(0o750)
    with pytest.raises(UsageError, match="the folder for what is opened is open to others; close"):
        new_folder(str(to), "two")
    assert [path.name for path in to.iterdir()] == ["one"]


def test_a_sample_is_opened_on_local_disks_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="written to a local folder only"):
        new_folder("teststore://bucket/opened", "one")
