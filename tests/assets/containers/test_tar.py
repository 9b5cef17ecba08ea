"""The block structure of tar archives: everything there is accounted for, or an error."""

import io
import tarfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.assets.containers import tar
from ingestgate.assets.containers.window import Window
from ingestgate.assets.errors import ShardError
from tests.archives import JPEG, make_tar, special


def walked(content: bytes, chunk: int = 1 << 20, *, data: bool = True) -> list[tar.Entry]:
    window = Window(io.BytesIO(content), "s.tar", chunk=chunk)
    size = len(content)
    return list(tar.walk(window, "s.tar", size, last=True, data=data, size=size))


def by_tarfile(content: bytes) -> list[tuple[str, int, int, bytes | None]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        result = []
        for info in archive:
            source = archive.extractfile(info) if info.isreg() else None
            result.append(
                (info.name, info.offset, info.offset_data, source.read() if source else None)
            )
        return result


def as_tarfile(entries: list[tar.Entry]) -> list[tuple[str, int, int, bytes | None]]:
    return [(e.name, e.offset, e.data, e.content if e.regular else None) for e in entries]


FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(names.filter(lambda n: n.strip("/")), st.binary(max_size=1200)), max_size=6),
    st.sampled_from(FORMATS[1:]),
    st.sampled_from([512, 700, 1 << 20]),
)
def test_reads_what_tarfile_reads(
    members: list[tuple[str, bytes]], format: int, chunk: int
) -> None:
    content = make_tar(members, format)
    assert as_tarfile(walked(content, chunk)) == by_tarfile(content)
    lengths = [(entry.offset, entry.stop) for entry in walked(content, chunk, data=False)]
    assert lengths == [(entry.offset, entry.stop) for entry in walked(content)]


@pytest.mark.parametrize("format", FORMATS)
def test_spans_are_gapless(format: int) -> None:
    content = make_tar([("a/b.jpg", JPEG), ("a", None), ("x" * 96 + ".txt", b"")], format)
    entries = walked(content)
    assert b"".join(part for entry in entries for part in entry.raw) == content[: entries[-1].stop]
    assert not content[entries[-1].stop :].strip(b"\0")


def test_long_and_undecodable_names() -> None:
    long = "d/" * 120 + "é.jpg"
    for format in FORMATS[1:]:
        assert walked(make_tar([(long, JPEG)], format))[0].name == long
    odd = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    for format in FORMATS[:2]:
        content = make_tar([(odd, JPEG)], format, errors="surrogateescape")
        assert walked(content)[0].name == odd


def test_special_members_have_no_data() -> None:
    types = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
    members = [special(f"m{i}", type_, "a.jpg") for i, type_ in enumerate(types)]
    entries = walked(make_tar([*members, ("a.jpg", JPEG)]))
    assert [entry.regular for entry in entries] == [False] * 5 + [True]
    assert [entry.size for entry in entries] == [0] * 5 + [len(JPEG)]


def test_a_member_of_an_unknown_type_keeps_its_data() -> None:
    content = patched(make_tar([("a.jpg", JPEG), ("b.jpg", JPEG)]), 156, b"Z")
    entries = walked(content)
    assert [(e.name, e.regular, e.content) for e in entries] == [
        ("a.jpg", False, JPEG),
        ("b.jpg", True, JPEG),
    ]


def test_base_256_size_and_signed_checksum() -> None:
    content = make_tar([("a.jpg", JPEG)])
    big = patched(content, 124, b"\x80" + len(JPEG).to_bytes(11, "big"))
    assert walked(big)[0].content == JPEG
    high = bytearray(patched(content, 300, b"\xff\xff"))
    high[148:156] = b"%06o\0 " % (int(bytes(high[148:154]), 8) - 512)
    assert walked(bytes(high))[0].content == JPEG


def test_every_version_of_a_sparse_file_is_known_as_one() -> None:
    old = patched(make_tar([("a.jpg", JPEG)]), 156, b"S")
    assert walked(old)[0].type == tar.SPARSE
    info = tarfile.TarInfo("GNUSparseFile.0/a.jpg")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "a.jpg"}
    entry = walked(make_tar([info], tarfile.PAX_FORMAT))[0]
    assert (entry.type, entry.name) == (tar.SPARSE, "a.jpg")


def test_extra_map_blocks_of_an_old_sparse_file_are_stepped_over() -> None:
    content = bytearray(patched(make_tar([("a.jpg", JPEG)]), 156, b"S"))
    content[482] = 1
    content = bytearray(patched(bytes(content), 482, b"\x01"))
    extension = bytes(504) + b"\0" + bytes(7)
    content[512:512] = extension
    entry = walked(bytes(content))[0]
    assert (entry.data, entry.content) == (1024, JPEG)


def test_global_headers_are_entries_of_their_own() -> None:
    content = make_tar(
        [("a.jpg", JPEG)], tarfile.PAX_FORMAT, pax_headers={"comment": "made for a test"}
    )
    entries = walked(content)
    assert [entry.type for entry in entries] == [tar.GLOBAL, b"0"]
    assert entries[1].name == "a.jpg"


@pytest.mark.parametrize("key", ["path", "size", "linkpath", "GNU.sparse.name"])
def test_a_global_header_that_renames_everything_is_refused(key: str) -> None:
    content = make_tar([("a.jpg", JPEG)], tarfile.PAX_FORMAT, pax_headers={key: "1"})
    with pytest.raises(ShardError, match=r"s\.tar: the global header at byte 0 sets"):
        walked(content)


