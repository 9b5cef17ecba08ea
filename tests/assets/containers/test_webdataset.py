"""WebDataset shards: grouped as its own reader does, rewritten exactly."""

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webdataset import tariterators

from ingestgate.assets.containers import tar, webdataset
from ingestgate.assets.containers.container import ReadOptions, SampleContainer
from ingestgate.assets.containers.webdataset import WebDataset
from ingestgate.assets.errors import ShardError
from ingestgate.assets.provenance import SIDECAR_ERROR
from ingestgate.assets.shard import Kind, Sample
from tests.archives import JPEG, make_tar, read_all, rewrite, special, write_shard

MANY = ReadOptions(range_bytes=1)


def by_webdataset(content: bytes) -> list[dict[str, Any]]:
    """What the real reader yields, duplicates passed over as with `warn_and_continue`."""

    def files() -> Iterator[dict[str, Any]]:
        for item in tariterators.tar_file_iterator(io.BytesIO(content)):
            yield {**item, "__url__": "u"}

    samples = tariterators.group_by_keys(files(), handler=lambda error: True)
    return [{k: v for k, v in s.items() if k != "__url__"} for s in samples]


def as_webdataset(samples: list[Sample]) -> list[dict[str, Any]]:
    """Our samples in the reader's form, without what readers do not see."""
    result = []
    for sample in samples:
        if sample.members[0].kind is Kind.SKIPPED:
            continue
        record: dict[str, Any] = {"__key__": sample.key}
        for member in sample.members:
            if member.kind is not Kind.DUPLICATE:
                suffix = member.name[len(sample.key) + 1 :].lower()
                record[suffix] = member.content
        result.append(record)
    return result


def shard_bytes(samples: int = 8, format: int = tarfile.USTAR_FORMAT, **options: Any) -> bytes:
    members: list[Any] = []
    for number in range(samples):
        members += [
            (f"d.1/{number:04d}.jpg", JPEG + bytes([number])),
            (f"d.1/{number:04d}.TXT", b"a caption"),
            (f"d.1/{number:04d}.json", json.dumps({"url": f"http://x/{number}"}).encode()),
        ]
        if number % 3 == 0:
            members.append((f"README{number}", b"no dot"))
        if number % 4 == 1:
            members += [
                (f"dir.{number}", None),
                special(f"l{number}.jpg", tarfile.SYMTYPE, "d.1/0000.jpg"),
            ]
    members += [("__meta__/x.jpg", JPEG), ("__info__", JPEG)]
    return make_tar(members, format, **options)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_groups_as_webdataset_does(tmp_path: Path, format: int) -> None:
    content = shard_bytes(format=format)
    samples = read_all(WebDataset(), write_shard(tmp_path, content))
    assert as_webdataset(samples) == by_webdataset(content)
    assert len(as_webdataset(samples)) == 8


parts = st.sampled_from(
    ["a", "b", "A", "d/", "d.e/", ".", "..", ".jpg", ".JPG", ".txt", "\n", "__"]
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.lists(parts, min_size=1, max_size=5).map("".join).filter(lambda n: n.strip("/")),
        max_size=12,
    )
)
def test_any_names_group_as_webdataset_does(tmp_path: Path, names: list[str]) -> None:
    content = make_tar([(name, b"%d" % i) for i, name in enumerate(names)], tarfile.PAX_FORMAT)
    shard = write_shard(tmp_path, content)
    whole = read_all(WebDataset(), shard)
    assert as_webdataset(whole) == by_webdataset(content)
    assert sum(len(sample.members) for sample in whole) == len(names)
    firsts = [sample.members[0].position for sample in whole]
    assert firsts == sorted(firsts)
    assert read_all(WebDataset(), shard, MANY) == whole


def test_members_that_readers_skip_are_samples_of_their_own(tmp_path: Path) -> None:
    content = make_tar(
        [
            ("nodot", JPEG),
            ("a.jpg", JPEG),
            ("__meta__", b"m"),
            special("link.jpg", tarfile.SYMTYPE, "a.jpg"),
            ("dir.d", None),
            ("a.txt", b"caption"),
        ]
    )
    samples = read_all(WebDataset(), write_shard(tmp_path, content + b"tail"))
    found = [(s.key, [(m.name, m.kind, m.content) for m in s.members]) for s in samples]
    assert found == [
        ("nodot", [("nodot", Kind.SKIPPED, JPEG)]),
        ("a", [("a.jpg", Kind.PICTURE, JPEG), ("a.txt", Kind.SIDECAR, b"caption")]),
        ("__meta__", [("__meta__", Kind.SKIPPED, b"m")]),
        ("link.jpg", [("link.jpg", Kind.SKIPPED, None)]),
        ("dir.d", [("dir.d", Kind.SKIPPED, None)]),
        ("<trailing data>", [("<trailing data>", Kind.SKIPPED, b"tail")]),
    ]


