"""The acceptance on a few pictures, in this process, so that it stays true."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import acceptance, memory
from benchmarks.landing_zone import build
from ingestgate.pipeline.cli import cli
from ingestgate.quarantine.keys import generate_identity
from tests.pictures import jpeg


def call(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    result = CliRunner().invoke(cli, list(arguments))
    return subprocess.CompletedProcess([], result.exit_code, result.stdout, result.stderr)


def test_a_few_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "call", call)
    (tmp_path / "pictures").mkdir()
    for seed in range(12):
        (tmp_path / "pictures" / f"{seed:02d}.jpg").write_bytes(jpeg(seed))
    pictures = acceptance.pictures_below([str(tmp_path / "pictures")])
    zone = build(pictures, tmp_path / "landing", matches=4, sources=2, per_shard=6)
    assert len(zone.planted) == 6
    recipient = generate_identity(str(tmp_path / "identity.txt"))
    decided = {}
    for format in acceptance.FORMATS:
        inputs, to = zone.inputs(format), tmp_path / format
        gate = acceptance.Gate(inputs, zone.root / "lists", recipient, to)
        gate.run("--workers", "1")
        decided[format] = acceptance.check_run(gate, zone, format)
        assert acceptance.check_resumed(gate, "--workers", "1") > 0
    assert decided["parquet"] == decided["folder"] == decided["webdataset"]
    (tmp_path / "folder" / "output" / "more").write_bytes(b"")
    with pytest.raises(acceptance.NotAccepted, match="in the output, but admitted by no receipt"):
        acceptance.check_run(gate, zone, "folder")


def test_growth_of_memory_is_that_of_the_largest_process() -> None:
    results = {
        10: {"peak_mb": {"driver": [100.0], "worker": [90.0, 70.0]}},
        100: {"peak_mb": {"driver": [120.0], "worker": [95.0, 94.0], "decoder": [50.0]}},
    }
    assert memory.growth(results) == {"driver": 20.0, "worker": 5.0, "decoder": 0.0}
