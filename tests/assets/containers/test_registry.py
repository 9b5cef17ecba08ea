"""Formats by name, built in and registered."""

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from ingestgate.assets.containers import registry
from ingestgate.assets.containers.webdataset import WebDataset
from ingestgate.assets.errors import UsageError


def register(monkeypatch: pytest.MonkeyPatch, *targets: str) -> None:
    points = EntryPoints(EntryPoint("theirs", target, registry.GROUP) for target in targets)

    def entry_points(**chosen: Any) -> EntryPoints:
        return points.select(**chosen)

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_built_in_formats() -> None:
    assert {"folder", "img2dataset", "parquet", "url-manifest", "webdataset"} <= {*registry.names()}
    assert isinstance(registry.container("webdataset"), WebDataset)


def test_a_third_partys_format(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "ingestgate.assets.containers.webdataset:WebDataset")
    registry.container.cache_clear()
    assert "theirs" in registry.names()
    assert isinstance(registry.container("theirs"), WebDataset)
    registry.container.cache_clear()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ((), "'theirs' is not a format; known formats: folder, img2dataset"),
        (("a:b", "c:d"), "'theirs' is registered more than once"),
        (("collections:Counter",), "'theirs' is neither a sample container nor a row container"),
        (("no.such:thing",), "'theirs' cannot be loaded"),
    ],
)
def test_what_is_no_format_is_refused(
    monkeypatch: pytest.MonkeyPatch, targets: tuple[str, ...], message: str
) -> None:
    register(monkeypatch, *targets)
    with pytest.raises(UsageError, match=message):
        registry.container("theirs")
