import io
import logging
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingestgate.assets.verdict import Reason
from ingestgate.fingerprints.decoding import decode, quiet
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import Picture
from tests.fingerprints.conftest import Distance, Encode, Make, ToFingerprint

LIMITS = DecodeLimits()


def pictures(content: bytes, limits: DecodeLimits = LIMITS) -> list[Picture]:
    with quiet():
        return list(decode(content, limits).pictures())


def reason(content: bytes, limits: DecodeLimits = LIMITS) -> Reason:
    with pytest.raises(Unscannable) as caught:
        pictures(content, limits)
    return caught.value.reason


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def jpeg(make: Make, encode: Encode) -> bytes:
    return encode(make(20), "JPEG", quality=90)


def test_says_what_it_decoded(jpeg: bytes) -> None:
    decoded = decode(jpeg, LIMITS)
    found = list(decoded.pictures())
    assert (decoded.media_type, decoded.width, decoded.height) == ("image/jpeg", 320, 240)
    assert decoded.frames == 1
    assert [(p.frame, p.variant, p.luma.shape, p.image.mode) for p in found] == [
        (0, "", (240, 320), "L")
    ]
    np.testing.assert_array_equal(found[0].luma, np.asarray(found[0].image))


def test_empty() -> None:
    assert reason(b"") is Reason.EMPTY


def test_too_many_bytes(jpeg: bytes) -> None:
    assert reason(jpeg, DecodeLimits(max_bytes=len(jpeg) - 1)) is Reason.TOO_MANY_BYTES
    assert pictures(jpeg, DecodeLimits(max_bytes=len(jpeg)))


def test_too_many_pixels(jpeg: bytes) -> None:
    assert reason(jpeg, DecodeLimits(max_pixels=320 * 240 - 1)) is Reason.TOO_MANY_PIXELS
    assert pictures(jpeg, DecodeLimits(max_pixels=320 * 240))


@pytest.mark.parametrize(
    ("width", "height"), [(30000, 30000), (2**31 - 1, 2**31 - 1), (10000, 9000), (8000, 5001)]
)
def test_claimed_dimensions_are_refused_before_decoding(width: int, height: int) -> None:
    assert reason(png_claiming(width, height)) is Reason.TOO_MANY_PIXELS


def test_a_gif_with_a_huge_canvas() -> None:
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"
    assert reason(gif) is Reason.TOO_MANY_PIXELS


def test_a_bomb_in_a_text_chunk() -> None:
    bomb = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(50_000_000)))
    assert reason(png_claiming(8, 8, bomb)) is Reason.UNDECODABLE


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        b"\0\0\x01\0\x01\0" + bytes(40),
        b"%PDF-1.7\n",
    ],
)
def test_unsupported_format(content: bytes) -> None:
    assert reason(content) is Reason.UNSUPPORTED_FORMAT


def test_a_format_that_is_not_allowed(jpeg: bytes) -> None:
    assert reason(jpeg, DecodeLimits(formats=frozenset({"PNG"}))) is Reason.UNSUPPORTED_FORMAT


def test_unsupported_media() -> None:
    assert reason(b"a caption, not a picture") is Reason.UNSUPPORTED_MEDIA


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_never_has_a_picture(
    make: Make, encode: Encode, progressive: bool
) -> None:
    content = encode(make(21), "JPEG", quality=80, progressive=progressive)
    for length in [*range(4, len(content) - 1, len(content) // 40), len(content) - 2]:
        assert reason(content[:length]) in {Reason.TRUNCATED, Reason.UNDECODABLE}
    scan = content.index(b"\xff\xda") + 40
    assert reason(content[:scan]) is Reason.TRUNCATED


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM"])
def test_other_truncated_formats(make: Make, encode: Encode, format: str) -> None:
    content = encode(make(22, 120, 90), format)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert reason(content[: int(len(content) * share)]) in {
            Reason.TRUNCATED,
            Reason.UNDECODABLE,
        }


def test_an_animation_cut_between_frames_is_truncated(make: Make, encode: Encode) -> None:
    frames = [make(seed, 80, 60) for seed in range(4)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert {picture.frame for picture in pictures(content)} == set(range(4))
    assert reason(content[:-1]) is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GIF", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {"quality": 90}),
        ("MPO", {}),
    ],
)
def test_every_frame_is_seen(
    make: Make,
    encode: Encode,
    fingerprint: ToFingerprint,
    distance: Distance,
    format: str,
    options: dict[str, object],
) -> None:
    frames = [make(seed).convert("L") for seed in (24, 23, 25)]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    found = fingerprint(content)
    assert found.frames == 3
    expected = fingerprint(encode(frames[1], "PNG")).perceptual["pdq"][0].hashes[:32]
    near = [v.frame for v in found.perceptual["pdq"] if distance(v.hashes[:32], expected) <= 16]
    assert near == [1]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_too_many_frames(make: Make, encode: Encode, format: str) -> None:
    frames = [make(seed, 40, 30) for seed in range(5)]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:])
    assert reason(content, DecodeLimits(max_frames=4)) is Reason.TOO_MANY_FRAMES
    assert {p.frame for p in pictures(content, DecodeLimits(max_frames=5))} == set(range(5))


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF"])
def test_too_many_pixels_in_all_frames_together(make: Make, encode: Encode, format: str) -> None:
    frames = [make(seed, 40, 30) for seed in range(5)]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:])
    limits = DecodeLimits(max_total_pixels=5 * 1200 - 1)
    assert reason(content, limits) is Reason.TOO_MANY_PIXELS
    assert pictures(content, DecodeLimits(max_total_pixels=5 * 1200))
    if format == "PNG":  # which says how many there are: none of them is decoded
        with pytest.raises(Unscannable, match="all frames together have more pixels"):
            decode(content, limits)


