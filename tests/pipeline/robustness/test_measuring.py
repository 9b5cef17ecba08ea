import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.cli import cli
from ingestgate.pipeline.exit_codes import ExitCode
from ingestgate.pipeline.robustness import measuring, tables
from ingestgate.pipeline.robustness.alterations import ALTERATIONS, encode
from ingestgate.pipeline.robustness.references import Reference, references

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


def claiming(width: int, height: int) -> bytes:
    """Returns a PNG whose header names another size than it has."""
    content = bytearray(encode(picture(6), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


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
    assert found["pictures"] == 4
    assert found["skipped"] == {"low_quality": 1, "repeated": 1, "unsupported_media": 1}
    assert found["listed_by"] == {
        "pdq": f"pdqhash {version('pdqhash')}",
        "phash": f"imagehash {version('imagehash')}",
    }
    assert list(found["recall"]) == list(EACH)
    for group in ("orientations", "borders", "file modes", "screenshots"):
        for name in ALTERATIONS[group]:
            assert found["recall"][name]["gate"] == 1.0, name
            assert found["unscannable"][name] == 0
    assert found["recall"]["rotate 90"]["pdqhash"] == 0.0
    assert found["thresholds"]["pdq"] == found["thresholds"]["pdqhash"] == 31
    assert found["precise"]["pdq"]["threshold"] >= 31


def test_odd_files_are_counted_by_what_the_gate_says_of_them() -> None:
    cut = encode(picture(7))[:900]
    icon = encode(picture(8), "ICO")  # a format that the gate does not decode
    odd = [claiming(60_000, 60_000), cut, icon, b"", b"\x89PNG\r\n\x1a\n"]
    result = measuring.measure(iter([*odd, encode(picture(9))]), ["pdq", "phash"])
    assert result.pictures == 1
    assert result.skipped == Counter(
        ["too_many_pixels", "truncated", "unsupported_format", "empty", "undecodable"]
    )


def test_the_judge_decides_by_the_hashes_of_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    # Were the listed hashes the gate's own, or the distances looked at apart from the judge, this
    # reference that turns 64 bits over would go unnoticed.
    installed = references()
    by, compute = installed["pdq"]

    def elsewhere(image: Image.Image) -> tuple[bytes, int]:
        value, quality = compute(image)
        return bytes(0xFF ^ one for one in value[:8]) + value[8:], quality

    far = {"pdq": Reference(by, elsewhere)}
    monkeypatch.setattr(measuring, "references", lambda: installed | far)
    monkeypatch.setattr(measuring, "ALTERATIONS", {"one": {"BMP": EACH["BMP"]}})
    result = measuring.measure(iter([encode(picture(9)), encode(picture(3))]), ["pdq", "phash"])
    assert result.recall("BMP", "pdq") == 0.0
    assert result.recall("BMP", "phash") == result.recall("BMP", measuring.GATE) == 1.0


def result_of(names: Iterable[str]) -> measuring.Robustness:
    result = measuring.Robustness(pictures=3, skipped=Counter(low_quality=2))
    result.listed_by = {"pdq": "pdqhash 1"}
    result.thresholds = {"pdq": 31, "imagehash": 6}
    result.precise = {"pdq": (40, 0.5), "imagehash": None}
    for name in names:
        result.total[name] = 3
        result.found[name].update({"pdq": 2, measuring.GATE: 3})
    return result


def test_the_table_for_a_terminal() -> None:
    lines = list(tables.text(result_of(["one"])))
    assert lines[0] == "3 pictures, listed by pdqhash 1 (pdq); skipped: 2 low_quality"
    assert [line.split() for line in lines[2:]] == [
        ["recall,", "%", "pdq", "imagehash", "gate"],
        ["one", "66.7", "0.0", "100.0"],
        ["default", "threshold", "31", "6"],
        ["precise", "threshold", "40", "(50.0)", "none", "(-)"],
    ]


def test_the_documentation_has_the_rows_that_are_printed_for_it() -> None:
    lines = list(tables.markdown(result_of(EACH)))
    assert lines[:2] == ["| recall, % | pdq | gate | imagehash |", "|---|---|---|---|"]
    assert lines[2] == f"| {next(iter(EACH))} | 66.7 | 100.0 | 0.0 |"
    assert lines[-5] == "| | pdq | imagehash |"
    page = (Path(__file__).parents[3] / "docs" / "robustness.md").read_text()
    documented = page[: page.index("## What is not found")].splitlines()
    titles = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert titles == [line.split(" | ")[0] for line in documented if line.startswith("| ")]


def test_a_hash_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no perceptual hash photodna; there are ahash, "):
        measuring.measure(iter(()), ["photodna", "pdq"])


def test_one_form_of_output_at_a_time(tmp_path: Path) -> None:
    arguments = ["benchmark", "robustness", "--images", str(tmp_path), "--json", "--markdown"]
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, "give one of them" in result.output) == (ExitCode.USAGE, True)


def test_too_few_pictures_is_a_usage_error(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "one.png")
    result = CliRunner().invoke(cli, ["benchmark", "robustness", "--images", str(tmp_path)])
    assert result.exit_code == ExitCode.USAGE
    assert "fewer than two pictures" in result.output


def test_the_precise_threshold_is_the_highest_of_that_precision() -> None:
    right = Counter({0: 20_000, 10: 5_000})
    assert measuring._precise(right, Counter({12: 1, 13: 100}), 25_000) == (12, 1.0)
    assert measuring._precise(right, Counter({8: 3, 20: 100}), 40_000) == (7, 0.5)
    assert measuring._precise(right, Counter({0: 300}), 25_000) is None
