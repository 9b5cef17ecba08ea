"""A file system that is really full: the run fails with nothing wrong, and completes with room."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import WRITERS, Job
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen

MakeJob = Callable[..., Job]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs that can be filled; only root may mount one."""
    point = tmp_path / "small"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield point
    subprocess.run(["umount", str(point)], check=True)


def test_a_full_disk(job: MakeJob, tmp_path: Path, small: Path) -> None:
    calm = job(WRITERS["webdataset"](tmp_path / "landing"))
    calm.report()
    expected = calm.state()
    for left in chosen(range(4096, 98304, 4096), 4, "full"):  # bytes; all is done in about 90,000
        gate = Job(small / f"left-{left}", calm.inputs, calm.lists, calm.identity, calm.recipient)
        gate.root.mkdir()
        filler = small / "filler"
        free = os.statvfs(small)
        filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - left)))
        tried = gate.run()
        assert tried.exit_code == 1, (left, tried.output)
        assert "No space left on device" in tried.output, left
        check_nothing_wrong(gate, expected["output"], left)
        filler.unlink()
        gate.report()
        assert gate.state() == expected, left
        assert gate.census()["exact"], left
