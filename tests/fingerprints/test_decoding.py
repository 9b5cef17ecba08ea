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

LIMITS = DecodeLimits()


def pictures(content: bytes, limits: DecodeLimits = LIMITS):
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
def jpeg(make, encode) -> bytes:
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
def test_a_truncated_jpeg_never_has_a_picture(make, encode, progressive: bool) -> None:
    content = encode(make(21), "JPEG", quality=80, progressive=progressive)
    for length in [*range(4, len(content) - 1, len(content) // 40), len(content) - 2]:
        assert reason(content[:length]) in {Reason.TRUNCATED, Reason.UNDECODABLE}
    scan = content.index(b"\xff\xda") + 40
    assert reason(content[:scan]) is Reason.TRUNCATED


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM"])
def test_other_truncated_formats(make, encode, format: str) -> None:
    content = encode(make(22, 120, 90), format)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert reason(content[: int(len(content) * share)]) in {
            Reason.TRUNCATED,
            Reason.UNDECODABLE,
        }


def test_an_animation_cut_between_frames_is_truncated(make, encode) -> None:
    frames = [make(seed, 80, 60) for seed in range(4)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert len(pictures(content)) == 4
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
    make, encode, fingerprint, distance, format: str, options: dict[str, object]
) -> None:
    frames = [make(seed).convert("L") for seed in (24, 23, 25)]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    found = fingerprint(content)
    assert found.frames == 3
    expected = fingerprint(encode(frames[1], "PNG")).perceptual["pdq"][0].hashes[:32]
    near = [v.frame for v in found.perceptual["pdq"] if distance(v.hashes[:32], expected) <= 16]
    assert near == [1]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_too_many_frames(make, encode, format: str) -> None:
    frames = [make(seed, 40, 30) for seed in range(5)]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:])
    assert reason(content, DecodeLimits(max_frames=4)) is Reason.TOO_MANY_FRAMES
    assert {p.frame for p in pictures(content, DecodeLimits(max_frames=5))} == set(range(5))


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF"])
def test_too_many_pixels_in_all_frames_together(make, encode, format: str) -> None:
    frames = [make(seed, 40, 30) for seed in range(5)]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:])
    limits = DecodeLimits(max_total_pixels=5 * 1200 - 1)
    assert reason(content, limits) is Reason.TOO_MANY_PIXELS
    assert pictures(content, DecodeLimits(max_total_pixels=5 * 1200))


def test_a_later_page_that_is_too_large(make, encode) -> None:
    pages = encode(make(1, 40, 30), "TIFF", save_all=True, append_images=[make(2, 400, 300)])
    assert reason(pages, DecodeLimits(max_pixels=5000)) is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("modes", [("L", "RGB"), ("RGB", "L"), ("RGB", "CMYK"), ("L", "CMYK")])
def test_an_mpo_whose_images_differ_in_mode_and_size(make, encode, modes) -> None:
    first, second = make(1, 64, 48).convert(modes[0]), make(2, 640, 480).convert(modes[1])
    found = pictures(encode(first, "MPO", save_all=True, append_images=[second]))
    assert [(p.frame, p.luma.shape) for p in found] == [(0, (48, 64)), (1, (480, 640))]


def with_thumbnail(make, encode, thumbnail: bytes) -> bytes:
    ifd0 = struct.pack("<H", 0) + struct.pack("<I", 14)
    ifd1 = struct.pack("<H", 2)
    ifd1 += struct.pack("<HHII", 0x0201, 4, 1, 14 + 2 + 24 + 4)
    ifd1 += struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail)) + struct.pack("<I", 0)
    tiff = b"II\x2a\x00" + struct.pack("<I", 8) + ifd0 + ifd1 + thumbnail
    return encode(make(26), "JPEG", exif=b"Exif\0\0" + tiff)


def test_the_thumbnail_in_exif_is_a_picture_too(make, encode) -> None:
    content = with_thumbnail(make, encode, encode(make(27, 160, 120), "JPEG"))
    assert [(p.variant, p.luma.shape) for p in pictures(content)] == [
        ("", (240, 320)),
        ("exif-thumbnail", (120, 160)),
    ]


@pytest.mark.parametrize("cut", [10, 300, -1])
def test_a_thumbnail_that_does_not_decode_shows_nothing(make, encode, cut: int) -> None:
    content = with_thumbnail(make, encode, encode(make(27, 160, 120), "JPEG")[:cut])
    assert [p.variant for p in pictures(content)] == [""]


def test_luma_from_the_y_plane_is_that_of_the_rgb_picture(jpeg: bytes) -> None:
    (found,) = pictures(jpeg)
    expected = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).astype(int)
    difference = np.abs(found.luma.astype(int) - expected)
    assert np.percentile(difference, 99) <= 1


def test_decoders_messages_and_warnings_stay_inside(make, encode, caplog) -> None:
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
    try:
        found = pictures(bytes(content))
    except Unscannable as error:
        found, refused = [], error.reason
    else:
        refused = None
    assert found or refused in {
        Reason.TRUNCATED,
        Reason.UNDECODABLE,
        Reason.TOO_MANY_PIXELS,
        Reason.UNSUPPORTED_MEDIA,
    }
