import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.blocklists import folder_exchange
from ingestgate.blocklists.exchange import Fetched, Page, Window, fetch
from ingestgate.blocklists.folder_exchange import FolderExchange, refuse_within
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.importing import import_files
from ingestgate.blocklists.store import stored_entries

NOW = datetime(2026, 1, 10, 12, 30, 5, 999, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def since(folder: Path) -> dict[str, str]:
    """What the exchange has kept of a folder's files."""
    content: dict[str, Any] = json.loads((folder / "checkpoint.json").read_bytes())
    kept: dict[str, str] = content["since"]
    return kept


def texts(fetched: Fetched) -> list[str]:
    return [path.read_text() for path in sorted(Path(str(fetched.folder)).iterdir())]


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    made = tmp_path / "offered"
    made.mkdir()
    return made


def test_folder_brings_what_is_new_or_changed(tmp_path: Path) -> None:
    offered, to = tmp_path / "offered", str(tmp_path / "f")
    (offered / "below").mkdir(parents=True)
    (offered / "b.txt").write_text(f"md5 {md5('b')}\n")
    (offered / "below" / "a").write_text(f"md5 {md5('a')}\n")
    one = FolderExchange(str(offered))
    fetched = fetch(one, to, now=NOW)
    assert fetched.pages == 2
    import_files(str(tmp_path / "s"), "p", [str(fetched.folder)])
    assert sum(len([*those]) for _, those in stored_entries(str(tmp_path / "s"), "p")) == 2
    assert sorted(path.name for path in Path(str(fetched.folder)).iterdir()) == [
        "page-000001.txt",
        "page-000002",
    ]
    assert fetch(one, to, now=LATER) == Fetched(None, 0, f"{to}/pages")
    (offered / "b.txt").write_text(f"md5 {md5('c')}\nmd5 {md5('d')}\n")
    assert fetch(one, to, now=LATER).pages == 1


@pytest.mark.parametrize("later", [timedelta(0), -timedelta(days=400), timedelta(days=1)])
def test_no_window_takes_another_ones_folder(tmp_path: Path, later: timedelta) -> None:
    """Of the same second, or after the clock was set back."""
    offered, to = tmp_path / "offered", tmp_path / "f"
    offered.mkdir()
    folders = []
    for number, text in enumerate("abc"):
        (offered / "list.csv").write_text(f"id,md5\n1,{md5(text)}\n2{text},{md5(text)}\n")
        now = NOW + number * later
        folders.append(str(fetch(FolderExchange(str(offered)), str(to), now=now).folder))
    assert sorted(set(folders)) == folders
    assert {len(list(Path(folder).iterdir())) for folder in folders} == {1}
    mapping = parse_mapping("id=id,md5=md5")
    import_files(str(tmp_path / "s"), "p", [str(to / "pages")], mapping=mapping)
    ((_, stored),) = stored_entries(str(tmp_path / "s"), "p")
    found = {one.entry_id: one.value.hex() for one in stored}
    assert found == {"1": md5("c"), "2a": md5("a"), "2b": md5("b"), "2c": md5("c")}


def test_folder_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = tmp_path / "offered"
    offered.mkdir()
    for name in "abc":
        (offered / name).write_text(name)
    one = FolderExchange(str(offered))
    given = one.page
    pages = iter([given, given])
    monkeypatch.setattr(one, "page", lambda *args: next(pages)(*args))
    with pytest.raises(StopIteration):
        fetch(one, str(tmp_path / "f"), now=NOW)
    assert since(tmp_path / "f") is None
    (offered / "c").unlink()  # what was to come is gone
    fetched = fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=LATER)
    assert fetched == Fetched(
        str(tmp_path / "f" / "pages" / "20260110T123005Z"), 2, str(tmp_path / "f" / "pages")
    )
    assert set(since(tmp_path / "f")) == {"a", "b"}


