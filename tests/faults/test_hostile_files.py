"""A landing zone of nothing but hostile files: every one has its verdict, and the run goes on."""

import io
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from ingestgate.transforms.committing import Committer
from tests.archives import make_tar
from tests.e2e.conftest import Job
from tests.faults.conftest import thorough
from tests.faults.hostile import hostile

_FILES = 50_000 if thorough() else 120
_PER_SHARD = 1_000 if thorough() else 40
_MOST_GROWTH = 64 << 20  # bytes that the run's own process may grow by, once it is warm


def test_hostile_files(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "landing").mkdir()
    items: list[tuple[str, bytes | None]] = []
    contents = {}
    for number, (name, content) in enumerate(hostile(_FILES, seed=6), 1):
        contents[name] = content
        items.append((name, content))
        if number % _PER_SHARD == 0:
            shard = tmp_path / "landing" / f"{number // _PER_SHARD:05d}.tar"
            shard.write_bytes(make_tar(items))
            items.clear()
    gate = job(str(tmp_path / "landing" / "*.tar"))
    resident: list[int] = []
    real = Committer.commit

    def watched(self: Any, *arguments: Any) -> Any:
        receipt = real(self, *arguments)
        resident.append(psutil.Process().memory_info().rss)
        return receipt

    monkeypatch.setattr(Committer, "commit", watched)
    report = gate.report()
    assert len(resident) == _FILES // _PER_SHARD
    warm = resident[len(resident) // 3 :]
    assert max(warm) - warm[0] < _MOST_GROWTH
    assert sum(report["counts"].values()) == _FILES
    found = gate.census()
    assert found["exact"], found["problems"]
    rows = gate.ledger()
    assert len(rows) == _FILES
    reasons = Counter(row["reason"] for row in rows)
    assert report["counts"]["unscannable"] > _FILES // 3
    assert len(reasons) > 3, reasons
    warnings.simplefilter("ignore")  # of what a file says beside its picture
    for row in rows:
        if row["verdict"] == "admitted":
            with Image.open(io.BytesIO(contents[row["member"]])) as opened:
                opened.load()  # what is let in is a picture, to the last byte
                assert opened.width * opened.height < 1 << 20
