"""Readers of what strangers send, fuzzed: refused by name, or read to the last member."""

import gzip
import io
import json
import re
import socket
import struct
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestgate.assets.containers import tar
from ingestgate.assets.containers.arrow_text import decoded_table
from ingestgate.assets.containers.container import ReadOptions, RowContainer, SampleContainer
from ingestgate.assets.containers.image_folder import ImageFolder
from ingestgate.assets.containers.img2dataset import Img2Dataset
from ingestgate.assets.containers.parquet import ParquetImages
from ingestgate.assets.containers.tar import Entry
from ingestgate.assets.containers.url_manifest import UrlManifest
from ingestgate.assets.containers.webdataset import WebDataset
from ingestgate.assets.containers.window import Window
from ingestgate.assets.errors import GateError, ListError, ShardError, UsageError
from ingestgate.assets.shard import Shard
from ingestgate.blocklists.formats import registry
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.formats.reading import read_list
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.protocol import (
    EXACT,
    QUICK,
    AnswerForm,
    ProtocolError,
    frame_bytes,
    read_request,
    receive,
    send,
)
from ingestgate.fingerprints.unscannable import Unscannable
from tests.archives import JPEG, make_tar
from tests.faults.conftest import chosen, thorough
from tests.faults.mutating import KEPT, Change, changes, flipped, kept, mutated

_SAMPLES = Path(__file__).parents[1] / "blocklists" / "samples"
_SECONDS = 5.0  # far more than any of these takes; reading for longer is hanging
T = TypeVar("T")
_SECRET = re.compile(r"[0-9A-Fa-f]{16}|orchard|grove")


def fuzzed(short: int, long: int) -> settings:
    """A seeded few examples, or many; a machine's speed decides nothing."""
    return settings(
        max_examples=long if thorough() else short,
        derandomize=not thorough(),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def tar_seeds() -> list[bytes]:
    few: list[tuple[str, bytes | None]] = [
        (f"{number}.{suffix}", JPEG * length)
        for number, length in enumerate((1, 9, 0, 30))
        for suffix in ("jpg", "json")
    ]
    long = [(f"{'d/' * 60}{number}.jpg", JPEG) for number in range(3)]
    return [
        make_tar(few),
        make_tar([*few[:2], ("folder", None), *few[2:]], tarfile.GNU_FORMAT),
        make_tar([*few[:2], *long, ("ü.jpg", JPEG)], tarfile.PAX_FORMAT),
        make_tar(long, tarfile.GNU_FORMAT),
    ]


def parquet_seeds() -> list[bytes]:
    def written(table: pa.Table, **options: Any) -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink, **options)
        return sink.getvalue()

    pictures = [{"bytes": JPEG + bytes([n]), "path": f"{n}.jpg"} for n in range(12)]
    plain = pa.table({"image": pictures, "url": [f"https://fine.example/{n}" for n in range(12)]})
    nested = pa.table({"images": [[JPEG] * (n % 3) for n in range(12)], "n": list(range(12))})
    return [
        written(plain, row_group_size=4),
        written(nested, row_group_size=5, compression="zstd", write_page_index=True),
        written(plain, use_dictionary=False, compression="none", data_page_size=64),
    ]


TARS, PARQUETS = tar_seeds(), parquet_seeds()


