"""The demo's landing zone: real photographs, a synthetic partner list, and what is planted.

The photographs are the public-domain and CC0 ones that come with scikit-image; the list is made
from some of them, and names a few reserved example domains. Nothing here is, or stands for,
anything else.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ingestgate.assets.errors import UsageError
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits

#: Public domain (NASA, SpaceX) or CC0, by the notes in scikit-image's data package.
PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png"),
    *("gravel.png", "hubble_deep_field.jpg", "moon.png", "retina.jpg", "rocket.jpg"),
)
CLEAN_HOST = "photos.example"


@dataclass(frozen=True, slots=True)
class Planted:
    """A picture in the landing zone that the gate has to catch.

    Attributes:
        name: The photograph.
        how: What was done to it, for people.
        signal: Type of the list entry made from the original.
        alter: Turns the original into the bytes that are planted.
        host: Where the planted asset claims to be from.
    """

    name: str
    how: str
    signal: str
    alter: Callable[[Image.Image], bytes]
    host: str = CLEAN_HOST


def _jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def _palette_png(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.convert("RGB").quantize(256).save(sink, "PNG")
    return sink.getvalue()


def _halved(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


PLANTED = (
    Planted("astronaut.png", "the very bytes", "md5", _jpeg),
    Planted("rocket.jpg", "recompressed at quality 40", "pdq", lambda p: _jpeg(p, 40)),
    Planted("coffee.png", "half the size", "pdq", lambda p: _jpeg(_halved(p))),
    Planted(
        "chelsea.png", "turned by 90 degrees", "pdq", lambda p: _jpeg(p.rotate(90, expand=True))
    ),
    Planted("retina.jpg", "as a CMYK JPEG", "phash", lambda p: _jpeg(p.convert("CMYK"))),
    Planted("hubble_deep_field.jpg", "as a palette PNG", "pdq", _palette_png),
    Planted("brick.png", "listed domain", "domain", _jpeg, "cdn.blocked.example"),
    Planted("gravel.png", "listed domain, in Unicode", "domain", _jpeg, "img.b\u00fccher.example"),
)
_LISTED_DOMAINS = ("blocked.example", "xn--bcher-kva.example")


def _photograph(name: str) -> Image.Image:
    try:
        import skimage.data
    except ImportError as error:
        raise UsageError(
            "the demo takes its photographs from scikit-image: pip install 'ingestgate[demo]'"
        ) from error
    folder = Path(skimage.data.__file__).parent
    with Image.open(folder / name) as picture:
        return picture.convert("RGB")


@dataclass(frozen=True, slots=True)
class DemoAsset:
    """One asset of the landing zone, with what the demo knows of it."""

    key: str
    content: bytes
    url: str
    planted: Planted | None

    @property
    def suffix(self) -> str:
        """Suffix by content."""
        return "png" if self.content.startswith(b"\x89PNG") else "jpg"


def assets() -> Iterator[DemoAsset]:
    """Yields the landing zone: each photograph's four quarters, and the planted ones."""
    for name in PHOTOGRAPHS:
        whole = _photograph(name)
        stem = name.partition(".")[0]
        x, y = whole.width // 2, whole.height // 2
        corners = [(0, 0), (x, 0), (0, y), (x, y)]
        for number, (left, top) in enumerate(corners):
            quarter = whole.crop((left, top, left + x, top + y))
            key = f"{stem}-{number}"
            yield DemoAsset(key, _jpeg(quarter), f"https://{CLEAN_HOST}/{key}.jpg", None)
    for planted in PLANTED:
        stem = planted.name.partition(".")[0]
        content = planted.alter(_photograph(planted.name))
        yield DemoAsset(stem, content, f"https://{planted.host}/{stem}", planted)


def build_landing_zone(root: Path) -> list[DemoAsset]:
    """Writes WebDataset shards and a Hugging Face Parquet file; both hold every asset."""
    everything = list(assets())
    shards = root / "webdataset"
    shards.mkdir(parents=True)
    for number in range(3):
        _write_tar(shards / f"{number:05d}.tar", everything[number::3])
    (root / "parquet").mkdir()
    _write_parquet(root / "parquet" / "train-00000-of-00001.parquet", everything)
    return everything


def _write_tar(path: Path, chosen: list[DemoAsset]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for asset in chosen:
            described = json.dumps({"url": asset.url, "caption": asset.key}).encode()
            for suffix, content in ((asset.suffix, asset.content), ("json", described)):
                member = tarfile.TarInfo(f"{asset.key}.{suffix}")
                member.size, member.mode = len(content), 0o444
                tar.addfile(member, io.BytesIO(content))


def _write_parquet(path: Path, chosen: list[DemoAsset]) -> None:
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "url": {"dtype": "string", "_type": "Value"},
    }
    schema = pa.schema(
        [
            pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            pa.field("url", pa.string()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [
        {"image": {"bytes": a.content, "path": f"{a.key}.{a.suffix}"}, "url": a.url} for a in chosen
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=20)


def build_list_sources(root: Path) -> list[tuple[str, str]]:
    """Writes the synthetic partner's files; returns ``(signal type, path)`` of each."""
    values: dict[str, list[str]] = {"domain": [f"{name},," for name in _LISTED_DOMAINS]}
    fingerprinter = Fingerprinter(["pdq", "phash"], DecodeLimits())
    for planted in PLANTED:
        if planted.signal == "domain":
            continue
        original = _photograph(planted.name)
        stem = planted.name.partition(".")[0]
        if planted.signal == "md5":
            value = hashlib.md5(planted.alter(original), usedforsecurity=False).hexdigest()
        else:
            view = fingerprinter.fingerprint(_jpeg(original)).perceptual[planted.signal][0]
            value = view.hashes[: 32 if planted.signal == "pdq" else 8].hex()
        values.setdefault(planted.signal, []).append(f"{value},demo-{stem},demonstration")
    root.mkdir(parents=True)
    sources = []
    for signal, lines in sorted(values.items()):
        path = root / f"{signal}.csv"
        path.write_text("\n".join(["value,entry_id,category", *lines]) + "\n")
        sources.append((signal, str(path)))
    return sources
