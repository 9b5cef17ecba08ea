"""How far the hashing is, and who is told."""

from pathlib import Path

import pytest

from ingestgate.assets.errors import EvidenceError
from ingestgate.pipeline import hashing
from ingestgate.pipeline.hash_progress import HashProgress
from ingestgate.pipeline.hashing import Meter, folder_digest, hash_files


class Clock:
    """A clock that goes on by itself, at each look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


def test_the_meter_tells_now_and_then_and_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "time", Clock(0.2))
    told: list[tuple[int, int]] = []
    meter = Meter(10, lambda done, total, rate: told.append((done, total)))
    for _ in range(10):
        meter(1)
    assert told[0] == (3, 10)
    assert told[-1] == (10, 10)
    assert len(told) < 8


def test_what_was_never_told_of_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "time", Clock(0.001))
    told: list[int] = []
    meter = Meter(2, lambda done, total, rate: told.append(done))
    meter(2)
    assert told == []


def test_a_line_feed_in_a_name_makes_no_folder_look_like_another(tmp_path: Path) -> None:
    a, b = "1a" * 32, "2b" * 32
    assert folder_digest("/d", {"/d/k": a, "/d/t": b}) != folder_digest("/d", {"/d/k": a})
    with pytest.raises(EvidenceError, match="the name has a line feed"):
        folder_digest("/d", {f"/d/k\n{b}  t": a})


def test_files_are_counted_as_they_are_hashed(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        (tmp_path / str(number)).write_bytes(bytes(1000 * number))
        paths.append(str(tmp_path / str(number)))
    meter = Meter(3000)
    assert [path for path, _ in hash_files(paths, meter, threads=2)] == paths
    assert meter.done == 3000


def test_a_log_file_gets_a_line_of_rate_and_time_left_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = HashProgress()
    for number in range(1, 41):
        show(number * 10**8, 8 * 10**9, 5e8)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "2.0 of 8.0 GB, 0.50 GB/s, 12 s left",
        "4.0 of 8.0 GB, 0.50 GB/s, 8 s left",
    ]


def test_a_terminal_gets_one_line_that_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    show = HashProgress()
    show(10**9, 2 * 10**9, 1e9)
    show(2 * 10**9, 2 * 10**9, 1e9)
    said = capsys.readouterr().err
    assert said.startswith("\r1.0 of 2.0 GB, 1.00 GB/s, 1 s left")
    assert said.count("\n") == 1
    assert said.endswith("\n")
