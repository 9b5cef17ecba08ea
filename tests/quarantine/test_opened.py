from pathlib import Path

import pytest

from ingestgate.assets.errors import UsageError, VaultError
from ingestgate.quarantine.opened import new_folder, write

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
    assert (tmp_path / "to" / "three" / "0000.jpg").read_bytes() == b"picture"


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
