from pathlib import Path

import pytest

from tests.object_store import ROOT_VARIABLE, ObjectStore

REMOTES = ("teststore://bucket", "testtree://host")


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "stores"
    root.mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    monkeypatch.setattr(ObjectStore, "failing", set())


@pytest.fixture
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty directory or prefix of each kind of file system."""
    if request.param == "local":
        return str(tmp_path / "local")
    request.getfixturevalue("stores")
    return f"{request.param}/data"


everywhere = pytest.mark.parametrize("root", ["local", *REMOTES], indirect=True)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
