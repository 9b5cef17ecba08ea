"""Whether what a judge does not look at twice could have matched the exact way.

    python -m benchmarks.confirmation --images DIR... [--flat] [--json]

Every file below the folders is fingerprinted the quick way and the exact way, as a judge does with
lists of all kinds of hashes. Of those that it would not look at again without a match, each hash
that the exact way finds, in every view and orientation, is compared with all that the quick way
finds: the nearest of these must be within the hash's margin, or an entry could match the first and
stay unnoticed by the second. `benchmarks.margins` compares view by view.
"""

import io
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageFilter

from benchmarks.pictures import SEED
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import signal_types
from ingestgate.fingerprints.fingerprinter import Fingerprint
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.transforms.looking import Look, Looker
from ingestgate.transforms.policy import Policy


def looker(folder: str) -> Looker:
    """Returns a looker that needs every hash that lists can hold and that needs no colours."""
    known = perceptual_hashes()
    sources = []
    rng = np.random.default_rng(1)
    for name, signal in signal_types().items():
        if signal.kind is SignalKind.PERCEPTUAL and name in known and not known[name].colour:
            path = Path(folder, f"{name}.txt")
            path.write_text(rng.bytes(signal.width).hex() + "\n")
            sources.append((name, str(path)))
    to = str(Path(folder, "lists"))
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    compile_list(id="random", version=1, sources=sources, to=to, issued=issued)
    return Looker(Policy(decoder="in_process"), ListSet.open(to, now=datetime.now(UTC)))


def farthest(quick: Fingerprint, exact: Fingerprint, name: str, width: int) -> int:
    """Returns how far a hash of the exact way lies from the nearest of the quick way, at most."""
    hashes = [
        np.frombuffer(b"".join(view.hashes for view in one.perceptual[name]), np.uint8)
        for one in (quick, exact)
    ]
    near, wanted = (each.reshape(-1, width) for each in hashes)
    return max(int(np.bitwise_count(near ^ one).sum(1, dtype=int).min()) for one in wanted)


def flattened(content: bytes, rng: random.Random) -> bytes | None:
    """Returns a picture with little to see in it, as a JPEG; None if it cannot be opened."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            whole = image.convert("RGB")
    except Exception:  # noqa: BLE001 - odd files are among the pictures
        return None
    way = rng.randrange(3)
    if way == 0:
        whole = whole.filter(ImageFilter.GaussianBlur(max(whole.size) / rng.randint(20, 120)))
    elif way == 1:
        whole = Image.blend(whole, Image.new("RGB", whole.size, "gray"), rng.uniform(0.7, 0.98))
    else:
        side = rng.randint(4, 32)
        whole = whole.resize((side, side)).resize(whole.size, Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    whole.save(sink, "JPEG", quality=rng.randint(70, 95))
    return sink.getvalue()


def contents(folders: tuple[Path, ...], *, flat: bool) -> Iterator[bytes]:
    """Yields what is fingerprinted."""
    rng = random.Random(SEED)
    for path in (p for each in folders for p in sorted(each.rglob("*")) if p.is_file()):
        content = path.read_bytes()
        made = flattened(content, rng) if flat else content
        if made is not None:
            yield made


def measure(folders: tuple[Path, ...], *, flat: bool = False) -> dict[str, Any]:
    """Returns counts; the key ``beyond`` counts hashes beyond their margin, ``verdicts`` others."""
    counts: Counter[str] = Counter()
    moved: dict[str, Counter[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        one = looker(folder)
    for content in contents(folders, flat=flat):
        (quick,) = one.fingerprinter.fingerprint_many([content])
        (exact,) = one.fingerprinter.fingerprint_many([content], exact=True)
        if isinstance(quick, Unscannable) or isinstance(exact, Unscannable):
            counts["unscannable"] += 1
            counts["verdicts"] += type(quick) is not type(exact)
        elif one.is_in_doubt(Look(quick)):
            counts["looked at twice"] += 1
        else:
            counts["verdicts"] += quick.low_quality != exact.low_quality
            counts["looked at once"] += 1
            for name in one.needed:
                bits = farthest(quick, exact, name, one.hash_bytes[name])
                moved.setdefault(name, Counter())[bits] += 1
                counts["beyond"] += bits > perceptual_hashes()[name].margin
    figures = {name: max(found) for name, found in sorted(moved.items())}
    return {"beyond": 0, "verdicts": 0, **counts, "farthest": figures}


@click.command()
@click.option(
    "--images", multiple=True, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option("--flat", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
def main(images: tuple[Path, ...], flat: bool, as_json: bool) -> None:
    """Measures."""
    found = measure(images, flat=flat)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name, value in found.items():
            click.echo(f"{name:<16} {value}")
    sys.exit(bool(found["beyond"] or found["verdicts"]))


if __name__ == "__main__":
    main()