def test_a_later_page_that_is_too_large(make: Make, encode: Encode) -> None:
    pages = encode(make(1, 40, 30), "TIFF", save_all=True, append_images=[make(2, 400, 300)])
    assert reason(pages, DecodeLimits(max_pixels=5000)) is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("modes", [("L", "RGB"), ("RGB", "L"), ("RGB", "CMYK"), ("L", "CMYK")])
def test_an_mpo_whose_images_differ_in_mode_and_size(
    make: Make, encode: Encode, modes: tuple[str, str]
) -> None:
    first, second = make(1, 64, 48).convert(modes[0]), make(2, 640, 480).convert(modes[1])
    found = pictures(encode(first, "MPO", save_all=True, append_images=[second]))
    assert [(p.frame, p.luma.shape) for p in found] == [(0, (48, 64)), (1, (480, 640))]


def with_segment(content: bytes, segment: bytes, image: int = 0) -> bytes:
    """Returns an MPO with one more segment at the start of an image; offsets stay right."""
    start = 0
    for _ in range(image):
        start = content.index(b"\xff\xd8\xff", start + 2)
    return content[: start + 2] + segment + content[start + 2 :]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


HDR = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>')


@pytest.fixture(scope="module")
def mpo(make: Make, encode: Encode) -> bytes:
    return encode(make(1, 64, 48), "MPO", save_all=True, append_images=[make(2, 48, 36)])


def test_an_mpo_that_names_a_gain_map_hides_no_image(mpo: bytes) -> None:
    found = pictures(with_segment(mpo, HDR))
    assert [(p.frame, p.variant, p.luma.shape) for p in found] == [
        (0, "", (48, 64)),
        (1, "", (36, 48)),
    ]


def test_a_gain_map_is_told_from_a_further_image(make: Make, encode: Encode, mpo: bytes) -> None:
    both = with_segment(with_segment(mpo, HDR), HDR, image=1)
    assert [p.variant for p in pictures(both)] == ["", "gain-map"]
    assert [p.variant for p in pictures(with_segment(mpo, HDR, image=1))] == ["", ""]
    larger = encode(make(1, 64, 48), "MPO", save_all=True, append_images=[make(2, 80, 60)])
    larger = with_segment(with_segment(larger, HDR), HDR, image=1)
    assert [p.variant for p in pictures(larger)] == ["", ""]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x01\xb0\x04\x00\x01\x00\x00\x00\x02", b"\x01\xb0\x04\x00\x01\x00\x00\x00\x01"),
        (b"\x01\xb0\x04\x00\x01\x00\x00\x00\x02", b"\x01\xb0\x04\x00\x01\x00\x00\x00\x00"),
        (b"\x01\xb0\x04", b"\x09\xb0\x04"),
        (b"\x02\xb0\x07\x00\x20", b"\x02\xb0\x07\x00\x10"),
        (b"\x02\xb0\x07\x00\x20\x00", b"\x02\xb0\x07\x00\x20\x7f"),
        (b"MPF\0II\x2a", b"MPF\0XX\x2a"),
    ],
)
def test_an_mpo_whose_index_cannot_be_read(mpo: bytes, old: bytes, new: bytes) -> None:
    assert mpo.count(old) == 1
    assert reason(mpo.replace(old, new)) is Reason.UNDECODABLE


def test_an_mpo_of_two_indices(mpo: bytes) -> None:
    assert reason(with_segment(mpo, segment(0xE2, b"MPF\0" + bytes(40)))) is Reason.UNDECODABLE


def test_an_mpo_cut_behind_its_first_image(mpo: bytes) -> None:
    assert reason(mpo[: mpo.rindex(b"\xff\xd8\xff")]) is Reason.TRUNCATED


def test_an_mpo_is_decoded_only_where_mpo_is_named(mpo: bytes, jpeg: bytes) -> None:
    only = DecodeLimits(formats=frozenset({"JPEG"}))
    assert reason(mpo, only) is Reason.UNSUPPORTED_FORMAT
    assert len(pictures(jpeg, only)) == 1


