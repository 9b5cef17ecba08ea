import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageCms

from ingestgate.fingerprints import fingerprinter
from ingestgate.fingerprints.pdq import Pdq
from ingestgate.pipeline.cli import cli
from ingestgate.pipeline.exit_codes import ExitCode


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    small = np.random.default_rng(1).integers(0, 256, (8, 10, 3), np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(small).resize((600, 480), Image.Resampling.BICUBIC).save(path)
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["fingerprint", *map(str, arguments)])


@pytest.fixture
def in_process(tmp_path: Path) -> tuple[str, Path]:
    """An option by which no process is started, for what the decoder has no part in."""
    (tmp_path / "policy.yaml").write_text("decoder: in_process\n")
    return "--policy", tmp_path / "policy.yaml"


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == ExitCode.DONE, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_json_of_a_picture(picture: Path) -> None:
    (found,) = lines(invoke(picture, "--json"))
    content = picture.read_bytes()
    assert found["path"] == str(picture)
    assert found["bytes"] == len(content)
    assert found["digests"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (found["media_type"], found["width"], found["height"], found["frames"]) == (
        *("image/png", 600, 480),
        1,
    )
    assert set(found["perceptual"]) == {"pdq", "phash"}
    pdq, phash = found["perceptual"]["pdq"], found["perceptual"]["phash"]
    assert (pdq["reliable"], pdq["reason"], found["icc_profile"]) == (True, None, None)
    assert pdq["views"][0]["quality"] == 100
    assert {view["view"] for view in pdq["views"]} == {"full", "thumbnail-512", "square-512"}
    assert len(pdq["views"][0]["hashes"]) == 8
    assert phash["views"][0]["quality"] is None
    assert phash["views"][0]["hashes"]["upright"] == str(imagehash.phash(Image.open(picture)))


def test_digests_that_are_asked_for_stand_beside_the_usual(
    picture: Path, in_process: tuple[str, Path]
) -> None:
    asked = ("--digest", "sha512", "--digest", "md5")
    (found,) = lines(invoke(picture, "--json", *asked, *in_process))
    assert list(found["digests"]) == ["md5", "sha1", "sha256", "sha512"]
    assert found["digests"]["sha512"] == hashlib.sha512(picture.read_bytes()).hexdigest()
    unknown = invoke(picture, "--digest", "crc32")
    assert unknown.exit_code == ExitCode.USAGE
    assert "no digest 'crc32'; known are md5, sha1, sha256, sha512" in unknown.output


def test_low_quality_and_an_ignored_profile_are_said(
    tmp_path: Path, in_process: tuple[str, Path]
) -> None:
    path = tmp_path / "flat.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (300, 200), "navy").save(path, icc_profile=profile)
    (found,) = lines(invoke(path, "--json", *in_process))
    assert found["icc_profile"] == "ignored"
    said = found["perceptual"]["pdq"]
    assert (said["reliable"], said["reason"]) == (False, "low_quality")
    printed = invoke(path, *in_process).output
    assert "ICC profile ignored" in printed
    assert "pdq       low_quality: held" in printed


def test_a_hash_that_raises_in_this_process_is_told_with_its_reason(
    picture: Path, in_process: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(self: Pdq, given: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(fingerprinter, "_compile", lambda scheme: None)
    monkeypatch.setattr(Pdq, "compute", compute)
    (found,) = lines(invoke(picture, *in_process, "--json"))
    assert found["unscannable"] == {
        "reason": "internal_error",
        "detail": "a hash raised ValueError",
    }


def test_the_hashes_are_those_asked_for(picture: Path, in_process: tuple[str, Path]) -> None:
    asked = ("--hash", "dhash", "--hash", "colorhash")
    (found,) = lines(invoke(picture, "--json", *asked, *in_process))
    assert set(found["perceptual"]) == {"dhash", "colorhash"}
    (view,) = found["perceptual"]["colorhash"]["views"]
    expected = str(imagehash.colorhash(Image.open(picture)))
    assert view["hashes"] == {"upright": expected.zfill(16)}


def test_the_exact_way_is_taken_unless_the_quick_one_is_asked_for(tmp_path: Path) -> None:
    picture = tmp_path / "photo.jpg"
    # Of extreme colours, compressed hard: what a decode to RGB clips, the Y plane still has.
    noise = np.random.default_rng(3).integers(0, 2, (80, 80, 3), np.uint8) * 255
    Image.fromarray(noise).resize((640, 640), Image.Resampling.NEAREST).save(picture, quality=10)

    def upright(*options: str) -> str:
        (found,) = lines(invoke(picture, "--json", "--hash", "phash16", *options))
        bits: str = found["perceptual"]["phash16"]["views"][0]["hashes"]["upright"]
        return bits

    exact = str(imagehash.phash(Image.open(picture), hash_size=16))
    assert upright() == upright("--exact") == exact
    assert upright("--quick") != exact


def test_an_unscannable_file_is_told_with_its_reason(
    tmp_path: Path, in_process: tuple[str, Path]
) -> None:
    (tmp_path / "empty.jpg").touch()
    (found,) = lines(invoke(tmp_path / "empty.jpg", "--json", *in_process))
    assert found["unscannable"]["reason"] == "empty"
    assert "perceptual" not in found
    assert "unscannable: empty" in invoke(tmp_path / "empty.jpg", *in_process).output


def test_folders_and_patterns(picture: Path, tmp_path: Path, in_process: tuple[str, Path]) -> None:
    def paths(given: Path) -> list[str]:
        return [each["path"] for each in lines(invoke(given, "--json", *in_process))]

    (folder := tmp_path / "photos" / "below").mkdir(parents=True)
    other = folder / "photo[1].png"
    top = folder.parent / picture.name
    for path in (other, top):
        path.write_bytes(picture.read_bytes())
    assert paths(folder.parent) == [str(other), str(top)]
    assert paths(folder.parent / "*.png") == [str(top)]
    assert paths(other) == [str(other)]


def test_the_table_for_people(picture: Path, in_process: tuple[str, Path]) -> None:
    output = invoke(picture, *in_process).output
    assert "image/png, 600 x 480 pixels, 1 frame\n" in output
    assert "thumbnail-512" in output
    assert str(imagehash.phash(Image.open(picture))) in output


def test_the_decoder_is_the_gates(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its process nothing is decoded, least of all in this one."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    result = invoke(picture, "--json")
    assert result.exit_code == ExitCode.FAILED
    assert "the decoder's process cannot be started" in result.output


def test_the_policy_says_what_is_decoded_and_where(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("decoder: in_process\nperceptual: [dhash]\nlimits: {max_pixels: 288000}\n")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    (found,) = lines(invoke(picture, "--json", "--policy", policy))
    assert set(found["perceptual"]) == {"dhash"}
    policy.write_text("decoder: in_process\nlimits: {max_pixels: 287999}\n")
    (found,) = lines(invoke(picture, "--json", "--policy", policy))
    assert found["unscannable"]["reason"] == "too_many_pixels"


def test_a_missing_file_is_a_usage_error() -> None:
    result = invoke("missing.png")
    assert result.exit_code == ExitCode.USAGE
    assert "missing.png: there is no such file" in result.output


def test_an_unknown_hash_is_a_usage_error(picture: Path) -> None:
    result = invoke(picture, "--hash", "md5", "--json")
    assert result.exit_code == ExitCode.USAGE
    assert "no perceptual hash md5" in result.output
