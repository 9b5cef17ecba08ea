"""Temporary files are of one process alone and gone with it."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from ingestgate.assets import temporary
from ingestgate.assets.errors import StorageError
from ingestgate.assets.temporary import private_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def check_is_opened_anew(path: str, content: bytes) -> None:
    with open(path, "rb") as one, open(path, "rb") as other:
        assert (one.read(), other.read()) == (content, content)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_it_has_no_name(folder: Path) -> None:
    with private_file() as (file, path):
        file.write(b"bytes")
        file.flush()
        check_is_opened_anew(path, b"bytes")
        assert not list(folder.iterdir()), "what a killed process would leave"
        assert os.stat(path).st_dev == folder.stat().st_dev
    assert file.closed


def test_where_there_is_no_proc_it_has_one_until_the_block_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_nameless", lambda: None)
    with private_file() as (file, path):
        file.write(b"bytes")
        file.flush()
        check_is_opened_anew(path, b"bytes")
        assert [str(each) for each in folder.iterdir()] == [path]
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert not list(folder.iterdir())


def test_no_room_for_a_new_one_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    said = f"{folder}: No space left on device; free some room there, or name another .* in TMPDIR"
    with pytest.raises(StorageError, match=said), private_file():
        pass