def test_two_names_for_one_member_are_refused() -> None:
    long = "x" * 120 + ".jpg"
    gnu = make_tar([(long, JPEG)], tarfile.GNU_FORMAT)
    pax = make_tar([("y" * 120 + ".jpg", JPEG)], tarfile.PAX_FORMAT)
    long_name = gnu[: walked(gnu)[0].data - 512]
    with pytest.raises(ShardError, match="has two names"):
        walked(long_name + pax)
    with pytest.raises(ShardError, match="two extended headers of one kind"):
        walked(long_name + gnu)


def test_cut_anywhere_is_an_error() -> None:
    members: Any = [("a.jpg", JPEG), ("b" * 120 + ".jpg", bytes(1000)), ("c.txt", b"")]
    for format in FORMATS:
        if format == tarfile.USTAR_FORMAT:
            members = [("a.jpg", JPEG), ("b.jpg", bytes(1000)), ("c.txt", b"")]
        content = make_tar(members, format)
        whole = walked(content)
        marker = whole[-1].stop
        for boundary in range(0, marker + 1, 512):
            for cut in {max(boundary - 1, 0), boundary, boundary + 1}:
                with pytest.raises(ShardError, match=r"^s\.tar: truncated"):
                    walked(content[:cut])
                with pytest.raises(ShardError, match=r"^s\.tar: truncated"):
                    walked(content[:cut], data=False)
        # From one whole zero block on nothing is missing but padding.
        for cut in (marker + 512, marker + 513, len(content) - 1):
            assert walked(content[:cut]) == whole


def test_every_flipped_bit_of_a_header_is_an_error() -> None:
    content = make_tar([("a.jpg", JPEG), ("b.jpg", JPEG)])
    second = walked(content)[1].offset
    for position in range(second, second + 512):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        try:
            entries = walked(bytes(damaged))
        except ShardError as error:
            assert f"byte {second}" in str(error)  # noqa: PT017
        else:
            # The checksum's own padding is the only place where a flip changes nothing.
            assert 148 <= position - second < 156
            assert as_tarfile(entries) == as_tarfile(walked(content))


@pytest.mark.parametrize(
    ("size", "message"),
    [(b"99999999999", "no readable size"), (b"\xff" * 12, "no readable size")],
)
def test_an_unreadable_size_is_an_error(size: bytes, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        walked(patched(make_tar([("a.jpg", JPEG)]), 124, size))


def test_a_member_too_large_for_memory_is_an_error() -> None:
    size = b"\x80" + (1 << 40).to_bytes(11, "big")
    with pytest.raises(ShardError, match="cannot be judged in memory"):
        walked(patched(make_tar([("a.jpg", JPEG)]), 124, size))


def test_what_is_no_tar_is_an_error() -> None:
    with pytest.raises(ShardError, match="not a tar archive"):
        walked(b"<html>" * 200)
    with pytest.raises(ShardError, match="no end-of-archive marker at byte 0"):
        walked(b"")


@pytest.mark.parametrize("record", [b"12 path=a\n", b"x path=a\n", b"10 path=ab", b"7 path\n"])
def test_a_damaged_extended_header_is_an_error(record: bytes) -> None:
    content = make_tar([("y" * 120 + ".jpg", JPEG)], tarfile.PAX_FORMAT)
    body = record.ljust(512, b"\0")
    head = patched(content[:512], 124, b"%011o" % len(record))
    with pytest.raises(ShardError, match="unreadable extended header at byte 0"):
        walked(head + body + content[1024:])


def test_an_extended_header_without_a_member_is_an_error() -> None:
    content = make_tar([("y" * 120 + ".jpg", JPEG)], tarfile.PAX_FORMAT)
    with pytest.raises(ShardError, match="has no member after it"):
        walked(content[:1024] + bytes(1024))


def test_trailing_data_is_an_entry() -> None:
    content = make_tar([("a.jpg", JPEG)])
    hidden = make_tar([("hidden.jpg", JPEG)])
    entries = walked(content + hidden)
    assert (entries[-1].type, entries[-1].name) == (tar.TRAILING, "<trailing data>")
    assert entries[-1].content == hidden
    assert b"".join(entries[0].raw + entries[-1].raw) == content + hidden
    assert walked(content + bytes(5000) + b"x")[-1].content.strip(b"\0") == b"x"
    assert walked(content + bytes(5000))[-1].name == "a.jpg"


def test_a_range_must_end_where_a_member_does() -> None:
    content = make_tar([("a.jpg", bytes(2000)), ("b.jpg", JPEG)])
    second = walked(content)[1].offset

    def part(start: int, stop: int) -> list[tar.Entry]:
        source = io.BytesIO(content)
        source.seek(start)
        return list(tar.walk(Window(source, "s", start), "s", stop, last=False, data=True))

    assert [entry.name for entry in part(0, second)] == ["a.jpg"]
    with pytest.raises(ShardError, match="no member begins at byte"):
        part(0, second - 512)
    with pytest.raises(ShardError, match="inside a range"):
        part(second, len(content))


def patched(content: bytes, position: int, value: bytes) -> bytes:
    """Changes the first header and sets its checksum right."""
    header = bytearray(content[:512])
    header[position : position + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content[512:]
