from pathlib import Path

import pytest

from ingestgate.assets import storage


def test_partial_names_are_recognised_narrowly() -> None:
    assert storage.is_partial("dir/.file.tar.0123456789ab.partial")
    assert storage.is_partial("dir/.tree.0123456789ab.partial/x")
    assert not storage.is_partial("dir/.file.partial")
    assert not storage.is_partial("dir/file.0123456789ab.partial")
    assert not storage.is_partial("dir/.file.0123456789ab.partial\n")


def test_absolute_leaves_remote_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("x/../y") == str(tmp_path / "y")
    assert storage.absolute("gs://bucket/x/") == "gs://bucket/x"
