"""Synthetic lists: random values, reserved names."""

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestgate.blocklists import tables
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo

ISSUED = datetime(2025, 1, 1, tzinfo=UTC)
Compile = Callable[..., ListInfo]


def to_ipc(batches: Sequence[pa.RecordBatch]) -> bytes:
    """Record batches as a list's file holds them."""
    sink = io.BytesIO()
    tables.write_ipc(sink, batches[0].schema, batches)
    return sink.getvalue()


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compiles ``name=text`` sources into ``tmp_path/lists``."""

    def compile_(
        id: str = "partner", version: int = 1, to: str = "lists", /, **arguments: Any
    ) -> ListInfo:
        sources = []
        options: dict[str, Any] = {"issued": ISSUED}
        for name, value in arguments.items():
            if name in (
                "md5",
                "sha1",
                "sha256",
                "sha512",
                "pdq",
                "phash",
                "domain",
                "url",
                "expression",
            ):
                path = tmp_path / f"{id}-{version}.{name}.txt"
                path.write_text(value)
                sources.append((name, str(path)))
            else:
                options[name] = value
        return compile_list(
            id=id, version=version, sources=sources, to=str(tmp_path / to), **options
        )

    return compile_


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., ListSet]:
    """Opens ``tmp_path/lists``."""

    def open_(**options: Any) -> ListSet:
        return ListSet.open(str(tmp_path / "lists"), **{"now": ISSUED, **options})

    return open_
