"""The benchmarks that are cheap enough run to their end on next to nothing."""

import json
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks import (
    confirmation,
    fingerprints,
    golden,
    growth,
    isolation,
    margins,
    mutations,
    page,
    vectors,
)
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.pipeline.robustness.references import references
from ingestgate.transforms.looking import release_fingerprinter
from tests.pictures import encoded, jpeg, picture


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    (folder / "a.jpg").write_bytes(jpeg(1, (300, 220)))
    (folder / "b.png").write_bytes(encoded(picture(2), "PNG"))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors as others publish them, of pictures made here."""
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "modes").mkdir()
    image = picture(3, (300, 220))
    image.save(folder / "one.png")
    (folder / "modes" / "original.jpg").write_bytes(encoded(image, quality=95))
    (folder / "modes" / "CMYK.jpg").write_bytes(encoded(image.convert("CMYK"), quality=95))
    value, quality = references()["pdq"].compute(image)
    (folder / "expected.tsv").write_text(
        "image\texpected_pdq_hex\ttolerance_bits\texpected_quality\tasserted_by\n"
        f"one.png\t{value.hex()}\t0\t{quality}\tnobody\n"
    )
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One round of everything, and this process is left on all its cores."""
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    for module, name in (
        (isolation, "_ROUNDS"),
        (fingerprints, "_ROUNDS"),
        (fingerprints, "_ROUNDS_OF_PEERS"),
    ):
        monkeypatch.setattr(module, name, 1)
    for module in (isolation, fingerprints):
        monkeypatch.setattr(module, "SIDES", (256,))
    yield
    release_fingerprinter()


def outcome(command: click.Command, *arguments: object) -> Any:
    """Returns what a benchmark prints as JSON."""
    result = CliRunner().invoke(command, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", ["acceptance", "memory", "rescan", "verify"])
def test_those_that_take_longer_say_how_they_are_run(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        import_module(f"benchmarks.{name}").main()
    assert ended.value.code in {None, 0}
    assert "--help" in capsys.readouterr().out


def test_isolation(images: Path) -> None:
    found = outcome(isolation.main, "--images", images, "--count", 1)
    assert found["isolation"]["decoder"] == "in a process of its own"
    assert found["pixels"]["256"]["pictures"] == 1
    assert found["pixels"]["256"]["in_batches"]["ratio"] > 0


def test_mutations(images: Path) -> None:
    found = outcome(mutations.main, "--images", images, "--count", 5)
    assert (found["count"], found["problems"]) == (5, [])


def test_golden(images: Path, known: Path) -> None:
    found = outcome(
        golden.main, "--vectors", known, "--images", images, "--edge", images, "--count", 3
    )
    assert {name: one["problems"] for name, one in found.items()} == {
        name: [] for name in ("vectors", "modes", "exif", "equal", "edge")
    }
    assert found["vectors"]["count"] == 1
    assert found["modes"]["count"] == 2
    assert found["exif"]["count"] == 8
    assert found["equal"]["pictures"] == 2
    assert found["equal"]["unscannable: unsupported_media"] == 1
    assert found["edge"]["count"] == 3


def test_golden_fails_where_a_vector_is_not_met(tmp_path: Path, known: Path, images: Path) -> None:
    header, row = (known / "expected.tsv").read_text().splitlines()
    name, value, *_ = row.split("\t")
    flipped = f"{int(value, 16) ^ 0b111:064x}"
    (tmp_path / name).write_bytes((known / name).read_bytes())
    (tmp_path / "expected.tsv").write_text(f"{header}\n{name}\t{flipped}\t2\t101\tnobody\n")
    found = golden.vectors(tmp_path, Fingerprinter(["pdq"], DecodeLimits()))
    assert found["problems"] == ["one.png: 3 bits in full", "one.png: quality 100 in full"]


def test_margins_and_confirmation(images: Path) -> None:
    assert outcome(margins.main, "--images", images)["pictures"] == 6
    assert outcome(confirmation.main, "--images", images)["unscannable"] == 1


def test_fingerprints(images: Path) -> None:
    found = outcome(fingerprints.main, "--images", images, "--count", 1)
    assert found["256"]["times_decode"] > 0
    assert found["256"]["peers"]["imagehash.phash"] > 0


def test_vectors(tmp_path: Path) -> None:
    parts = {"hostname": "example.com", "pathname": "/a", "search": "?b"}
    cases = [
        "a comment",
        {"input": "http://EXAMPLE.com/a?b", "base": None, **parts},
        {"input": "http://[::1", "base": None, "failure": True},
    ]
    (tmp_path / "url.json").write_text(json.dumps(cases))
    found = outcome(vectors.main, "--url", tmp_path / "url.json")
    assert (found["url"]["right"], found["url"]["wrong"]) == (2, [])


def test_growth_of_lists(tmp_path: Path) -> None:
    found = growth.of_entries([20_000], tmp_path)
    assert [one["entries"] for one in found] == [20_000]
    assert found[0]["compile_s"] > 0
    assert found[0]["us_per_query"] > 0


def test_the_page_shows_every_result(tmp_path: Path) -> None:
    """The stored results, each of which has its section; a plot needs matplotlib."""
    results = json.loads((Path(growth.__file__).parent / "results.json").read_text())
    results["benchmarks"].pop("growth", None)
    page.write_page(results, tmp_path)
    shown = (tmp_path / "README.md").read_text()
    for title in (
        "The whole gate",
        "Fingerprints",
        "Hamming search",
        "Sources",
        "Rescan",
        "Verify",
    ):
        assert f"## {title}\n" in shown
    assert all(one["command"] in shown for one in results["benchmarks"].values())
