"""Synthetic samples, and what partners' files should become."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.formats.reading import Listed, read_list
from ingestgate.blocklists.formats.registry import list_format

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    return lambda name: (SAMPLES / name).read_bytes()


class Reader:
    """Reads text or bytes as a file of a format; `skipped` counts what was kept out."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "file"
        self.skipped: Counter[str] = Counter()

    def __call__(
        self, name: str, content: str | bytes, columns: str | None = None, **options: Any
    ) -> list[Listed]:
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.skipped = Counter()
        one = list_format(name, None if columns is None else parse_mapping(columns))
        return list(read_list(str(self.path), one, self.skipped, **options))

    def refused(
        self, name: str, content: str | bytes, columns: str | None = None, secret: str = ""
    ) -> str:
        """Returns the message, without the path, after making sure that it shows nothing."""
        with pytest.raises(ListError) as caught:
            self(name, content, columns)
        message = str(caught.value)
        assert message.startswith(str(self.path))
        assert caught.value.__cause__ is None  # a cause could carry the value
        assert not secret or secret.lower() not in message.lower()
        return message.removeprefix(str(self.path)).removeprefix(", ")


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    return Reader(tmp_path)
