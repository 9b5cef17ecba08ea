"""A file system that is really full: the run fails with nothing wrong, and completes with room."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Job
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen
from tests.faults.zones import ZONES

MakeJob = Callable[..., Job]
_PAGE, _PLENTY = 4096, 8 << 20


class Small:
    """A tmpfs of a given size.

    Args:
        point: Where it lies.
        size: Bytes that fit.
    """

    def __init__(self, point: Path, size: int) -> None:
        self._point = point
        self._mount(f"size={size}")

    def grow(self) -> None:
        """Makes plenty of room."""
        self._mount(f"remount,size={_PLENTY}")

    def used(self) -> int:
        """Returns how many bytes are taken."""
        found = os.statvfs(self._point)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._point)]
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("needs the right to mount a tmpfs")


@contextmanager
def small(point: Path, size: int) -> Iterator[Small]:
    point.mkdir(parents=True)
    made = Small(point, size)
    try:
        yield made
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


@pytest.mark.parametrize("full", ["all", "quarantine", "output", "evidence"])
def test_a_full_disk(job: MakeJob, tmp_path: Path, full: str) -> None:
    """One for all folders of a run, or for one while the others have room."""
    calm = job(ZONES["webdataset"](tmp_path / "landing"))

    def point(gate: Job) -> Path:
        return gate.root if full == "all" else gate.root / full

    with small(point(calm), _PLENTY) as disk:
        calm.report()
        expected, used = calm.state(), disk.used()
    assert used > 4 * _PAGE
    for size in chosen(range(2 * _PAGE, used, _PAGE), 2 if full == "all" else 1, full):
        gate = calm.elsewhere(f"size-{size}")
        with small(point(gate), size) as disk:
            tried = gate.run()
            if tried.exit_code == 0:  # a page less, where no two temporary files had to lie
                assert size > 0.8 * used
                assert gate.state() == expected
                continue
            assert tried.exit_code == 1, (size, tried.output)
            assert "No space left on device" in tried.output, size
            check_nothing_wrong(gate, expected["output"], size)
            disk.grow()
            gate.report()
            assert gate.state() == expected, size
            assert gate.census()["exact"], size
