"""Builds a landing zone from benign pictures, in three formats, with matches planted.

The synthetic lists are made from the pictures themselves. The same assets go into WebDataset
shards, Hugging Face Parquet and an image folder, so that decisions can be compared.
"""

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ingestgate.assets.errors import GateError
from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.unscannable import Unscannable

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif"}
LISTED_HOSTS = ("listed.example", "xn--bcher-kva.example")
LISTED_SOURCES = (
    "https://LISTED.example/{key}.jpg",
    "http://img.listed.example:8080/{key}",
    "https://b\u00fccher.example/{key}.jpg",
    "https://www.xn--bcher-kva.example./{key}.jpg",
)


@dataclass(frozen=True, slots=True)
class LandedAsset:
    """One asset of the landing zone.

    Attributes:
        key: Name without suffix, in every format.
        content: Its bytes.
        suffix: Its suffix.
        url: Where it claims to be from.
        planted: How it was planted, or "".
    """

    key: str
    content: bytes
    suffix: str
    url: str
    planted: str = ""


@dataclass(slots=True)
class LandingZone:
    """What was built.

    Attributes:
        root: Folder with ``webdataset``, ``parquet``, ``folder`` and ``lists``.
        assets: All assets, in order.
    """

    root: Path
    assets: list[LandedAsset] = field(default_factory=list)

    @property
    def planted(self) -> set[str]:
        """Keys of the assets that have to be quarantined."""
        return {asset.key for asset in self.assets if asset.planted}

    def inputs(self, format: str) -> str:
        """Returns the ``--input`` of one format."""
        patterns = {"webdataset": "*.tar", "parquet": "*.parquet"}
        folder = self.root / format
        return str(folder / patterns[format]) if format in patterns else str(folder)


def _encode(picture: Image.Image, kind: str, **options: int) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def _opaque(picture: Image.Image) -> Image.Image:
    """Returns a picture as any editor saves it without transparency: on white."""
    layered = picture.convert("RGBA")
    white = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(white, layered).convert("RGB")


def _recompressed(picture: Image.Image) -> tuple[bytes, str]:
    return _encode(_opaque(picture), "JPEG", quality=60), "jpg"


