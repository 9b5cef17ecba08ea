import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestgate.fingerprints.exif_thumbnail import Thumbnail, thumbnail
from ingestgate.fingerprints.multi_picture import image_offsets


def index(order: str, offsets: list[int], claimed: int | None = None) -> bytes:
    """Returns an index as CIPA DC-007 has it: version, number of images, entries."""
    count = len(offsets) if claimed is None else claimed
    fields = struct.pack(order + "HHI4s", 0xB000, 7, 4, b"0100")
    fields += struct.pack(order + "HHII", 0xB001, 4, 1, count)
    fields += struct.pack(order + "HHII", 0xB002, 7, 16 * len(offsets), 50)
    head = {"<": b"II\x2a\x00", ">": b"MM\x00\x2a"}[order] + struct.pack(order + "I", 8)
    entries = b"".join(struct.pack(order + "IIIHH", 0, 1, offset, 0, 0) for offset in offsets)
    return head + struct.pack(order + "H", 3) + fields + bytes(4) + entries


def offsets_of(content: bytes) -> list[int]:
    return image_offsets([("APP2", b"ICC_PROFILE\0"), ("APP2", b"MPF\0" + content)], 100)


def test_without_an_index_there_is_one_image() -> None:
    assert image_offsets([("APP1", b"MPF\0"), ("APP2", b"ICC_PROFILE\0")], 0) == [0]


@given(st.sampled_from("<>"), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_offsets_are_from_the_start_of_the_index(order: str, offsets: list[int]) -> None:
    assert offsets_of(index(order, offsets)) == [0, *(100 + offset for offset in offsets[1:])]


@pytest.mark.parametrize("claimed", [0, 1, 3])
def test_two_numbers_of_images_are_refused(claimed: int) -> None:
    with pytest.raises(ValueError, match="two numbers"):
        offsets_of(index("<", [0, 5], claimed))


@pytest.mark.parametrize("order", "<>")
def test_fields_that_are_there_twice_are_refused(order: str) -> None:
    """One reader sees two images, and another only the first."""
    two, one = index(order, [0, 5]), index(order, [0])
    fields = two[10:46] + one[22:46]
    # Of the second pair, the entries are the first ones': so many bytes behind the longer index.
    content = two[:8] + struct.pack(order + "H", 5) + fields + bytes(4) + two[50:]
    with pytest.raises(ValueError, match="not in order"):
        offsets_of(content)


@given(st.binary(max_size=200))
@example(b"II\x2a\x00\x08\x00\x00\x00\xff\xff")
def test_whatever_else_is_there_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="ind"):
        offsets_of(content)


@given(st.sampled_from([b"", b"II\x2a\x00", b"MM\x00\x2a"]), st.binary(max_size=200))
def test_any_bytes_are_exif_with_or_without_a_thumbnail(head: bytes, rest: bytes) -> None:
    assert isinstance(thumbnail(head + rest), Thumbnail | None)
