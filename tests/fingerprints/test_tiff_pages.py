"""Pages of a TIFF show what other readers see in them, or are held."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.decoding import decode, quiet
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import ON_BLACK, OPAQUE, Picture
from tests.pictures import encoded, picture

LIMITS = DecodeLimits()
WIDTH, HEIGHT = 32, 24
HARMLESS, LISTED = (np.asarray(picture(seed, (WIDTH, HEIGHT)).convert("L")) for seed in (1, 2))
# Where the pixels are that a tag is about: the first or the second data of a file.
FIRST, SECOND = "first", "second"

Field = tuple[int, Sequence[int] | str]


def tiff(
    fields: Sequence[Field], *data: bytes, order: str = "<", types: Mapping[int, int] | None = None
) -> bytes:
    """Returns a TIFF of one page.

    Args:
        fields: Tags and their values, in the order in which they are to stand.
        data: What lies behind the header.
        order: Of bytes.
        types: Of tags that are not of type LONG.
    """
    starts = dict(zip((FIRST, SECOND), (8, 8 + len(data[0])), strict=True))
    body = b"".join(data)
    directory, behind = b"", b""
    start = 8 + len(body) + len(body) % 2
    room = start + 2 + 12 * len(fields) + 4
    for tag, values in fields:
        numbers = [starts[values]] if isinstance(values, str) else values
        kind = (types or {}).get(tag, 4)
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            behind += packed
            packed = struct.pack(order + "I", room + len(behind) - len(packed))
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    return (
        {"<": b"II", ">": b"MM"}[order]
        + struct.pack(order + "HI", 42, start)
        + body.ljust(start - 8, b"\0")
        + struct.pack(order + "H", len(fields))
        + directory
        + bytes(4)
        + behind
    )


def gray(*more: Field, without: int = 0, bits: int = 8) -> list[Field]:
    """Returns the tags of a gray page, more of them in their places."""
    fields: list[Field] = [
        (256, [WIDTH]),
        (257, [HEIGHT]),
        (258, [bits]),
        (259, [1]),
        (262, [1]),
        (273, FIRST),
        (278, [HEIGHT]),
        (279, [WIDTH * HEIGHT * bits // 8]),
    ]
    kept = [field for field in fields if field[0] not in {without, *(tag for tag, _ in more)}]
    return sorted([*kept, *more], key=lambda field: field[0])


def shown(content: bytes) -> list[Picture]:
    with quiet():
        return list(decode(content, LIMITS).pictures())


def doubt(content: bytes) -> str:
    """Returns why a file is held."""
    with pytest.raises(Unscannable) as held:
        shown(content)
    assert held.value.reason is Reason.UNDECODABLE
    assert held.value.detail.endswith(": readers differ")
    return held.value.detail


BOTH = (HARMLESS.tobytes(), LISTED.tobytes())


def test_an_ordinary_page_shows_its_pixels() -> None:
    for order in "<>":
        (found,) = shown(tiff(gray(), *BOTH, order=order))
        np.testing.assert_array_equal(found.luma, HARMLESS)


def test_tags_may_stand_in_any_order() -> None:
    (found,) = shown(tiff(gray()[::-1], *BOTH))
    np.testing.assert_array_equal(found.luma, HARMLESS)


def test_a_tag_that_stands_twice_is_held() -> None:
    """Some readers take the first, others the last."""
    for order in "<>":
        twice = [*gray(), (273, SECOND)]
        assert "has a tag twice" in doubt(tiff(twice, *BOTH, order=order))


def test_a_later_page_is_looked_at_as_well() -> None:
    sink = io.BytesIO()
    picture(1).save(sink, "TIFF", save_all=True, append_images=[picture(2)])
    pages = bytearray(sink.getvalue())
    assert len(shown(bytes(pages))) == 2
    at = pages.rindex(struct.pack("<HHI", 284, 3, 1))  # the planes; now once more what is before
    pages[at : at + 2] = pages[at - 12 : at - 10]
    assert "has a tag twice" in doubt(bytes(pages))


@pytest.mark.parametrize("tiles", [[(322, [WIDTH])], [(323, [HEIGHT])], [(324, SECOND)]])
def test_strips_and_tiles_at_once_are_held(tiles: list[Field]) -> None:
    assert "of strips and tiles at once" in doubt(tiff(gray(*tiles), *BOTH))


def test_of_more_strips_than_there_can_be_the_first_is_shown() -> None:
    """As libtiff does; Pillow's own way shows the last."""
    two = gray((273, [8, 8 + len(BOTH[0])]), (279, [len(BOTH[0])] * 2))
    (found,) = shown(tiff(two, *BOTH))
    np.testing.assert_array_equal(found.luma, HARMLESS)