def _resized(picture: Image.Image) -> tuple[bytes, str]:
    size = (max(64, picture.width * 3 // 5), max(64, picture.height * 3 // 5))
    smaller = _opaque(picture).resize(size, Image.Resampling.LANCZOS)
    return _encode(smaller, "JPEG", quality=90), "jpg"


def _as_cmyk(picture: Image.Image) -> tuple[bytes, str]:
    return _encode(_opaque(picture).convert("CMYK"), "JPEG", quality=90), "jpg"


def _as_palette(picture: Image.Image) -> tuple[bytes, str]:
    return _encode(_opaque(picture).quantize(256), "PNG"), "png"


def _as_16_bit(picture: Image.Image) -> tuple[bytes, str]:
    wide = _opaque(picture).convert("L").convert("I").point(lambda value: value * 257)
    return _encode(wide.convert("I;16"), "PNG"), "png"


ALTERATIONS = {
    "recompressed": (_recompressed,),
    "resized": (_resized,),
    "another file mode": (_as_cmyk, _as_palette, _as_16_bit),
}


def _source(key: str) -> str:
    return f"https://photos.example/{key}"


def build(
    pictures: Sequence[Path],
    root: Path,
    *,
    matches: int,
    sources: int,
    seed: int = 1,
    per_shard: int = 100,
) -> LandingZone:
    """Builds the landing zone and a compiled list.

    Args:
        pictures: Picture files; those that are not reliable for PDQ are never planted.
        root: Where to; must not exist.
        matches: How many to plant: exact, recompressed, resized, in another file mode.
        sources: How many more to give a listed source.
        seed: For what is chosen.
        per_shard: Samples per WebDataset shard; a Parquet file holds five times as many.
    """
    zone = LandingZone(root)
    chooser = random.Random(seed)
    fingerprinter = Fingerprinter(["pdq", "phash"], DecodeLimits())
    landed = [_land(number, path) for number, path in enumerate(pictures)]
    usable = [i for i, asset in enumerate(landed) if _reliable(fingerprinter, asset)]
    chosen = chooser.sample(usable, matches + sources)
    values: dict[str, list[str]] = {"domain": list(LISTED_HOSTS)}
    kinds = ("exact", *ALTERATIONS)
    for count, number in enumerate(chosen[:matches]):
        kind = kinds[count % len(kinds)]
        landed[number] = _plant(landed[number], kind, count, fingerprinter, values)
    for count, number in enumerate(chosen[matches:]):
        asset = landed[number]
        url = LISTED_SOURCES[count % len(LISTED_SOURCES)].format(key=asset.key)
        landed[number] = LandedAsset(asset.key, asset.content, asset.suffix, url, "source")
    zone.assets = landed
    root.mkdir(parents=True)
    _write_webdataset(root / "webdataset", landed, per_shard)
    _write_parquet(root / "parquet", landed, per_shard * 5)
    _write_folder(root / "folder", landed)
    _compile(root, values)
    return zone


def _land(number: int, path: Path) -> LandedAsset:
    key = f"{number:06d}"
    return LandedAsset(key, path.read_bytes(), path.suffix.lstrip(".").lower(), _source(key))


def _reliable(fingerprinter: Fingerprinter, asset: LandedAsset) -> bool:
    try:
        found = fingerprinter.fingerprint(asset.content)
    except (Unscannable, GateError):
        return False
    return not found.low_quality and found.frames == 1


def _plant(
    asset: LandedAsset,
    kind: str,
    count: int,
    fingerprinter: Fingerprinter,
    values: dict[str, list[str]],
) -> LandedAsset:
    """Lists an asset and returns what is planted instead of it."""
    if kind == "exact":
        name = ("md5", "sha1", "sha256")[count // 4 % 3]
        digest = hashlib.new(name, asset.content, usedforsecurity=False).hexdigest()
        values.setdefault(name, []).append(digest)
        return LandedAsset(asset.key, asset.content, asset.suffix, asset.url, kind)
    listed = fingerprinter.fingerprint(asset.content).perceptual
    name, width = ("phash", 8) if count // 4 % 4 == 3 else ("pdq", 32)
    values.setdefault(name, []).append(listed[name][0].hashes[:width].hex())
    alterations = ALTERATIONS[kind]
    with Image.open(io.BytesIO(asset.content)) as picture:
        content, suffix = alterations[count // 4 % len(alterations)](picture)
    return LandedAsset(asset.key, content, suffix, asset.url, kind)


def _described(asset: LandedAsset) -> dict[str, str]:
    return {"url": asset.url, "caption": f"picture {asset.key}"}


def _batches(assets: Sequence[LandedAsset], size: int) -> Iterator[Sequence[LandedAsset]]:
    for start in range(0, len(assets), size):
        yield assets[start : start + size]


def _write_webdataset(root: Path, assets: Sequence[LandedAsset], per_shard: int) -> None:
    root.mkdir()
    for number, batch in enumerate(_batches(assets, per_shard)):
        with tarfile.open(root / f"{number:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for asset in batch:
                text = json.dumps(_described(asset)).encode()
                for suffix, content in ((asset.suffix, asset.content), ("json", text)):
                    member = tarfile.TarInfo(f"{asset.key}.{suffix}")
                    member.size, member.mode = len(content), 0o444
                    tar.addfile(member, io.BytesIO(content))


def _write_parquet(root: Path, assets: Sequence[LandedAsset], per_file: int) -> None:
    root.mkdir()
    features = {
        "image": {"_type": "Image"},
        "key": {"dtype": "string", "_type": "Value"},
        "url": {"dtype": "string", "_type": "Value"},
        "caption": {"dtype": "string", "_type": "Value"},
    }
    text = pa.string()
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", text)])),
            *(("key", text), ("url", text), ("caption", text)),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    batches = list(_batches(assets, per_file))
    for number, batch in enumerate(batches):
        rows = [
            {
                "image": {"bytes": asset.content, "path": f"{asset.key}.{asset.suffix}"},
                "key": asset.key,
                **_described(asset),
            }
            for asset in batch
        ]
        name = f"train-{number:05d}-of-{len(batches):05d}.parquet"
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, root / name, row_group_size=100)


def _write_folder(root: Path, assets: Sequence[LandedAsset]) -> None:
    root.mkdir()
    lines = []
    for asset in assets:
        name = f"{asset.key}.{asset.suffix}"
        (root / name).write_bytes(asset.content)
        lines.append(json.dumps({"file_name": name, **_described(asset)}) + "\n")
    (root / "metadata.jsonl").write_text("".join(lines))


def _compile(root: Path, values: dict[str, list[str]]) -> None:
    (root / "partner").mkdir()
    sources = []
    for name, listed in sorted(values.items()):
        path = root / "partner" / f"{name}.txt"
        path.write_text("\n".join(listed) + "\n")
        sources.append((name, str(path)))
    compile_list(
        id="synthetic",
        version=1,
        partner="made from the pictures",
        sources=sources,
        to=str(root / "lists"),
        issued=datetime(2026, 1, 1, tzinfo=UTC),
    )
