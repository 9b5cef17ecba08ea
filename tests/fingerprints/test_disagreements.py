"""Files of which another reader shows another picture: held, and their ordinary like is not."""

import io
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.decoding import decode
from ingestgate.fingerprints.disagreements import disagreement
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.unscannable import Unscannable
from tests.pictures import encoded, picture

LIMITS = DecodeLimits()
PIXELS = bytes(range(100, 112))
NUMBERS = b" ".join(b"%d" % level for level in PIXELS) + b"\n"
BITS = b"1 0 1 1 0 1 1 0 1 1 0 1\n"


def doubt(content: bytes) -> str:
    """Returns why a file is held."""
    with pytest.raises(Unscannable) as held:
        list(decode(content, LIMITS).pictures())
    assert held.value.reason is Reason.UNDECODABLE
    assert held.value.detail.endswith(": readers differ")
    return held.value.detail


def is_decoded(content: bytes) -> bool:
    return len(list(decode(content, LIMITS).pictures())) > 0


@pytest.mark.parametrize(
    "content",
    [
        b"P5\n4 3\n255\n" + PIXELS,
        b"P5 4 3 255 " + PIXELS,
        b"P5\r\n4 3\r\n255\n" + PIXELS,
        b"P5\n# CREATOR: GIMP\n# and more\r\n4 3 # size\n255\n" + PIXELS,
        b"P5\n4 3\n255\n#" + PIXELS,  # no comment: a pixel
        b"P5\n4 3\n65535\n" + PIXELS * 2,
        b"P6\n2 2\n255\n" + PIXELS,
        b"P6\n2 1\n65535\n" + PIXELS,
        b"P4\n4 3\n" + PIXELS,
        b"P1\n4 3\n" + BITS,
        b"P2\n4 3\n255\n" + NUMBERS,
        b"P3\n# of numbers\n2 2\n255\n" + NUMBERS,
        b"Pf\n4 3\n-1.0\n" + PIXELS * 4,
        b"Pf\n4 3\n1\n" + PIXELS * 4,
        b"PyP\n4 3\n99\n" + PIXELS,  # of Pillow alone
    ],
)
def test_ordinary_portable_maps_are_decoded(content: bytes) -> None:
    assert is_decoded(content)


@pytest.mark.parametrize(
    "content",
    [
        b"P5\n4 3\n254\n" + PIXELS,
        b"P5\n4 3\n 55\n" + PIXELS,
        b"P5\n4 3\n4095\n" + PIXELS * 2,
        b"P6\n2 2\n127\n" + PIXELS,
        b"P2\n4 3\n200\n" + NUMBERS,
        b"P3\n2 2\n1000\n" + NUMBERS,
    ],
)
def test_levels_that_some_readers_scale_and_others_do_not_are_held(content: bytes) -> None:
    assert "highest value is neither 255 nor 65535" in doubt(content)


@pytest.mark.parametrize(
    "content",
    [
        b"P5\n4 3\n255#" + PIXELS + b"\n\n" + PIXELS,  # one reader's pixels in another's comment
        b"P5\n4 3#\n 255\n" + PIXELS,
        b"P5\n#\r4 3\n255\n" + PIXELS,
        b"P4\n4 3#" + PIXELS + b"\n\n" + PIXELS,
        b"P5\n4_0 1\n255\n" + PIXELS * 4,
        b"P5\n+4 3\n255\n" + PIXELS,
        b"Pf\n4 3\n-2.0\n" + PIXELS * 4,  # divided by 2, or not
        b"Pf\n4#5 3\n 3 1\n" + PIXELS * 4,
        b"P5\n#" + b"x" * (1 << 16) + b"\n4 3\n255\n" + PIXELS,
    ],
)
def test_headers_that_readers_take_apart_in_different_ways_are_held(content: bytes) -> None:
    assert "whose header is written in an unusual way" in doubt(content)


@pytest.mark.parametrize(
    "content",
    [
        b"P2\n4 3\n255\n1_0 " + NUMBERS,
        b"P2\n4 3\n255\n1#2 3\n4 " + NUMBERS,
        b"P3\n2 2\n255\n+1 " + NUMBERS,
        b"P1\n4 3\n1# 1 0\n 0" + BITS,
    ],
)
def test_numbers_that_readers_take_apart_in_different_ways_are_held(content: bytes) -> None:
    assert "with more than numbers in its pixels" in doubt(content)


