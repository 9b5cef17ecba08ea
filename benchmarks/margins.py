"""By how much the quick way to luma moves fingerprints from those of the exact way.

    python -m benchmarks.margins --images DIR... [--json]

Every picture below the folders is fingerprinted by both ways (see `fingerprints.decoding`), also
written again as a JPEG of quality 90, as large as it is and of 1,023 pixels on the longer side.
For each perceptual hash: over the views that both have and that are of sufficient quality, how
many bits of 1,000 views' hashes differ at most, in any orientation; the largest difference of
quality; and how many pictures have views that the other way lacks (a border that ends elsewhere).
The margins stated in the code stand on these figures.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable

_SIDE = 1023  # pixels; odd, for what happens at the ends of what is halved
_SHARES = (50, 99, 99.5, 99.9, 100)


def contents(folders: tuple[Path, ...]) -> Iterator[bytes]:
    """Yields files, and what of them is a picture as a JPEG too."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            yield content
            try:
                with Image.open(path) as image:
                    colours = image.convert("RGB")
            except Exception:  # noqa: BLE001 - whatever a decoder raises, it is no picture
                continue
            factor = _SIDE / max(colours.size)
            size = (max(1, round(colours.width * factor)), max(1, round(colours.height * factor)))
            for shown in (colours, colours.resize(size, Image.Resampling.BICUBIC)):
                sink = io.BytesIO()
                shown.save(sink, "JPEG", quality=90)
                yield sink.getvalue()


def compare(quick: Fingerprint, exact: Fingerprint, name: str) -> Iterator[tuple[int, int] | None]:
    """Yields the bits and the quality by which each view differs; None for one of one way only."""
    scheme = perceptual_hashes()[name]
    by_name = {(view.frame, view.view): view for view in exact.perceptual[name]}
    for view in quick.perceptual[name]:
        other = by_name.get((view.frame, view.view))
        if other is None:
            yield None
            continue
        least = scheme.min_quality or -1
        if max(view.quality, other.quality) < least:
            continue
        pair = [np.frombuffer(one.hashes, np.uint8) for one in (view, other)]
        bits = np.bitwise_count(pair[0] ^ pair[1]).reshape(scheme.orientations, -1).sum(axis=1)
        yield int(bits.max()), abs(view.quality - other.quality)


def measure(folders: tuple[Path, ...]) -> dict[str, Any]:
    """Returns the figures by hash."""
    names = sorted(name for name, one in perceptual_hashes().items() if not one.colour)
    fingerprinter = Fingerprinter(names, DecodeLimits())
    bits: dict[str, list[int]] = {name: [] for name in names}
    quality: dict[str, int] = dict.fromkeys(names, 0)
    lacking: dict[str, int] = dict.fromkeys(names, 0)
    pictures = 0
    for content in contents(folders):
        try:
            quick, exact = (
                fingerprinter.fingerprint(content),
                fingerprinter.fingerprint(content, exact=True),
            )
        except Unscannable:
            continue
        pictures += 1
        for name in names:
            found = list(compare(quick, exact, name))
            differing = [one for one in found if one is not None]
            lacking[name] += len(differing) < len(found)
            bits[name] += [one[0] for one in differing]
            quality[name] = max([quality[name], *(one[1] for one in differing)])
    return {
        "pictures": pictures,
        "hashes": {
            name: {
                "views": len(bits[name]),
                "bits": {
                    str(share): int(np.percentile(bits[name], share, method="higher"))
                    for share in _SHARES
                },
                "quality": quality[name],
                "pictures_with_other_views": lacking[name],
            }
            for name in names
        },
    }


@click.command()
@click.option(
    "--images", multiple=True, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--json", "as_json", is_flag=True)
def main(images: tuple[Path, ...], as_json: bool) -> None:
    """Measures."""
    found = measure(images)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{found['pictures']} pictures")
    for name, figures in found["hashes"].items():
        click.echo(f"{name:<8} {figures}")


if __name__ == "__main__":
    main()