def exif_of(*fields: tuple[int, int, int], data: bytes) -> bytes:
    """Returns EXIF whose second directory has these fields: tag, number and value, all LONG.

    A value of -1 stands for where the data begins.
    """
    ifd0 = struct.pack("<H", 0) + struct.pack("<I", 14)
    ifd1 = struct.pack("<H", len(fields))
    start = 14 + 2 + 12 * len(fields) + 4
    for tag, count, value in fields:
        ifd1 += struct.pack("<HHII", tag, 4, count, start if value < 0 else value)
    ifd1 += struct.pack("<I", 0)
    return b"Exif\0\0II\x2a\x00" + struct.pack("<I", 8) + ifd0 + ifd1 + data


def exif_with(thumbnail: bytes) -> bytes:
    return exif_of((0x0201, 1, -1), (0x0202, 1, len(thumbnail)), data=thumbnail)


def with_thumbnail(make: Make, encode: Encode, thumbnail: bytes) -> bytes:
    return encode(make(26), "JPEG", exif=exif_with(thumbnail))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_thumbnail_in_exif_is_a_picture_too(make: Make, encode: Encode, format: str) -> None:
    exif = exif_with(encode(make(27, 160, 120), "JPEG"))
    assert [(p.variant, p.luma.shape) for p in pictures(encode(make(26), format, exif=exif))] == [
        ("", (240, 320)),
        ("exif-thumbnail", (120, 160)),
    ]


def test_the_thumbnail_of_a_later_image_is_a_picture_too(
    make: Make, encode: Encode, mpo: bytes
) -> None:
    exif = segment(0xE1, exif_with(encode(make(27, 32, 24), "JPEG")))
    found = pictures(with_segment(mpo, exif, image=1))
    assert [(p.frame, p.variant) for p in found] == [(0, ""), (1, ""), (1, "exif-thumbnail")]


def test_an_uncompressed_thumbnail_is_a_picture_too(make: Make, encode: Encode) -> None:
    shown = make(27, 40, 30)
    size = ((0x0100, 1, 40), (0x0101, 1, 30))
    form = ((0x0103, 1, 1), (0x0106, 1, 2))
    strip = ((0x0115, 1, 3), (0x0116, 1, 30), (0x0117, 1, 3600))
    start = 14 + 2 + 12 * 9 + 4  # where the depths are, and behind them the pixels
    exif = exif_of(
        *size,
        (0x0102, 3, start),
        *form,
        (0x0111, 1, start + 12),
        *strip,
        data=struct.pack("<III", 8, 8, 8) + shown.tobytes(),
    )
    content = encode(make(26), "JPEG", exif=exif)
    found = pictures(content)
    assert [p.variant for p in found] == ["", "exif-thumbnail"]
    np.testing.assert_array_equal(found[1].luma, np.asarray(shown.convert("L")))
    jpeg_alone = DecodeLimits(formats=frozenset({"JPEG"}))
    assert reason(content, jpeg_alone) is Reason.UNSUPPORTED_FORMAT


def test_a_thumbnail_that_does_not_decode_shows_nothing(make: Make, encode: Encode) -> None:
    content = with_thumbnail(make, encode, b"\xff\xd8\xff" + bytes(300))
    assert [p.variant for p in pictures(content)] == [""]


@pytest.mark.parametrize("cut", [300, -1])
def test_a_thumbnail_that_ends_early(make: Make, encode: Encode, cut: int) -> None:
    content = with_thumbnail(make, encode, encode(make(27, 160, 120), "JPEG")[:cut])
    assert reason(content) is Reason.TRUNCATED


def test_a_thumbnail_beyond_a_limit(make: Make, encode: Encode) -> None:
    content = with_thumbnail(make, encode, encode(make(27, 400, 300), "JPEG"))
    assert reason(content, DecodeLimits(max_pixels=320 * 240)) is Reason.TOO_MANY_PIXELS


def test_luma_from_the_y_plane_is_that_of_the_rgb_picture(jpeg: bytes) -> None:
    (found,) = pictures(jpeg)
    expected = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).astype(int)
    difference = np.abs(found.luma.astype(int) - expected)
    assert np.percentile(difference, 99) <= 1


def test_decoders_messages_and_warnings_stay_inside(
    make: Make, encode: Encode, caplog: pytest.LogCaptureFixture
) -> None:
    palette = make(28).convert("P")
    palette.info["transparency"] = bytes(range(256))
    content = encode(palette, "PNG", transparency=bytes(range(256)))
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        assert pictures(content)
        with pytest.raises(Unscannable) as refused:
            pictures(b"\x89PNG\r\n\x1a\nsecret")
    assert not caught
    assert not caplog.records
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damage_gives_a_picture_or_a_reason(jpeg: bytes, data: st.DataObject) -> None:
    content = bytearray(jpeg)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(3, len(content) - 1))] = data.draw(st.integers(0, 255))
    found, refused = [], None
    try:
        found = pictures(bytes(content))
    except Unscannable as error:
        refused = error.reason
    assert found or refused in {
        Reason.TRUNCATED,
        Reason.UNDECODABLE,
        Reason.TOO_MANY_PIXELS,
        Reason.UNSUPPORTED_MEDIA,
    }