def test_what_comes_or_changes_meanwhile_is_the_next_windows(
    offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a fetch would not end as long as files do not rest."""
    for name in "bcd":
        (offered / name).write_text(name)
    one = FolderExchange(str(offered))
    given = one.page

    def page(since: JsonValue, window: Window) -> Page | None:
        if window.pages == 1:
            (offered / "a").write_text("a")
            (offered / "c").unlink()  # one that was to come
        if window.pages == 2:
            (offered / "b").write_text("another")
        return given(since, window)

    monkeypatch.setattr(one, "page", page)
    assert texts(fetch(one, str(tmp_path / "f"), now=NOW)) == ["b", "d"]
    monkeypatch.setattr(one, "page", given)
    assert texts(fetch(one, str(tmp_path / "f"), now=LATER)) == ["a", "another"]
    assert set(since(tmp_path / "f")) == set("abd")


@pytest.mark.parametrize("by", [-1, 0, 1], ids=["shorter", "as-long", "longer"])
def test_a_file_that_is_being_written_is_left_for_later(
    offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: int
) -> None:
    for name in "abc":
        (offered / name).write_text(name * 5)
    real = folder_exchange._content

    def written(file: storage.Entry, mark: str) -> Iterator[bytes]:
        for part in real(file, mark):
            yield part
            if file.path.endswith("b"):
                Path(file.path).write_text("x" * (5 + by))

    with monkeypatch.context() as patch:
        patch.setattr(folder_exchange, "_content", written)
        fetched = fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=NOW)
    assert (texts(fetched), fetched.pages, fetched.unsettled) == (["aaaaa", "ccccc"], 2, 1)
    fetched = fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=LATER)
    assert (texts(fetched), fetched.unsettled) == (["x" * (5 + by)], 0)


def test_another_file_of_the_same_size_and_time_is_another(offered: Path, tmp_path: Path) -> None:
    first, second = offered / "a", tmp_path / "a"
    for path, text in ((first, "one"), (second, "two")):
        path.write_text(text)
        os.utime(path, ns=(10**18, 10**18))
    fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=NOW)
    second.replace(first)
    assert texts(fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=LATER)) == ["two"]
    assert fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=LATER).pages == 0


def test_whatever_files_are_called(offered: Path, tmp_path: Path) -> None:
    names = [b"a." + b"x" * 240, b"b.c\x1b]0;own\x07", b"m\xf6.csv", b"m\\xf6.csv", b"n.csv", b"o."]
    for name in names:
        (offered / os.fsdecode(name)).write_bytes(name)
    fetched = fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=NOW)
    stored = sorted(Path(str(fetched.folder)).iterdir())
    assert [path.read_bytes() for path in stored] == sorted(names, key=os.fsdecode)
    assert {path.suffix for path in stored} == {"", ".csv"}
    assert fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=LATER).pages == 0


def test_what_is_fetched_does_not_go_where_it_is_fetched_from(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "offered")
    for to in ("offered", "offered/f", "link/f"):
        with pytest.raises(UsageError, match="which is fetched; name a folder outside"):
            refuse_within(str(tmp_path / to), str(tmp_path / "offered"))
    refuse_within(str(tmp_path / "offered-elsewhere"), str(tmp_path / "offered"))


@pytest.mark.parametrize("files", [1, 20])
def test_a_folder_is_listed_for_all_its_files_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    offered, listed = tmp_path / "offered", list[str]()
    offered.mkdir()
    for number in range(files):
        (offered / f"{number:02}").write_text("x")

    def counted(directory: str) -> list[storage.Entry]:
        listed.append(directory)
        return walk(directory)

    walk = storage.walk
    monkeypatch.setattr(storage, "walk", counted)
    assert fetch(FolderExchange(str(offered)), str(tmp_path / "f"), now=NOW).pages == files
    assert listed == [str(offered)]


def test_folders_of_pages_belong_to_one_exchange(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    fetch(FolderExchange(str(tmp_path / "a")), str(tmp_path / "f"), now=NOW)
    with pytest.raises(UsageError, match="give each its own folder"):
        fetch(FolderExchange(str(tmp_path / "b")), str(tmp_path / "f"), now=NOW)
