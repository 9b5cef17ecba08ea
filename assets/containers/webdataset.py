"""WebDataset: tar shards whose consecutive members of one key are a sample.

The grouping is that of `webdataset.tariterators` (`base_plus_ext`, `group_by_keys`): the key
is everything before the first dot of the base name, directory included; suffixes are lower
cased. What its readers pass over (names without a dot, ``__meta__`` members, whatever is not
a plain file, data after the end of the archive) makes samples of its own here, of one member,
so that it gets a verdict like everything else.

A gzipped shard is one range, and offsets in it count decompressed bytes.
"""

import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import BinaryIO, ClassVar, cast

from ingestgate.assets import storage
from ingestgate.assets.containers import tar
from ingestgate.assets.containers.container import ReadOptions
from ingestgate.assets.containers.tar import Span
from ingestgate.assets.containers.tar_writer import TarWriter, spans
from ingestgate.assets.containers.window import Window
from ingestgate.assets.errors import ShardError
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.media import sniff
from ingestgate.assets.provenance import Named, of_sidecar, readable
from ingestgate.assets.shard import Kind, Member, Sample, Shard, WorkRange

_KEY = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
_META = re.compile(r"__[^/]*__($|/)")
# Keys that the reader's own sample dictionary has already: a member under such a suffix is a
# duplicate to it.
_RESERVED = frozenset({"__key__", "__url__", "__local_path__"})
_GZIP = b"\x1f\x8b"
#: Bytes of a sample, with what stands inside it: it is in memory whole. A little more than the
#: largest member has; a small gzipped shard may hold any number of those under one key.
MOST_SAMPLE_BYTES = tar.MAX_MEMBER_BYTES + (64 << 20)
_MEMBER_BYTES = 4096  # what a member takes beside its own, from its header to its ledger row
# What Python's `tarfile`, as loaders call it, takes for LZMA: also a tar in which a name begins so,
# in a header whose name nobody uses. They would then see something else than is judged.
_LZMA = (b"]\x00\x00\x80", b"\xfd7zXZ")
_COMPRESSIONS = {"application/zstd", "application/x-xz", "application/x-bzip2", "application/zip"}
_WALK_CHUNK = 16 << 10  # local: little is read in vain between headers
_REMOTE_CHUNK = 4 << 20  # remote: a request per header costs more than the bytes between


class WebDataset:
    """Tar shards, plain or gzipped (see `container.SampleContainer`)."""

    name: ClassVar[str] = "webdataset"
    copies_whole: ClassVar[bool] = True
    reads_again: ClassVar[bool] = False

    def cut(self, shard: Shard, options: ReadOptions) -> list[WorkRange]:
        """Cuts at sample boundaries, into ranges of ``range_bytes`` and a little more."""
        size = storage.status(shard.path).size
        if size <= options.range_bytes or _compressed(shard):
            return [WorkRange(0, 1, 0, size)]
        starts = [0]
        with storage.open_read(shard.path) as source:
            window = Window(source, shard.name, chunk=_chunk(shard, _WALK_CHUNK))
            key: str | None = None
            for entry in tar.walk(window, shard.name, size, last=True, data=False, size=size):
                found = _key(entry)
                if found is None:
                    continue
                far = entry.offset - starts[-1] >= options.range_bytes
                if far and key is not None and key != found[0]:
                    starts.append(entry.offset)
                key = found[0]
        stops = [*starts[1:], size]
        return [
            WorkRange(number, len(starts), start, stop)
            for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
        ]

    def range_sha256(self, shard: Shard, work: WorkRange) -> str:
        """Returns "": members are verified one by one."""
        return ""

    def read(self, shard: Shard, work: WorkRange, options: ReadOptions) -> Iterator[Sample]:
        """Yields a range's samples; holds one, and the skipped members inside it, at a time."""
        last = work.number == work.total - 1
        with _archive(shard, work.start) as source:
            # What is read beside a member's data is copied once more.
            window = Window(source, shard.name, work.start, _chunk(shard, tar.BLOCK))
            if not work.start and window.peek(max(map(len, _LZMA))).startswith(_LZMA):
                problem = "begins as LZMA does, which loaders would unpack"
                raise ShardError(shard.name, f"{problem}; tar shards are read plain or gzipped")
            entries = tar.walk(window, shard.name, work.stop, last=last, data=True)
            yield from _grouped(shard.name, entries, options.sidecars)

    def rewrite(self, shard: Shard, output_root: str) -> TarWriter:
        """Returns a writer of the shard's tar."""
        return TarWriter(shard, output_root, compress=_compressed(shard))

    def package(self, shard: Shard, sample: Sample) -> list[tuple[str, bytes]]:
        """Returns the members' files; one without bytes as its raw tar blocks."""
        raw = {span.offset: b"".join(span.parts) for span in spans(sample)}
        return [
            (member.name, member.content)
            if member.content is not None
            else (f"{member.name}.tar", raw.get(member.position, b""))
            for member in sample.members
        ]


def walk_keys(shard: Shard, stop: int) -> Iterator[str]:
    """Yields the keys of the samples that begin before a range's start, reading headers only.

    A key comes once for each member.
    """
    with storage.open_read(shard.path) as source:
        window = Window(source, shard.name, chunk=_chunk(shard, _WALK_CHUNK))
        for entry in tar.walk(window, shard.name, stop, last=False, data=False):
            found = _key(entry)
            if found is not None:
                yield readable(found[0])


