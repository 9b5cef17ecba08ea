"""Whether fingerprints are those of the reference implementations, and odd files cost nothing.

    python -m benchmarks.golden --vectors DIR --images DIR [--edge DIR] [--count 1000] [--json]

VECTORS holds ``expected.tsv`` (columns image, expected_pdq_hex, tolerance_bits, expected_quality)
with its pictures, and ``modes/``: one picture, ``original.jpg``, in other file modes. Fingerprints
are taken the exact way; what is compared is

- the published PDQ of each picture, with the nearest of its views as it is (upright), within the
  stated tolerance, and with the quality of that view where one is stated;
- the picture in each file mode with the plain one, within 16 bits of PDQ;
- the plain picture stored turned as JPEG under each EXIF orientation, so that it shows the same,
  with the plain one, upright, within 8 bits of PDQ;
- of pictures below IMAGES: PDQ and its quality with `pdqhash` (absent if it is not installed) and
  the family of `imagehash` with `imagehash`, on equal pixels, in every bit.

With EDGE, every file below it is judged by itself as a run does, decoder isolated (see
`benchmarks.mutations`): a verdict each within the policy's time, no crash, memory flat.
Exits with 1 if anything is not so.
"""

import csv
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from PIL import ExifTags, Image

from benchmarks.mutations import judged
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.pipeline.robustness.alterations import encode
from ingestgate.pipeline.robustness.references import as_rgb, references

_MODE_BITS = 16
_EXIF_BITS = 8
_SEED = 20240
_PLAIN = "original.jpg"
#: How a picture is stored, by the EXIF orientation that turns it back.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def nearest(found: Fingerprint, pdq: bytes) -> tuple[int, str, int]:
    """Returns bits, view and quality of the view that, upright, is nearest to a PDQ."""
    wanted = int.from_bytes(pdq, "big")
    return min(
        (
            (int.from_bytes(view.hashes[: len(pdq)], "big") ^ wanted).bit_count(),
            view.view,
            view.quality,
        )
        for view in found.perceptual["pdq"]
    )


def first(found: Fingerprint, name: str) -> bytes:
    """Returns the upright hash of the first view."""
    return found.perceptual[name][0].hashes[: perceptual_hashes()[name].bits // 8]


def vectors(folder: Path, fingerprinter: Fingerprinter) -> dict[str, Any]:
    """Holds the published PDQ of pictures against the gate's."""
    outcome: dict[str, Any] = {"count": 0, "views": Counter(), "farthest": 0, "problems": []}
    with (folder / "expected.tsv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            found = fingerprinter.fingerprint((folder / row["image"]).read_bytes(), exact=True)
            value = bytes.fromhex(row["expected_pdq_hex"])
            bits, view, quality = nearest(found, value)
            outcome["count"] += 1
            outcome["views"][view] += 1
            outcome["farthest"] = max(outcome["farthest"], bits)
            if bits > int(row["tolerance_bits"]):
                outcome["problems"].append(f"{row['image']}: {bits} bits in {view}")
            if row["expected_quality"] and quality != int(row["expected_quality"]):
                outcome["problems"].append(f"{row['image']}: quality {quality} in {view}")
    if not outcome["count"]:
        outcome["problems"].append("no vectors")
    return outcome


def modes(folder: Path, fingerprinter: Fingerprinter) -> dict[str, Any]:
    """Holds a picture in each file mode against the plain one."""
    plain = first(fingerprinter.fingerprint((folder / _PLAIN).read_bytes(), exact=True), "pdq")
    bits = {}
    for path in sorted(folder.iterdir()):
        found = fingerprinter.fingerprint(path.read_bytes(), exact=True)
        bits[path.name] = nearest(found, plain)[0]
    far = [f"{name}: {n} bits" for name, n in bits.items() if n > _MODE_BITS]
    return {"count": len(bits), "bits": bits, "problems": far}


def orientations(picture: Path, fingerprinter: Fingerprinter) -> dict[str, Any]:
    """Holds a picture stored under each EXIF orientation against the picture itself."""
    plain = first(fingerprinter.fingerprint(picture.read_bytes(), exact=True), "pdq")
    image = as_rgb(picture.read_bytes())
    bits = {}
    for orientation, turn in _STORED.items():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        stored = encode(image if turn is None else image.transpose(turn), quality=95, exif=exif)
        bits[orientation] = nearest(fingerprinter.fingerprint(stored, exact=True), plain)[0]
    far = [f"orientation {one}: {n} bits" for one, n in bits.items() if n > _EXIF_BITS]
    return {"count": len(bits), "bits": bits, "problems": far}


def pictures(folder: Path, count: int) -> Iterator[bytes]:
    """Yields files below a folder, in an order of chance that is always the same."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(_SEED).shuffle(files)
    for path in files[:count]:
        yield path.read_bytes()


def equal(contents: Iterator[bytes], fingerprinter: Fingerprinter) -> dict[str, Any]:
    """Holds every hash of pictures against that of its reference, on equal pixels."""
    known = references()
    counts: Counter[str] = Counter()
    differing: Counter[str] = Counter()
    for content in contents:
        try:
            fingerprinter.fingerprint(content, exact=True)  # before anything else opens it
        except Unscannable as error:
            counts[f"unscannable: {error.reason}"] += 1
            continue
        image = as_rgb(content)
        try:
            found = fingerprinter.fingerprint(encode(image, "PNG", compress_level=1), exact=True)
        except Unscannable as error:  # as PNG it may be larger than files may be
            counts[f"unscannable as PNG: {error.reason}"] += 1
            continue
        counts["pictures"] += 1
        for name, reference in known.items():
            value, quality = reference.compute(image)
            differing[name] += (first(found, name), found.perceptual[name][0].quality) != (
                value,
                quality,
            )
    problems = [f"{name}: {n} differ" for name, n in differing.items() if n]
    if not counts["pictures"]:
        problems.append("no picture")
    return {
        **counts,
        "references": {name: known[name].by if name in known else "absent" for name in _names()},
        "differing": dict(differing),
        "problems": problems,
    }


def _names() -> list[str]:
    return ["pdq", "phash", "phash16", "dhash", "ahash", "whash", "colorhash"]


def edge(folder: Path) -> dict[str, Any]:
    """Judges every file below a folder by itself, decoder isolated."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return judged((path.read_bytes() for path in files), len(files), 1)


@click.command()
@click.option("--vectors", "known", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--images", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--edge", "odd", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=1000, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True)
def main(known: Path, images: Path, odd: Path | None, count: int, as_json: bool) -> None:
    """Compares."""
    fingerprinter = Fingerprinter(_names(), DecodeLimits())
    result = {
        "vectors": vectors(known, fingerprinter),
        "modes": modes(known / "modes", fingerprinter),
        "exif": orientations(known / "modes" / _PLAIN, fingerprinter),
        "equal": equal(pictures(images, count), fingerprinter),
    }
    if odd:
        result["edge"] = edge(odd)
    if as_json:
        click.echo(json.dumps(result))
    else:
        for name, outcome in result.items():
            click.echo(name)
            for key, value in outcome.items():
                click.echo(f"  {key:<16} {value}")
    sys.exit(any(outcome["problems"] for outcome in result.values()))


if __name__ == "__main__":
    main()
