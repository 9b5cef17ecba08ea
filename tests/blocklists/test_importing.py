from pathlib import Path

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.importing import import_files

SAMPLES = Path(__file__).parent / "samples"


def test_folders_and_patterns(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for name in ("ncmec-1.xml", "ncmec-2.xml"):
        (pages / name).write_bytes((SAMPLES / name).read_bytes())
    by_folder = import_files(str(tmp_path / "a"), "p", [str(pages)])
    by_pattern = import_files(str(tmp_path / "b"), "p", [str(pages / "*.xml")])
    assert by_folder == by_pattern
    assert by_folder.changes.total == 3


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file there"):
        import_files(str(tmp_path), "p", [str(tmp_path / "*.xml")])


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    files = [str(SAMPLES / "ncmec-1.xml"), str(SAMPLES / "ncmec-2.xml")]
    import_files(str(tmp_path), "p", files)
    before = (tmp_path / "p" / "entries.parquet").read_bytes()
    changes = import_files(str(tmp_path), "p", files).changes
    assert changes[:3] == (0, 0, 0)
    assert (tmp_path / "p" / "entries.parquet").read_bytes() == before