def test_a_duplicate_suffix_is_a_member_of_its_sample(tmp_path: Path) -> None:
    content = make_tar([("a.jpg", JPEG), ("a.JPG", b"2"), ("a.__key__", b"3"), ("b.jpg", JPEG)])
    first, second = read_all(WebDataset(), write_shard(tmp_path, content))
    assert [member.kind for member in first.members] == [
        Kind.PICTURE,
        Kind.DUPLICATE,
        Kind.DUPLICATE,
    ]
    assert [member.discriminator for member in first.members] == ["0", "1024", "2048"]
    assert second.key == "b"


def test_a_sparse_file_is_never_a_picture_that_was_judged(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x.jpg")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "a.jpg"}
    content = make_tar([info, ("a.txt", b"t")], tarfile.PAX_FORMAT)
    (sample,) = read_all(WebDataset(), write_shard(tmp_path, content))
    assert [(member.kind, member.content) for member in sample.members] == [
        (Kind.OTHER, None),
        (Kind.SIDECAR, b"t"),
    ]


def test_undecodable_names_are_made_readable(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    content = make_tar([(name, JPEG)], errors="surrogateescape")
    (sample,) = read_all(WebDataset(), write_shard(tmp_path, content))
    assert (sample.key, sample.members[0].name) == ("caf\\xe9", "caf\\xe9.jpg")


@pytest.mark.parametrize(
    ("sidecar", "provenance"),
    [
        (b'{"url": "http://x", "a": {"b": [1]}}', {"url": "http://x", "a.b[0]": "1"}),
        (b"{", {SIDECAR_ERROR: "a.json: not JSON, or a key twice"}),
        (b'{"url": "u", "url": "v"}', {SIDECAR_ERROR: "a.json: not JSON, or a key twice"}),
        (b"[" * 100_000, {SIDECAR_ERROR: "a.json: not JSON, or a key twice"}),
        (b"9" * 10_000, {SIDECAR_ERROR: "a.json: not JSON, or a key twice"}),
        (b"\xff\xfe\xfa", {SIDECAR_ERROR: "a.json: not JSON, or a key twice"}),
        (b'["u"]', {SIDECAR_ERROR: "a.json: not a JSON object"}),
    ],
)
def test_provenance_comes_from_the_json_sidecar(
    tmp_path: Path, sidecar: bytes, provenance: dict[str, str]
) -> None:
    content = make_tar([("a.jpg", JPEG), ("a.json", sidecar), ("b.jpg", JPEG)])
    first, second = read_all(WebDataset(), write_shard(tmp_path, content))
    assert first.provenance == provenance
    assert second.provenance == {}


@pytest.mark.parametrize("range_bytes", [1, 3000, 10_000, 1 << 30])
def test_ranges_are_gapless_and_read_as_one(tmp_path: Path, range_bytes: int) -> None:
    content = shard_bytes(20, tarfile.PAX_FORMAT, pax_headers={"comment": "g"}) + b"tail"
    shard = write_shard(tmp_path, content)
    options = ReadOptions(range_bytes=range_bytes)
    works = WebDataset().cut(shard, options)
    assert [work.number for work in works] == list(range(len(works)))
    assert works[0].start == 0
    assert works[-1].stop == len(content)
    assert [work.stop for work in works[:-1]] == [work.start for work in works[1:]]
    assert all(work.stop - work.start >= range_bytes for work in works[:-1])
    assert (len(works) == 1) == (range_bytes > len(content))
    assert read_all(WebDataset(), shard, options) == read_all(WebDataset(), shard)


@pytest.mark.parametrize("options", [MANY, ReadOptions()])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_nothing_dropped_is_byte_identical(
    tmp_path: Path, options: ReadOptions, format: int
) -> None:
    for end in (b"", bytes(1024), b"tail"):
        content = shard_bytes(format=format, pax_headers={"comment": "g"}) + end
        shard = write_shard(tmp_path / "in", content)
        out = rewrite(WebDataset(), shard, tmp_path / "out", lambda sample: True, options)
        assert out == {"shard.tar": content}
    short = content[: -len(b"tail")].rstrip(b"\0")
    content = short + bytes(-len(short) % 512 + 512)
    shard = write_shard(tmp_path / "in", content)
    out = rewrite(WebDataset(), shard, tmp_path / "out", lambda sample: True, options)
    assert out == {"shard.tar": content}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz"])
def test_what_stays_is_exactly_as_it_stood(tmp_path: Path, seed: int, name: str) -> None:
    format = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT][seed % 3]
    content = shard_bytes(16, format, pax_headers={"comment": "stays"})
    packed = gzip.compress(content) if name.endswith("gz") else content
    shard = write_shard(tmp_path / "in", packed, name)
    chance = random.Random(seed)
    samples = read_all(WebDataset(), shard)
    stays = {s.members[0].position for s in samples if chance.random() < 0.5}

    def keeps(sample: Sample) -> bool:
        return sample.members[0].position in stays

    options = MANY if seed % 2 else ReadOptions()
    output = rewrite(WebDataset(), shard, tmp_path / "out", keeps, options)[name]
    again = rewrite(WebDataset(), shard, tmp_path / "out", keeps, ReadOptions())[name]
    assert output == again
    plain = gzip.decompress(output) if name.endswith("gz") else output
    assert len(plain) % 10240 == 0

    kept = [member.name for s in samples if keeps(s) for member in s.members]
    assert as_webdataset([s for s in samples if keeps(s)]) == by_webdataset(plain)
    assert tar_members(plain) == [m for m in tar_members(content) if m[0] in kept]
    assert len(tar_members(plain)) == len(kept)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert format != tarfile.PAX_FORMAT or archive.pax_headers == {"comment": "stays"}


def tar_members(content: bytes) -> list[tuple[Any, ...]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [
            (i.name, i.mtime, i.mode, i.uid, i.gid, i.uname, i.type, i.linkname, i.size)
            for i in archive
        ]


def test_skipped_members_inside_a_sample_keep_their_place(tmp_path: Path) -> None:
    content = make_tar([("a.jpg", JPEG), ("mid", b"1"), ("a.txt", b"t"), ("b.jpg", JPEG)])
    shard = write_shard(tmp_path / "in", content)

    def names_without(key: str) -> list[str]:
        out = rewrite(WebDataset(), shard, tmp_path / "out", lambda s: s.key != key)
        return [member[0] for member in tar_members(out["shard.tar"])]

    assert names_without("b") == ["a.jpg", "mid", "a.txt"]
    assert names_without("mid") == ["a.jpg", "a.txt", "b.jpg"]
    assert names_without("a") == ["mid", "b.jpg"]


def test_everything_dropped_leaves_an_empty_archive(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "in", shard_bytes())
    out = rewrite(WebDataset(), shard, tmp_path / "out", lambda sample: False)
    assert out == {"shard.tar": bytes(10240)}


@pytest.mark.parametrize("options", [MANY, ReadOptions()])
def test_a_truncated_shard_is_never_read_to_its_end(tmp_path: Path, options: ReadOptions) -> None:
    content = make_tar([("a.jpg", JPEG), ("a.txt", b"t"), ("b.jpg", JPEG), ("c.jpg", JPEG)])
    for boundary in range(512, 4097, 512):
        for cut in (boundary - 1, boundary, boundary + 1):
            shard = write_shard(tmp_path, content[:cut])
            with pytest.raises(ShardError, match=r"^shard\.tar: truncated"):
                read_all(WebDataset(), shard, options)


def test_a_damaged_gzip_stream_is_an_error(tmp_path: Path) -> None:
    packed = gzip.compress(random.Random(1).randbytes(2000) + shard_bytes())
    whole = gzip.compress(shard_bytes())
    for content in (whole[:-9], whole[:-1], whole + b"tail", whole[:200] + whole[210:]):
        with pytest.raises(ShardError, match=r"^shard\.tgz: "):
            read_all(WebDataset(), write_shard(tmp_path, content, "shard.tgz"))
    with pytest.raises(ShardError, match="not a tar archive"):
        read_all(WebDataset(), write_shard(tmp_path, packed, "shard.tgz"))


def test_gzip_is_known_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, gzip.compress(shard_bytes()), "shard.tar")
    assert len(WebDataset().cut(shard, MANY)) == 1
    assert as_webdataset(read_all(WebDataset(), shard, MANY)) == by_webdataset(shard_bytes())


def test_other_compressions_are_named(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(2000))
    with pytest.raises(ShardError, match="is application/zstd; tar shards are read plain or"):
        read_all(WebDataset(), shard)


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
@pytest.mark.parametrize("begin", [b"]\x00\x00\x80", b"\xfd7zXZ"], ids=["lzma", "xz"])
def test_a_tar_that_loaders_would_take_for_lzma(
    tmp_path: Path, begin: bytes, packed: Callable[[bytes], bytes]
) -> None:
    info = tarfile.TarInfo("x")
    info.pax_headers = {"path": "a.jpg"}
    content = bytearray(info.tobuf(tarfile.PAX_FORMAT) + bytes(tar.RECORD))
    content[:100] = begin.ljust(100, b"x")  # of the extended header: no reader uses its name
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        assert archive.getnames() == ["a.jpg"]
    with pytest.raises(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(content), mode="r|*"):
        pass
    with pytest.raises(ShardError, match="begins as LZMA does, which loaders would unpack"):
        read_all(WebDataset(), write_shard(tmp_path, packed(bytes(content))))


def test_a_shard_that_changed_since_it_was_cut_is_an_error(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, shard_bytes())
    works = WebDataset().cut(shard, MANY)
    write_shard(tmp_path, make_tar([("x" * 90 + ".jpg", bytes(7000))] * 9))
    with pytest.raises(ShardError, match=r"^shard\.tar: "):
        [list(WebDataset().read(shard, work, MANY)) for work in works]


def test_a_package_holds_what_a_sample_holds(tmp_path: Path) -> None:
    content = make_tar(
        [
            ("/../../etc/a.jpg", JPEG),
            ("/../../etc/a.txt", b"t"),
            ("/../../etc/a.txt", b"u"),
            special("l", tarfile.SYMTYPE, "/etc/passwd"),
        ],
        tarfile.PAX_FORMAT,
    )
    shard = write_shard(tmp_path, content)
    first, link = read_all(WebDataset(), shard)
    assert WebDataset().package(shard, first) == [
        ("/../../etc/a.jpg", JPEG),
        ("/../../etc/a.txt", b"t"),
        ("/../../etc/a.txt", b"u"),
    ]
    ((name, raw),) = WebDataset().package(shard, link)
    assert name == "l.tar"
    assert tar_members(raw + bytes(1024))[0][0] == "l"


def test_a_writer_left_without_publishing_leaves_nothing(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "in", shard_bytes())
    with WebDataset().rewrite(shard, str(tmp_path / "out")) as writer:
        for sample in read_all(WebDataset(), shard):
            writer.keep(sample)
    assert list((tmp_path / "out").iterdir()) == []


def test_is_a_sample_container() -> None:
    assert isinstance(WebDataset(), SampleContainer)


def test_a_sample_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many members under one key, or between those of one, pack into a few bytes."""
    monkeypatch.setattr(webdataset, "MOST_SAMPLE_BYTES", 20_000)
    apart = [(f"{n}.bin", bytes(4000)) for n in range(5)]
    whole = write_shard(tmp_path, gzip.compress(make_tar([("a.jpg", JPEG), *apart])))
    assert len(read_all(WebDataset(), whole)) == 6
    for name, size in (("a.{}", 4000), ("__{}__/x", 4000), ("a.{}", 0)):
        members = [(name.format(n), bytes(size)) for n in range(5)]
        source = write_shard(tmp_path, gzip.compress(make_tar([("a.jpg", JPEG), *members])))
        with pytest.raises(
            ShardError, match=r"the sample with the member at byte .* takes more than"
        ):
            read_all(WebDataset(), source)


def test_global_headers_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "MOST_SAMPLE_BYTES", 14_000)
    header = tarfile.TarInfo.create_pax_global_header({"comment": "made for a test"})
    rest = make_tar([("a.jpg", JPEG), ("b.jpg", JPEG)])
    few = write_shard(tmp_path, gzip.compress(header * 8 + rest))
    assert [sample.key for sample in read_all(WebDataset(), few)] == ["a", "b"]
    for headers, problem in (
        (14, "the global headers before byte 14336 have more than"),
        (9, "the sample with the member at byte 9216 takes more than"),
    ):
        source = write_shard(tmp_path, gzip.compress(header * headers + rest))
        with pytest.raises(ShardError, match=problem):
            read_all(WebDataset(), source)