def test_planes_of_16_bits_are_taken_for_that() -> None:
    planes = [np.roll(LISTED, 5 * turn, 1).astype("<u2") * 257 for turn in range(3)]
    fields = gray(
        (258, [16] * 3),
        (262, [2]),
        (273, [8 + 2 * WIDTH * HEIGHT * plane for plane in range(3)]),
        (277, [3]),
        (279, [2 * WIDTH * HEIGHT] * 3),
        (284, [2]),
    )
    (found,) = shown(tiff(fields, b"".join(plane.tobytes() for plane in planes), b""))
    expected = Image.merge("RGB", [Image.fromarray((plane >> 8).astype("u1")) for plane in planes])
    np.testing.assert_allclose(found.luma, np.asarray(expected.convert("L")), atol=1)


@pytest.mark.parametrize("packing", [1, 8])
@pytest.mark.parametrize(("kind", "bits", "sample"), [("f4", 32, 3), ("i4", 32, 2), ("i2", 16, 2)])
def test_numbers_are_the_same_in_either_order_of_bytes(
    packing: int, kind: str, bits: int, sample: int
) -> None:
    def luma(order: str) -> NDArray[Any]:
        data = (LISTED.astype(order + kind)).tobytes()
        data = data if packing == 1 else zlib.compress(data)
        fields = gray((258, [bits]), (259, [packing]), (279, [len(data)]), (339, [sample]))
        return shown(tiff(fields, data, b"", order=order))[0].luma

    np.testing.assert_allclose(luma("<"), LISTED, atol=1)
    np.testing.assert_array_equal(luma("<"), luma(">"))


def test_a_page_that_does_not_say_what_its_numbers_mean_is_held() -> None:
    """Some readers take white for 0 then, others black."""
    assert "does not say in full what its numbers mean" in doubt(tiff(gray(without=262), *BOTH))


def test_a_tag_that_ends_the_directory_for_some_readers_is_held() -> None:
    whole = tiff(gray((261, [7])), *BOTH)
    np.testing.assert_array_equal(shown(whole)[0].luma, HARMLESS)
    field = struct.pack("<HHI", 261, 4, 1)
    nowhere = whole.replace(
        field + struct.pack("<I", 7), field[:4] + struct.pack("<II", 1000, 1 << 30)
    )
    assert "does not say in full what its numbers mean" in doubt(nowhere)


def test_deep_grays_with_zero_for_white_are_held() -> None:
    """Some readers turn them around."""
    deep = LISTED.astype("<u2") * 257

    def page(meaning: int) -> bytes:
        fields = gray((258, [16]), (262, [meaning]), (279, [deep.nbytes]))
        return tiff(fields, deep.tobytes(), b"")

    np.testing.assert_array_equal(shown(page(1))[0].luma, LISTED)
    assert "of more than 8 bits, with zero for white" in doubt(page(0))
    (inverted,) = shown(tiff(gray((262, [0])), *BOTH))
    np.testing.assert_array_equal(inverted.luma, 255 - HARMLESS)


def test_numbers_below_zero_are_held() -> None:
    """Some readers take them for large ones, and so the picture for another one."""
    for kind, bits in (("<i2", 16), ("<i4", 32)):
        for least in (0, -100):
            data = (HARMLESS.astype(kind) + least).tobytes()
            fields = gray((258, [bits]), (279, [len(data)]), (339, [2]))
            content = tiff(fields, data, b"")
            if least < 0:
                assert "of numbers below zero" in doubt(content)
            else:
                assert shown(content)


def test_luma_and_colours_in_planes_of_their_own_are_held() -> None:
    fields = gray(
        (258, [8] * 3),
        (262, [6]),
        (273, [8] * 3),
        (277, [3]),
        (279, [WIDTH * HEIGHT] * 3),
        (284, [2]),
        (530, [1, 1]),
    )
    content = tiff(fields, *BOTH, types={530: 3})
    assert "of luma and colours in planes of their own" in doubt(content)


PALETTE = [level * 257 for level in range(256)] * 3


@pytest.mark.parametrize(
    ("palette", "kind"), [(PALETTE[:-3], 3), ([*PALETTE, 0, 0, 0], 3), (PALETTE, 4)]
)
def test_a_palette_that_does_not_fit_is_held(palette: list[int], kind: int) -> None:
    def page(palette: list[int], kind: int) -> bytes:
        return tiff(gray((262, [3]), (320, palette)), *BOTH, types={320: kind})

    (found,) = shown(page(PALETTE, 3))
    np.testing.assert_array_equal(found.luma, HARMLESS)
    assert "whose palette is of more or fewer colours" in doubt(page(palette, kind))


