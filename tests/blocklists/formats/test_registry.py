from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.formats import registry
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.formats.plain_sources import Urls

SHA256 = "0123456789abcdef" * 4


class OneLine(Urls):
    name = "one-line"

    def detect(self, head: bytes) -> bool:
        return head.startswith(b"ONE")


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("one-line", f"{__name__}:OneLine", registry.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: OneLine)

    def entry_points(**selected: Any) -> EntryPoints:
        return EntryPoints([point]).select(**selected)

    monkeypatch.setattr(registry, "entry_points", entry_points)


@pytest.mark.usefixtures("plug_in")
def test_third_partys_format(tmp_path: Path) -> None:
    assert "one-line" in registry.names()
    assert isinstance(registry.list_format("one-line"), OneLine)
    (tmp_path / "f").write_text("ONE")
    assert registry.detect(str(tmp_path / "f")).name == "one-line"


@pytest.mark.parametrize(
    ("name", "mapping", "reason"),
    [
        ("x", None, "'x' is not a list format; known formats: adblock, csv"),
        ("csv", None, "format csv: say which column is what with --map"),
        ("ncmec", "md5=A", "format ncmec: its fields are fixed; leave --map out"),
    ],
)
def test_formats_there_are_not(name: str, mapping: str | None, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        registry.list_format(name, None if mapping is None else parse_mapping(mapping))


URL = "https://secret-place.example/1.jpg"


@pytest.mark.parametrize(
    "content",
    [
        *("", SHA256, f"{SHA256}\n{SHA256}\n", "hello\n", "\x00\xff"),
        *(f"{URL},A1\n", f"{URL};A1\n{URL};A,2\n", f"{URL}|A1\n{URL}|A2\n"),
        f"{URL},A1\n{URL}/w_1,h_2/x,A2\n",
    ],
)
def test_what_is_in_doubt_is_not_guessed(tmp_path: Path, content: str) -> None:
    (tmp_path / "f").write_text(content)
    with pytest.raises(UsageError, match="no format known; say which with --format") as caught:
        registry.detect(str(tmp_path / "f"))
    assert str(caught.value).endswith(
        "JSON Lines or Parquet file with columns of its own takes --map instead"
    )
    assert SHA256 not in str(caught.value)
    assert "secret-place" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [f"{URL}\n{URL}?a=1,2\n{URL}?a=3,4\n", f"{URL}/w_6,h_4/1\n{URL}/w_6,h_4/2\n{URL}/w_6,h_4/3\n"],
)
def test_urls_may_hold_separators(tmp_path: Path, content: str) -> None:
    (tmp_path / "f").write_text(content)
    assert registry.detect(str(tmp_path / "f")).name == "urls"


def test_domains_may_have_a_dot_in_front(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(".a.example\n.b.example\n")
    assert registry.detect(str(tmp_path / "f")).name == "domains"
