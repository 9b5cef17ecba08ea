"""Archives and shards for the container tests."""

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ingestgate.assets.containers.container import ReadOptions, SampleContainer
from ingestgate.assets.shard import Sample, Shard

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(64))


def make_tar(
    members: Iterable[tuple[str, bytes | None] | tarfile.TarInfo],
    format: int = tarfile.USTAR_FORMAT,
    **options: Any,
) -> bytes:
    """Returns an archive; a TarInfo of its own stands for a member without data."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format, **options) as archive:
        for number, item in enumerate(members):
            if isinstance(item, tarfile.TarInfo):
                archive.addfile(item)
                continue
            name, content = item
            info = tarfile.TarInfo(name)
            info.mtime = 1_500_000_000 + number
            info.mode, info.uid, info.gid = 0o444, number % 7, 3
            info.uname = f"user{number % 3}"
            if content is None:
                info.type = tarfile.DIRTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return sink.getvalue()


def special(name: str, type_: bytes, target: str = "") -> tarfile.TarInfo:
    """Returns the header of a member without data."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, target
    return info


def read_all(
    container: SampleContainer, shard: Shard, options: ReadOptions | None = None
) -> list[Sample]:
    """Reads a shard range by range."""
    options = options or ReadOptions()
    return [
        sample
        for work in container.cut(shard, options)
        for sample in container.read(shard, work, options)
    ]


def rewrite(
    container: SampleContainer,
    shard: Shard,
    output: Path,
    keeps: Callable[[Sample], bool],
    options: ReadOptions | None = None,
) -> dict[str, bytes]:
    """Rewrites a shard with the samples that ``keeps`` wants; returns the published files."""
    options = options or ReadOptions()
    with container.rewrite(shard, str(output)) as writer:
        for work in container.cut(shard, options):
            writer.begin(work)
            for sample in container.read(shard, work, options):
                (writer.keep if keeps(sample) else writer.drop)(sample)
            writer.end(work)
        published = writer.publish()
    return {file.name: (output / file.name).read_bytes() for file in published}


def write_shard(
    folder: Path, content: bytes, name: str = "shard.tar", format: str = "webdataset"
) -> Shard:
    """Writes a shard's bytes below a folder and returns the shard."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Shard(name, str(path), format, len(content), "0" * 64)
