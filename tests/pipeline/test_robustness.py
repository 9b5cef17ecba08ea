import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ingestgate.pipeline import robustness
from ingestgate.pipeline.alterations import ALTERATIONS, encode
from ingestgate.pipeline.cli import cli
from ingestgate.pipeline.exit_codes import ExitCode

EACH = {name: alter for group in ALTERATIONS.values() for name, alter in group.items()}


def picture(seed: int, width: int = 240, height: int = 180) -> Image.Image:
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24):
        colours = Image.fromarray(rng.integers(0, 256, (cells, cells + 1, 3), np.uint8))
        total += np.asarray(colours.resize((width, height), Image.Resampling.BICUBIC)) / cells
    total -= total.min()
    return Image.fromarray((total * (255 / total.max())).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        picture(seed).save(path / f"{seed}.png")
    picture(1).save(path / "repeated.png")
    Image.new("RGB", (90, 90), "red").save(path / "flat.png")
    (path / "notes.txt").write_text("no picture")
    return path


@pytest.mark.parametrize("name", EACH)
def test_every_alteration_gives_another_file_that_opens(name: str) -> None:
    image = picture(5)
    before = image.tobytes()
    content = EACH[name](image)
    assert image.tobytes() == before
    assert content == EACH[name](image)
    assert content != encode(image)
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()


def test_the_command_finds_what_it_should(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["benchmark", "robustness", "--images", str(folder), "--json"])
    assert result.exit_code == ExitCode.DONE, result.output
    found = json.loads(result.output)
    assert (found["pictures"], found["skipped"]) == (4, 3)
    assert list(found["recall"]) == list(EACH)
    for group in ("orientations", "borders", "file modes", "screenshots"):
        for name in ALTERATIONS[group]:
            assert found["recall"][name]["gate"] == 1.0, name
            assert found["unscannable"][name] == 0
    assert found["recall"]["rotate 90"]["pdqhash"] == 0.0
    assert found["thresholds"]["pdq"] == found["thresholds"]["pdqhash"] == 31
    assert found["precise"]["pdq"]["threshold"] >= 31


def test_the_table(folder: Path) -> None:
    arguments = ["benchmark", "robustness", "--images", str(folder), "--count", "3"]
    output = CliRunner().invoke(cli, [*arguments, "--hash", "dhash"]).output
    assert "pictures; " in output
    assert any(line.split()[:2] == ["rotate", "90"] for line in output.splitlines())
    assert "precise threshold" in output


def test_too_few_pictures_is_a_usage_error(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "one.png")
    result = CliRunner().invoke(cli, ["benchmark", "robustness", "--images", str(tmp_path)])
    assert result.exit_code == ExitCode.USAGE
    assert "fewer than two pictures" in result.output


def test_the_precise_threshold_is_the_highest_of_that_precision() -> None:
    right = Counter({0: 20_000, 10: 5_000})
    assert robustness._precise(right, Counter({12: 1, 13: 100})) == (12, 1.0)
    assert robustness._precise(right, Counter({8: 3, 20: 100})) == (7, 0.8)
    assert robustness._precise(right, Counter({0: 300})) is None
