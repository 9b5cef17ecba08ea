"""Readers of what strangers send, fuzzed: refused by name, or read to the last member."""

import io
import re
import socket
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestgate.assets.containers import tar
from ingestgate.assets.containers.container import ReadOptions
from ingestgate.assets.containers.parquet import ParquetImages
from ingestgate.assets.containers.tar import Entry
from ingestgate.assets.containers.webdataset import WebDataset
from ingestgate.assets.containers.window import Window
from ingestgate.assets.errors import GateError, ListError, ShardError, UsageError
from ingestgate.assets.shard import Sample, Shard
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
from tests.faults.mutating import Change, changes, flipped, kept, mutated

_SAMPLES = Path(__file__).parents[1] / "blocklists" / "samples"
_SECONDS = 5.0  # far more than any of these takes; reading for longer is hanging
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


def read_shard(container: WebDataset | ParquetImages, content: bytes) -> list[Sample] | None:
    """Returns a shard's samples; None if it is refused by name."""
    with tempfile.NamedTemporaryFile(suffix=".shard") as file:
        file.write(content)
        file.flush()
        shard = Shard("s", file.name, container.name, len(content), "0" * 64)
        options = ReadOptions(range_bytes=2048)
        samples: list[Sample] | None
        began = time.monotonic()
        try:
            works = container.cut(shard, options)
            samples = [sample for work in works for sample in container.read(shard, work, options)]
        except ShardError as error:
            samples, refusal = None, str(error)
        else:
            refusal = "s: "
    assert time.monotonic() - began < _SECONDS
    assert refusal.startswith("s: ")
    assert "\n" not in refusal
    return samples


def check_tar(content: bytes) -> None:
    samples = read_shard(WebDataset(), content)
    if samples is None:
        return
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
        return


def walked(content: bytes) -> Iterator[Entry]:
    window = Window(io.BytesIO(content), "s")
    return tar.walk(window, "s", len(content), last=True, data=False)


def check_parquet(content: bytes) -> None:
    samples = read_shard(ParquetImages(), content)
    if samples is None:
        return
    file = pq.ParquetFile(io.BytesIO(content))
    assert len(samples) == file.metadata.num_rows == file.read().num_rows


@pytest.mark.parametrize("number", range(len(TARS)))
def test_tar_shards(number: int) -> None:
    @fuzzed(120, 20_000)
    @given(changes(tar.BLOCK))
    def fuzz(made: list[Change]) -> None:
        check_tar(mutated(TARS[number], made))

    fuzz()


@pytest.mark.parametrize("number", range(len(PARQUETS)))
def test_parquet_shards(number: int) -> None:
    @fuzzed(120, 20_000)
    @given(changes(4))
    def fuzz(made: list[Change]) -> None:
        check_parquet(mutated(PARQUETS[number], made))

    fuzz()


def test_bits_of_footers() -> None:
    """A footer is where a bit makes rows vanish."""
    for number, content in enumerate(PARQUETS):
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        places = [(at, bit) for at in range(footer, len(content)) for bit in range(8)]
        for place, bit in chosen(places, 400, number):
            check_parquet(flipped(content, place, bit))


@pytest.mark.parametrize(("reader", "check"), [("tar", check_tar), ("parquet", check_parquet)])
def test_what_once_failed(reader: str, check: Any) -> None:
    for content in kept(reader):
        check(content)


_MAPPINGS = {
    "table.csv": str(_SAMPLES / "table.yaml"),
    "table.jsonl": "md5=md5,sha256=sha256,id=ref",
    "table.parquet": "sha256=digest,id=ref",
}


def read_sample(name: str, path: Path) -> tuple[int, Counter[str]] | str:
    """Returns how many values a list holds and what was kept out, or why it is refused."""
    mapping = parse_mapping(_MAPPINGS[name]) if name in _MAPPINGS else None
    skipped: Counter[str] = Counter()
    found: tuple[int, Counter[str]] | str
    began = time.monotonic()
    try:
        if name.startswith("hashed"):
            one = registry.list_format("hashed-expressions")
        else:
            one = registry.detect(str(_SAMPLES / name), mapping)
        values = sum(len(each.values) for each in read_list(str(path), one, skipped))
        registry.detect(str(path), mapping)
        found = values, skipped
    except (ListError, UsageError) as error:
        found = str(error)
    assert time.monotonic() - began < _SECONDS
    if isinstance(found, str):
        assert not _SECRET.search(found.removeprefix(str(path)))
    return found


@pytest.mark.parametrize(
    "name", sorted(path.name for path in _SAMPLES.iterdir() if path.suffix != ".yaml")
)
def test_lists(name: str, tmp_path: Path) -> None:
    content, path = (_SAMPLES / name).read_bytes(), tmp_path / "list"

    @fuzzed(40, 10_000)
    @given(changes())
    def fuzz(made: list[Change]) -> None:
        path.write_bytes(mutated(content, made))
        read_sample(name, path)

    fuzz()
    for once in kept(f"lists/{name}"):
        path.write_bytes(once)
        read_sample(name, path)


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
    for items in received(mutated(stream_of([way, JPEG, b"", JPEG * 2]), made)):
        try:
            exact, contents = read_request(items)
        except ProtocolError:
            continue
        # Nothing but the two words says how assets are fingerprinted.
        assert [EXACT if exact else QUICK, *contents] == items


@pytest.mark.parametrize("items", [[], [b"quicK"], [b""], [b"exact "], [JPEG, JPEG]])
def test_a_way_that_is_none_is_not_taken_for_one(items: list[bytes]) -> None:
    with pytest.raises(ProtocolError, match="how"):
        read_request(items)


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