@pytest.mark.parametrize("number", [0, 1])
def test_a_palette_of_8_bits_is_held(number: int) -> None:
    """Some readers take it for that, others for one that is black."""

    def pages(scale: int) -> bytes:
        sink = io.BytesIO()
        shades = Image.fromarray(LISTED).convert("P")
        both = [picture(1, (WIDTH, HEIGHT)), shades]
        first, second = both if number else both[::-1]
        first.save(sink, "TIFF", save_all=True, append_images=[second])
        colours = struct.pack("<256H", *(level << 8 for level in range(256))) * 3
        scaled = struct.pack("<256H", *(level * scale for level in range(256))) * 3
        assert sink.getvalue().count(colours) == 1
        return sink.getvalue().replace(colours, scaled)

    assert shown(pages(257))
    assert shown(pages(0))  # black to all
    assert "whose palette is of 8 bits" in doubt(pages(1))


def with_further_sample(meaning: int, samples: int, *beyond: int) -> bytes:
    data = np.dstack([LISTED] * (samples - 1) + [HARMLESS]).tobytes()
    fields = [(258, [8] * samples), (262, [meaning]), (277, [samples]), (279, [len(data)])]
    palette: list[Field] = [(320, PALETTE)] if meaning == 3 else []
    more: list[Field] = [(338, beyond)] if beyond else []
    return tiff(gray(*fields, *palette, *more), data, b"", types={320: 3, 338: 3})


@pytest.mark.parametrize(("meaning", "samples"), [(2, 4), (3, 2)])
def test_a_sample_that_may_be_alpha_is_held(meaning: int, samples: int) -> None:
    """Pillow drops it; others hand it over for alpha."""
    content = with_further_sample(meaning, samples, 0)
    assert "of which it does not say whether it is alpha" in doubt(content)


def test_a_sample_that_is_alpha_is_shown_as_such() -> None:
    for beyond in ((), (2,)):  # Pillow takes one that is not named for alpha as well
        found = {found.variant for found in shown(with_further_sample(2, 4, *beyond))}
        assert {"", ON_BLACK, OPAQUE} <= found


@pytest.mark.parametrize("is_tiled", [False, True])
def test_a_jpeg_that_does_not_fill_its_strip_or_tile_is_held(is_tiled: bool) -> None:
    """The rest is what was in memory."""

    def page(width: int, height: int) -> bytes:
        data = encoded(picture(1, (width, height)).convert("L"), "JPEG")
        if is_tiled:
            tiles: list[Field] = [(322, [32]), (323, [32]), (324, FIRST), (325, [len(data)])]
            kept = [field for field in gray((259, [7])) if field[0] not in (273, 278, 279)]
            return tiff([*kept, *tiles], data, b"")
        return tiff(gray((259, [7]), (279, [len(data)])), data, b"")

    full = 32 if is_tiled else HEIGHT
    assert len(shown(page(WIDTH, full))) == 1
    for size in ((WIDTH - 16, full), (WIDTH, full - 8)):
        assert "of JPEGs that do not fill it" in doubt(page(*size))


def test_strips_of_jpegs_are_decoded_the_last_shorter_than_the_others() -> None:
    sink = io.BytesIO()
    picture(1, (70, 50)).save(sink, "TIFF", compression="jpeg", tiffinfo={278: 16})
    content = sink.getvalue()
    assert len(Image.open(io.BytesIO(content)).tag_v2[273]) == 4  # type: ignore[attr-defined]
    assert len(shown(content)) == 1


def with_alpha(colours: NDArray[Any], alpha: NDArray[Any]) -> bytes:
    """Returns a page of colours that are said to be premultiplied by alpha."""
    data = np.dstack([colours, colours, colours, alpha]).tobytes()
    fields = gray((258, [8] * 4), (262, [2]), (277, [4]), (279, [len(data)]), (338, [1]))
    return tiff(fields, data, b"")


def test_colours_beyond_alpha_are_held() -> None:
    """By the rules they are cut off; some readers show them as they stand."""
    assert "of colours beyond what its alpha allows" in doubt(with_alpha(LISTED, HARMLESS // 2))


def test_premultiplied_colours_are_shown_as_they_stand_and_without_alpha() -> None:
    alpha = np.full_like(LISTED, 128)
    found = {picture.variant: picture.luma for picture in shown(with_alpha(LISTED // 2, alpha))}
    np.testing.assert_allclose(found[ON_BLACK], LISTED // 2, atol=2)
    np.testing.assert_allclose(found[OPAQUE], LISTED, atol=3)