def bitmap(
    bits: int,
    palette: bytes = b"",
    *,
    packing: int = 0,
    colours: int = 0,
    header: bytes = b"",
    behind: bytes = b"",
    start: int | None = None,
) -> bytes:
    """Returns a bitmap of 16 x 8 pixels.

    Args:
        header: What its header has beyond 40 bytes.
        behind: What stands between header and palette.
        start: Where the pixels are said to begin; else where they do.
    """
    size = 40 + len(header)
    pixels = bytes(8 * ((16 * bits + 31) // 32 * 4))
    before = header + behind + palette
    begin = 54 + len(before) if start is None else start
    return (
        struct.pack("<2sIHHI", b"BM", 54 + len(before) + len(pixels), 0, 0, begin)
        + struct.pack("<IiiHHIIiiII", size, 16, 8, 1, bits, packing, len(pixels), 1, 1, colours, 0)
        + before
        + pixels
    )


def grays(*levels: int) -> bytes:
    return b"".join(bytes((level, level, level, 0)) for level in levels)


COLOURS = bytes(range(250, 256)) * 400
RGB, BGR = struct.pack("<3I", 0xFF, 0xFF00, 0xFF0000), struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF)
OTHERS = struct.pack("<3I", 0xFF000000, 0xFF0000, 0xFF00)
FIVES, WITH_SIX = struct.pack("<3I", 0x7C00, 0x3E0, 0x1F), struct.pack("<3I", 0xF800, 0x7E0, 0x1F)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bitmaps_that_pillow_writes_are_decoded(mode: str) -> None:
    for seed in range(3):
        assert is_decoded(encoded(picture(seed, (33 + seed, 20)).convert(mode), "BMP"))


@pytest.mark.parametrize(
    "content",
    [
        bitmap(1, grays(0, 255)),
        bitmap(4, COLOURS[:64]),
        bitmap(8, COLOURS[:1024]),
        bitmap(8, COLOURS[:40], colours=10),
        bitmap(8, grays(*range(256))),
        bitmap(8, grays(*range(256)), colours=256),
        bitmap(8, COLOURS[:80], start=60),  # of fewer colours than it says
        bitmap(16),
        bitmap(16, packing=3, behind=FIVES),
        bitmap(16, packing=3, behind=WITH_SIX),
        bitmap(16, packing=3, header=WITH_SIX + bytes(4), behind=WITH_SIX),
        bitmap(24),
        bitmap(24, COLOURS[:1024], colours=256),
        bitmap(32),
        bitmap(32, packing=3, behind=BGR),
        bitmap(32, packing=3, header=BGR + bytes(4)),
        bitmap(32, packing=3, header=BGR + bytes(56)),
    ],
)
def test_ordinary_bitmaps_are_decoded(content: bytes) -> None:
    assert is_decoded(content)


def test_bitmaps_packed_by_run_lengths_are_held() -> None:
    """At the end of a row some readers go on with the next, others wait for its mark."""
    for packing, bits in ((1, 8), (2, 4), (1, 4)):
        assert "packed by run lengths" in doubt(bitmap(bits, COLOURS[: 4 << bits], packing=packing))


@pytest.mark.parametrize(
    "content",
    [
        bitmap(8, COLOURS[:1024], start=54),
        bitmap(4, COLOURS[:64], start=54),
        bitmap(8, COLOURS[:1024], start=0),
        bitmap(24, start=0),
        bitmap(24, start=53),
    ],
)
def test_bitmaps_whose_pixels_begin_where_they_cannot_are_held(content: bytes) -> None:
    assert "whose pixels begin in its header, or in the place of its palette" in doubt(content)


@pytest.mark.parametrize(
    "content",
    [
        bitmap(8, grays(0, 255), colours=2),
        bitmap(4, grays(0, 255), colours=2),
        bitmap(8, grays(*range(200)), colours=200),
        bitmap(8, grays(0), colours=1),
    ],
)
def test_bitmaps_whose_palette_pillow_leaves_out_are_held(content: bytes) -> None:
    """It takes them for such of one bit, or what the palette does not name for a level."""
    assert "of grays that are not as many as its bits can name" in doubt(content)


@pytest.mark.parametrize(
    "content",
    [
        bitmap(32, packing=3, behind=OTHERS),
        bitmap(32, packing=3, header=OTHERS),
        bitmap(32, packing=3, behind=RGB),
        bitmap(32, packing=3, header=OTHERS + bytes(4)),  # some readers pass over any masks
        bitmap(32, packing=3, header=OTHERS + bytes(56)),
        bitmap(16, packing=3, header=WITH_SIX + bytes(4), behind=FIVES),
    ],
)
def test_bitmaps_whose_masks_some_readers_do_not_see_are_held(content: bytes) -> None:
    assert "whose colours lie in another order than usual" in doubt(content)


@given(st.sampled_from(["BMP", "PNG", "PPM", "GIF"]), st.binary(max_size=80))
def test_whatever_the_bytes_it_ends(format: str, content: bytes) -> None:
    for start in (b"", b"BM", b"P5\n", b"P2\n1 1\n255\n"):
        disagreement(start + content, format)


@pytest.mark.parametrize("frames", [1, 2])
def test_an_avif_whose_header_says_that_it_is_gray_is_held(frames: int) -> None:
    more = [picture(seed) for seed in range(1, frames)]
    sink = io.BytesIO()
    picture(3).save(sink, "AVIF", save_all=frames > 1, append_images=more)
    content = sink.getvalue()
    assert is_decoded(content)
    at = content.index(b"av1C") + 6
    monochrome = bytes((content[at] | 0x10,))
    wrong = re.sub(rb"(av1C..).", lambda box: box[1] + monochrome, content, flags=re.DOTALL)
    assert "whose header is wrong about its colours" in doubt(wrong)


def test_an_avif_of_grays_is_decoded() -> None:
    assert is_decoded(encoded(picture(3).convert("L"), "AVIF"))