def read_shard(
    container: SampleContainer | RowContainer,
    content: bytes,
    suffix: str = ".shard",
    files: Mapping[str, bytes] | None = None,
) -> list[Any] | None:
    """Returns a shard's samples, or rows; None if it is refused by name.

    Args:
        container: Its format.
        content: Its bytes, or of a folder those of its metadata.
        suffix: What its name ends with.
        files: Of a folder what lies beside the metadata, of a trio the other files.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"s{suffix}")
        path.write_bytes(content)
        for name, data in (files or {}).items():
            Path(folder, name).write_bytes(data)
        parts = [str(Path(folder, name)) for name in files or {}]
        is_folder = container.name == "folder"
        whole = folder if is_folder else str(path)
        parts = [] if is_folder else parts
        named = f"s{suffix}"
        shard = Shard(named, whole, container.name, len(content), "0" * 64, parts)
        options = ReadOptions(range_bytes=2048)
        read: list[Any] = []
        refusal = None
        began = time.monotonic()
        try:
            for work in container.cut(shard, options):
                if isinstance(container, RowContainer):
                    read += decoded_table(container.read_rows(shard, work))[0].to_pylist()
                else:
                    read += container.read(shard, work, options)
        except ShardError as error:
            refusal = str(error)
    assert time.monotonic() - began < _SECONDS
    if refusal is None:
        return read
    assert refusal.startswith((f"{named}: ", f"{named}/"))
    assert "\n" not in refusal
    return None


def fuzz_all(
    content: bytes, check: Callable[[bytes], bool], unit: int, short: int, long: int
) -> None:
    """Checks a reader with mutations of what it reads; some have to be read, and some refused."""
    assert check(content), "what is whole is read"
    outcomes: Counter[bool] = Counter()

    @fuzzed(short, long)
    @given(changes(unit))
    def fuzz(made: list[Change]) -> None:
        outcomes[check(mutated(content, made))] += 1

    fuzz()
    assert outcomes[True] > 0, "nothing was read: the reader refuses everything"
    assert outcomes[False] > 0, "nothing was refused: the reader believes everything"


def check_tar(content: bytes) -> bool:
    """Whether it is read; then all of it is."""
    samples = read_shard(WebDataset(), content)
    if samples is None:
        return False
    # What a dataset's reader would see of it is all there, and so is every byte.
    seen: dict[int, bytes] = {
        member.position: member.content
        for sample in samples
        for member in sample.members
        if member.content is not None
    }
    entries = list(walked(content))
    assert [entry.offset for entry in entries[1:]] == [entry.stop for entry in entries[:-1]]
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for info in archive:
                body = archive.extractfile(info) if info.isreg() and not info.issparse() else None
                if body is not None:
                    starts = [each.offset for each in entries if each.data == info.offset_data]
                    assert len(starts) == 1, info.name
                    assert seen[starts[0]] == body.read(), info.name
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        return True
    return True


def walked(content: bytes) -> Iterator[Entry]:
    window = Window(io.BytesIO(content), "s")
    return tar.walk(window, "s", len(content), last=True, data=False)


def check_parquet(content: bytes) -> bool:
    """Whether it is read; then all rows are."""
    samples = read_shard(ParquetImages(), content)
    if samples is None:
        return False
    file = pq.ParquetFile(io.BytesIO(content))
    assert len(samples) == file.metadata.num_rows == file.read().num_rows
    return True


@pytest.mark.parametrize("number", range(len(TARS)))
def test_tar_shards(number: int) -> None:
    fuzz_all(TARS[number], check_tar, tar.BLOCK, 120, 20_000)


@pytest.mark.parametrize("number", range(len(PARQUETS)))
def test_parquet_shards(number: int) -> None:
    fuzz_all(PARQUETS[number], check_parquet, 4, 120, 20_000)


def test_compressed_tar_shards() -> None:
    def check(content: bytes) -> bool:
        return read_shard(WebDataset(), content, ".tar.gz") is not None

    fuzz_all(gzip.compress(TARS[0], mtime=0), check, 1, 60, 20_000)


_ROWS = [(f"https://fine.example/{number}", f"a, {number}") for number in range(9)]
_MANIFESTS = {
    ".csv": b"url,text\n" + b"".join(f'{url},"{text}"\n'.encode() for url, text in _ROWS),
    ".jsonl": b"".join(
        json.dumps({"url": url, "text": text}).encode() + b"\n" for url, text in _ROWS
    ),
}


@pytest.mark.parametrize("suffix", list(_MANIFESTS))
def test_url_manifests(suffix: str) -> None:
    def check(content: bytes) -> bool:
        return read_shard(UrlManifest(), content, suffix) is not None

    fuzz_all(_MANIFESTS[suffix], check, 1, 120, 20_000)


def test_the_parquet_of_a_trio() -> None:
    """Whatever it has become: no picture of the tar goes missing."""
    keys = [f"{number:09d}" for number in range(4)]
    pictures = make_tar([(f"{key}.jpg", JPEG) for key in keys])
    sink = io.BytesIO()
    rows = [{"key": key, "url": f"https://fine.example/{key}", "status": "success"} for key in keys]
    pq.write_table(pa.Table.from_pylist(rows), sink)

    def check(content: bytes) -> bool:
        samples = read_shard(Img2Dataset(), pictures, ".tar", {"s.parquet": content})
        if samples is None:
            return False
        seen = {member.name for sample in samples for member in sample.members}
        assert seen >= {f"{key}.jpg" for key in keys}
        return True

    fuzz_all(sink.getvalue(), check, 4, 60, 20_000)


def test_the_metadata_of_a_folder() -> None:
    """Whatever it has become: no picture beside it goes missing."""
    pictures = {f"{number}.jpg": JPEG + bytes([number]) for number in range(4)}
    lines = [json.dumps({"file_name": name, "url": f"https://a.b/{name}"}) for name in pictures]

    def check(content: bytes) -> bool:
        with_rows = pictures | {"metadata.jsonl": content}
        samples = read_shard(ImageFolder(), JPEG, ".jpg", with_rows)
        if samples is None:
            return False
        seen = {member.name for sample in samples for member in sample.members}
        assert seen >= set(pictures)
        return True

    fuzz_all("".join(f"{line}\n" for line in lines).encode(), check, 1, 60, 20_000)


def test_bits_of_footers() -> None:
    """A footer is where a bit makes rows vanish."""
    for number, content in enumerate(PARQUETS):
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        places = [(at, bit) for at in range(footer, len(content)) for bit in range(8)]
        for place, bit in chosen(places, 400, number):
            check_parquet(flipped(content, place, bit))


def check_jsonl(content: bytes) -> bool:
    return read_shard(UrlManifest(), content, ".jsonl") is not None


_CHECKS = {"jsonl": check_jsonl, "parquet": check_parquet, "tar": check_tar}


@pytest.mark.parametrize("reader", sorted(path.name for path in KEPT.iterdir()))
def test_what_once_failed(reader: str) -> None:
    inputs = kept(reader)
    assert inputs
    for content in inputs:
        _CHECKS[reader](content)


_MAPPINGS = {
    "table.csv": str(_SAMPLES / "table.yaml"),
    "table.jsonl": "md5=md5,sha256=sha256,id=ref,deleted=withdrawn",
    "table.parquet": "sha256=digest,id=ref",
}


def read_sample(name: str, path: Path) -> tuple[int, Counter[str]] | str:
    """Returns how many values a list holds and what was kept out, or why it is refused."""
    mapping = parse_mapping(_MAPPINGS[name]) if name in _MAPPINGS else None
    skipped: Counter[str] = Counter()
    began = time.monotonic()

    def read() -> tuple[int, Counter[str]]:
        if name.startswith("hashed"):
            one = registry.list_format("hashed-expressions")
        else:
            one = registry.detect(str(_SAMPLES / name), mapping)
        return sum(len(each.values) for each in read_list(str(path), one, skipped)), skipped

    found = refused_or(read, path)
    refused_or(lambda: registry.detect(str(path), mapping), path)
    assert time.monotonic() - began < _SECONDS
    return found


def refused_or(work: Callable[[], T], path: Path) -> T | str:
    """Returns what some work gives, or why it is refused, which says nothing of the content."""
    try:
        return work()
    except (ListError, UsageError) as error:
        refusal = str(error)
    assert not _SECRET.search(refusal.removeprefix(str(path)))
    return refusal


@pytest.mark.parametrize(
    "name", sorted(path.name for path in _SAMPLES.iterdir() if path.suffix != ".yaml")
)
def test_lists(name: str, tmp_path: Path) -> None:
    content, path = (_SAMPLES / name).read_bytes(), tmp_path / name
    outcomes: Counter[str] = Counter()

    def check(content: bytes) -> None:
        path.write_bytes(content)
        found = read_sample(name, path)
        if isinstance(found, str):
            outcomes["refused"] += 1
            return
        values, skipped = found
        assert values + sum(skipped.values()) <= len(content)
        outcomes["read"] += values + sum(skipped.values()) > 0

    check(content)
    assert outcomes["read"] == 1, "what is whole is read"

    @fuzzed(40, 10_000)
    @given(changes())
    def fuzz(made: list[Change]) -> None:
        check(mutated(content, made))

    fuzz()
    assert outcomes["refused"], "a reader that refuses nothing"
    assert outcomes["read"] > 1, "a reader that refuses everything"


NONCE = b"12345678"
FORM = AnswerForm.of([perceptual_hashes()["pdq"]], DecodeLimits())


def received(stream: bytes) -> list[list[bytes]]:
    """Returns the frames in a stream, until it ends or breaks off."""
    ours, theirs = socket.socketpair()
    frames = []
    with theirs:
        with ours:
            ours.sendall(stream)
        try:
            while frame := receive(theirs, 100_000, time.monotonic() + _SECONDS):
                frames.append(frame[1])
        except ProtocolError:
            pass
    return frames


def stream_of(items: list[bytes]) -> bytes:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            send(ours, NONCE, items)
        return theirs.recv(16 + frame_bytes(len(items), sum(map(len, items))), socket.MSG_WAITALL)


@fuzzed(200, 50_000)
@given(changes(8), st.sampled_from([QUICK, EXACT]))
def test_requests_to_the_decoder(made: list[Change], way: bytes) -> None:
    there = JPEG * 3
    sizes = [struct.pack("<3Q", len(JPEG), 0, 2 * len(JPEG))]
    for sent in ([b"", JPEG, b"", JPEG * 2], sizes):
        for items in received(mutated(stream_of([way, *sent]), made)):
            try:
                exact, contents = read_request(items, memoryview(there))
            except ProtocolError:
                continue
            # Nothing but the two words says how assets are fingerprinted, and all are there.
            assert items[0] == (EXACT if exact else QUICK)
            assert contents == items[2:] if not items[1] else b"".join(contents) in there
            assert [len(content) for content in contents] == [
                *(len(item) for item in items[2:]),
                *(size for (size,) in struct.iter_unpack("<Q", items[1])),
            ]


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([], "how"),
        ([b"quick"], "how"),
        ([b"quicK", b""], "how"),
        ([b"", b""], "how"),
        ([b"exact ", b""], "how"),
        ([JPEG, JPEG], "how"),
        ([b"exact", bytes(7)], "what"),
        ([b"exact", struct.pack("<Q", 9)], "where there are none"),
        ([b"exact", struct.pack("<2Q", 8, 1)], "where there are none"),
        ([b"exact", struct.pack("<Q", 1 << 63)], "where there are none"),
        ([b"exact", struct.pack("<Q", 8), JPEG], "where there are none"),
    ],
)
def test_what_is_no_request_is_not_taken_for_one(items: list[bytes], problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        read_request(items, memoryview(bytes(8)))


@fuzzed(200, 50_000)
@given(changes(8))
def test_answers_of_the_decoder(made: list[Change]) -> None:
    answers = [FORM.encode(Unscannable(reason, "why")) for reason in _reasons()]
    for items in received(mutated(stream_of(answers), made)):
        for answer in items:
            try:
                outcome = FORM.decode(answer)
            except ProtocolError:
                continue
            assert FORM.encode(outcome) == answer


def _reasons() -> list[Any]:
    from ingestgate.assets.verdict import REASONS, Verdict

    return sorted(REASONS[Verdict.UNSCANNABLE])


def test_errors_are_the_gates() -> None:
    assert issubclass(ShardError, GateError)
    assert issubclass(ListError, GateError)