def _chunk(shard: Shard, local: int) -> int:
    return _REMOTE_CHUNK if storage.is_remote(shard.path) else local


def _key(entry: tar.Entry) -> tuple[str, str] | None:
    """Returns the key and the lower-case suffix a reader groups by; None for what it skips."""
    # A sparse file is a plain one to readers, who see it filled with zeros.
    if not entry.regular and entry.type != tar.SPARSE:
        return None
    if _META.match(entry.name):
        return None
    found = _KEY.match(entry.name)
    return (found[1], found[2].lower()) if found else None


def _compressed(shard: Shard) -> bool:
    with storage.open_read(shard.path) as source:
        return source.read(2) == _GZIP


@contextmanager
def _archive(shard: Shard, start: int) -> Iterator[BinaryIO]:
    """Yields the shard's tar stream, placed at ``start``."""
    with storage.open_read(shard.path) as source:
        begin = source.read(16)
        source.seek(0 if begin[:2] == _GZIP else start)
        if begin[:2] == _GZIP:
            with gzip.GzipFile(fileobj=source, mode="rb") as unzipped:
                yield cast(BinaryIO, unzipped)
        elif (media_type := sniff(begin)) in _COMPRESSIONS:
            raise ShardError(shard.name, f"is {media_type}; tar shards are read plain or gzipped")
        else:
            yield source


class _Group:
    """A sample while its members come in, with the skipped ones that stand inside it."""

    def __init__(self, shard: str, key: str, before: list[Span]) -> None:
        self.key = key
        self.spans = before
        self._size = sum(len(part) for span in before for part in span.parts)
        self.members: list[Member] = []
        self.suffixes = set(_RESERVED)
        self.said: list[tuple[str, bytes]] = []
        self.inside: list[Sample] = []
        self._shard = shard

    def hold(self, entry: tar.Entry) -> None:
        """Counts an entry that stands inside the sample.

        Raises:
            ShardError: The sample takes too much memory.
        """
        self._size += entry.stop - entry.offset + _MEMBER_BYTES
        if self._size > MOST_SAMPLE_BYTES:
            problem = f"the sample with the member at byte {entry.offset} takes more than "
            raise ShardError(self._shard, problem + f"{MOST_SAMPLE_BYTES >> 20} MiB of memory")

    def add(self, entry: tar.Entry, suffix: str, sidecars: frozenset[str]) -> None:
        content = None if entry.type == tar.SPARSE or entry.laden else entry.content
        if suffix in self.suffixes:
            kind = Kind.DUPLICATE
        elif content is None:
            kind = Kind.OTHER  # not all its bytes are here as readers see them: never admitted
        else:
            kind = kind_of(suffix, content, sidecars)
        if content is not None and kind is not Kind.DUPLICATE:
            self.said.append((entry.name, content))
        self.suffixes.add(suffix)
        self.hold(entry)
        self.members.append(_member(entry, content, kind))
        self.spans.append(Span(entry.offset, entry.raw))

    def samples(self) -> Iterator[Sample]:
        said = _Provenance(self.said)
        yield Sample(readable(self.key), tuple(self.members), said, tuple(self.spans))
        yield from self.inside


class _Provenance(Mapping[str, str]):
    """What members say of their sample, read when it is asked for: of what is admitted, but once.

    Args:
        members: Names and contents, in their order.
    """

    def __init__(self, members: Sequence[tuple[str, bytes]]) -> None:
        self._members = members

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        named = Named()
        for member, content in self._members:
            for name, text in of_sidecar(member, content).items():
                named.put(name, text)
        return named.texts

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _grouped(
    shard: str, entries: Iterator[tar.Entry], sidecars: frozenset[str]
) -> Iterator[Sample]:
    group: _Group | None = None
    structural: list[Span] = []  # global headers that stand before any sample
    waiting = 0  # their bytes
    for entry in entries:
        if entry.type == tar.GLOBAL and not entry.laden:
            if group:
                group.hold(entry)
            else:
                waiting += entry.stop - entry.offset
                if waiting > MOST_SAMPLE_BYTES:
                    problem = f"the global headers before byte {entry.stop} have more than "
                    raise ShardError(shard, problem + f"{MOST_SAMPLE_BYTES >> 20} MiB")
            (group.spans if group else structural).append(Span(entry.offset, entry.raw, True))
            continue
        found = _key(entry)
        if found is None:
            skipped = _skipped(entry, structural)
            structural, waiting = [], 0
            if group:
                group.hold(entry)
                group.inside.append(skipped)
            else:
                yield skipped
            continue
        key, suffix = found
        if group is None or group.key != key:
            if group:
                yield from group.samples()
            group = _Group(shard, key, structural)
            structural, waiting = [], 0
        group.add(entry, suffix, sidecars)
    if group:
        yield from group.samples()


def _skipped(entry: tar.Entry, structural: list[Span]) -> Sample:
    bytes_of_its_own = (entry.regular or entry.size > 0) and not entry.laden
    member = _member(entry, entry.content if bytes_of_its_own else None, Kind.SKIPPED)
    return Sample(member.name, (member,), {}, (*structural, Span(entry.offset, entry.raw)))


def _member(entry: tar.Entry, content: bytes | None, kind: Kind) -> Member:
    return Member(
        name=readable(entry.name),
        position=entry.offset,
        content=content,
        kind=kind,
        discriminator=str(entry.offset),
    )
