from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops

from ingestgate.fingerprints.fingerprinter import Fingerprint
from ingestgate.fingerprints.normalising import pictures
from tests.fingerprints.conftest import Distance, Encode, Make, ToFingerprint


def levels(frame: Image.Image) -> dict[str, NDArray[np.uint8]]:
    return {variant: np.asarray(luma) for variant, luma in pictures(frame, "L")}


def first_hash(found: Fingerprint, name: str = "pdq", width: int = 32) -> bytes:
    return found.perceptual[name][0].hashes[:width]


@pytest.mark.parametrize(
    ("mode", "format", "options", "bits"),
    [
        ("L", "PNG", {}, 2),
        ("P", "PNG", {}, 8),
        ("P", "GIF", {}, 8),
        ("1", "PNG", {}, 12),
        ("LA", "PNG", {}, 2),
        ("RGBA", "PNG", {}, 2),
        ("RGBA", "WEBP", {"lossless": True}, 2),
        ("CMYK", "JPEG", {"quality": 90}, 6),
        ("CMYK", "TIFF", {}, 2),
        ("YCbCr", "JPEG", {"quality": 90}, 6),
        ("LAB", "TIFF", {}, 8),
        ("RGB", "JPEG", {"quality": 90}, 6),
        ("RGB", "JPEG", {"quality": 90, "keep_rgb": True}, 6),
        ("RGB", "JPEG", {"quality": 90, "progressive": True}, 6),
        ("RGB", "BMP", {}, 2),
        ("RGB", "PPM", {}, 2),
        ("RGB", "AVIF", {"quality": 90}, 8),
        ("RGB", "TIFF", {"compression": "tiff_lzw"}, 2),
    ],
)
def test_a_file_mode_moves_few_bits(
    make: Make,
    encode: Encode,
    fingerprint: ToFingerprint,
    distance: Distance,
    mode: str,
    format: str,
    options: dict[str, object],
    bits: int,
) -> None:
    plain = make(10, 800, 600)
    expected = fingerprint(encode(plain, "PNG"))
    found = fingerprint(encode(in_mode(plain, mode), format, **options))
    assert distance(first_hash(found), first_hash(expected)) <= bits
    assert distance(first_hash(found, "phash", 8), first_hash(expected, "phash", 8)) <= 2
    assert not found.low_quality


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode != "LAB":
        return image.convert(mode)
    from PIL import ImageCms

    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return to_lab.apply(image)


@pytest.mark.parametrize("scale", [257, 65535 / 255, 16])
def test_16_bits(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance, scale: float
) -> None:
    luma = np.asarray(make(11).convert("L"))
    deep = Image.fromarray((luma * np.float64(scale)).round().astype(np.uint16))
    expected = fingerprint(encode(Image.fromarray(luma), "PNG"))
    found = fingerprint(encode(deep, "PNG"))
    # 12 bits in 16 leave 16 levels of 8 bits: found, but at the price of more bits.
    assert distance(first_hash(found), first_hash(expected)) <= (0 if scale > 200 else 31)


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 255.0), (0.0, 65535.0), (-3.0, 5e30)])
def test_floats_of_any_range(
    make: Make,
    encode: Encode,
    fingerprint: ToFingerprint,
    distance: Distance,
    values: tuple[float, float],
) -> None:
    luma = make(12).convert("L")
    unit = np.asarray(luma).astype(np.float32) / 255
    low, high = values
    floats = Image.fromarray((low + unit * (high - low)).astype(np.float32))
    expected, found = fingerprint(encode(luma, "PNG")), fingerprint(encode(floats, "TIFF"))
    assert distance(first_hash(found), first_hash(expected)) <= 2
    assert found.perceptual["pdq"][0].quality >= 50


def test_floats_that_are_no_numbers_are_black() -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 1.0]], np.float32)
    assert levels(Image.fromarray(values))[""].shape == (2, 2)


def test_a_deep_frame_is_also_seen_clipped() -> None:
    deep = Image.fromarray(np.array([[0, 100, 300, 65535]], np.uint16))
    found = levels(deep)
    assert found[""].tolist() == [[0, 0, 1, 255]]
    assert found["clipped"].tolist() == [[0, 100, 255, 255]]


def test_alpha_is_composited_on_white_on_black_and_dropped() -> None:
    frame = Image.fromarray(np.array([[[100, 0], [100, 51], [100, 255]]], np.uint8), "LA")
    found = levels(frame)
    assert found[""].tolist() == [[255, 224, 100]]
    assert found["on-black"].tolist() == [[0, 20, 100]]
    assert found["opaque"].tolist() == [[100, 100, 100]]


def test_opaque_alpha_is_one_picture(make: Make) -> None:
    assert list(levels(make(1).convert("RGBA"))) == [""]


@pytest.mark.parametrize("colour", [0, 255])
def test_a_picture_in_the_alpha_channel_alone(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance, colour: int
) -> None:
    hidden = make(13).convert("L")
    carrier = Image.new("L", hidden.size, colour)
    carrier.putalpha(hidden)
    expected = first_hash(fingerprint(encode(hidden, "PNG")))
    negative = first_hash(fingerprint(encode(hidden.point(lambda level: 255 - level), "PNG")))
    found = fingerprint(encode(carrier, "PNG"))
    nearest = min(
        distance(view.hashes[:32], shown)
        for view in found.perceptual["pdq"]
        for shown in (expected, negative)
    )
    assert nearest <= 2
    assert not found.low_quality


def test_transparent_pixels_that_only_careless_readers_see(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance
) -> None:
    hidden = make(14).convert("RGBA")
    hidden.putalpha(1)
    found = fingerprint(encode(hidden, "PNG"))
    opaque = {view.view: view for view in found.perceptual["pdq"]}["opaque/full"]
    expected = fingerprint(encode(make(14), "PNG"))
    assert distance(opaque.hashes[:32], first_hash(expected)) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance, orientation: int
) -> None:
    upright = make(15, 400, 260)
    stored_by = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(stored_by[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = fingerprint(encode(upright, "PNG"))
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        found = fingerprint(encode(stored, format, exif=exif, quality=95))
        assert distance(first_hash(found), first_hash(expected)) <= 8


def shown_on_gray(hidden: Image.Image, decoy: Image.Image) -> Image.Image:
    """A picture that shows the hidden one on gray, and the decoy on white, on black and opaque."""
    light = 107 + np.asarray(hidden, np.float64) * 40 / 255
    away = np.asarray(decoy, np.float64) / 255 * 100
    white, black = light + away, light - away
    alpha = 255 - (white - black)
    levels = (black * 255 / alpha).clip(0, 255)
    return Image.fromarray(np.stack([levels, alpha], -1).round().astype(np.uint8), "LA")


def test_what_shows_on_gray_alone(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance
) -> None:
    hidden = make(41).convert("L")
    blocks = np.random.default_rng(5).integers(0, 2, (16, 16), np.uint8) * 255
    decoy = Image.fromarray(blocks).resize(hidden.size, Image.Resampling.NEAREST)
    expected = first_hash(fingerprint(encode(hidden, "PNG")))
    found = fingerprint(encode(shown_on_gray(hidden, decoy), "PNG"))
    far = {view.view: distance(view.hashes[:32], expected) for view in found.perceptual["pdq"]}
    assert far["on-gray/full"] <= 24
    assert min(number for view, number in far.items() if not view.startswith("on-gray")) > 31


def test_gray_is_for_what_is_partly_transparent_on_the_whole(make: Make) -> None:
    frame = make(1).convert("RGBA")
    for level, share, names in (
        (0, 1.0, ["", "on-black", "opaque"]),
        (254, 0.05, ["", "on-black", "opaque"]),
        (254, 0.1, ["", "on-black", "opaque", "on-gray"]),
        (1, 1.0, ["", "on-black", "opaque", "on-gray"]),
    ):
        alpha = Image.new("L", frame.size, 255)
        alpha.paste(level, (0, 0, frame.width, round(frame.height * share)))
        frame.putalpha(alpha)
        assert list(levels(frame)) == names, (level, share)


FAINT: dict[str, Callable[[NDArray[np.float64]], NDArray[Any]]] = {
    "of 16 bits": lambda luma: (256 + luma).astype(np.uint16),
    "of 16 bits, and one pixel": lambda luma: np.where(luma == luma.max(), 65535, luma).astype(
        np.uint16
    ),
    "of floats, and one pixel": lambda luma: np.where(
        np.arange(luma.size).reshape(luma.shape), luma / 255, 10
    ).astype(np.float32),
}


@pytest.mark.parametrize("faint", FAINT)
def test_a_faint_deep_page_is_not_blank(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance, faint: str
) -> None:
    hidden = make(43).convert("L")
    expected = first_hash(fingerprint(encode(hidden, "PNG")))
    page = Image.fromarray(FAINT[faint](np.asarray(hidden).astype(np.float64)))
    found = fingerprint(encode(make(42), "TIFF", save_all=True, append_images=[page]))
    views = {(view.frame, view.view): view for view in found.perceptual["pdq"]}
    assert distance(views[1, "stretched/full"].hashes[:32], expected) <= 10


def test_only_what_stores_one_value_is_blank(
    make: Make, encode: Encode, fingerprint: ToFingerprint
) -> None:
    blank = np.full((300, 400), 3, np.uint16)
    line = blank.copy()  # too little for a hash to be relied on
    line[:, 200] = 4

    def low_quality(page: NDArray[np.uint16]) -> frozenset[str]:
        pages = [Image.fromarray(page)]
        return fingerprint(encode(make(42), "TIFF", save_all=True, append_images=pages)).low_quality

    assert not low_quality(blank)
    assert "pdq" in low_quality(line)
    assert "stretched" not in levels(Image.fromarray(blank))
    assert set(np.unique(levels(Image.fromarray(line))["stretched"])) == {0, 255}


def test_what_is_not_faint_is_not_stretched(make: Make) -> None:
    deep = Image.fromarray(np.asarray(make(44).convert("L")).astype(np.uint16) * 257)
    assert list(levels(deep)) == ["", "clipped"]


def with_indexes(hidden: Image.Image, decoy: Image.Image) -> Image.Image:
    """A picture of a palette that shows the decoy, and whose indexes show the hidden one."""
    nibbles = np.asarray(hidden) // 16 * 16 + np.asarray(decoy) // 16
    frame = Image.frombytes("P", hidden.size, nibbles.tobytes())
    frame.putpalette(bytes(index % 16 * 17 for index in range(256) for _ in "RGB"))
    return frame


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("BMP", {}),
        ("GIF", {"optimize": False}),
        ("PNG", {}),
        ("PNG", {"transparency": bytes(range(256))}),
        ("TIFF", {}),
    ],
)
def test_what_indexes_show(
    make: Make,
    encode: Encode,
    fingerprint: ToFingerprint,
    distance: Distance,
    format: str,
    options: dict[str, object],
) -> None:
    hidden, decoy = make(45).convert("L"), make(46).convert("L")
    frame = with_indexes(hidden, decoy)
    expected = first_hash(fingerprint(encode(Image.fromarray(np.asarray(frame)), "PNG")))
    found = fingerprint(encode(frame, format, **options))
    far = {view.view: distance(view.hashes[:32], expected) for view in found.perceptual["pdq"]}
    assert far.pop("indexes/full") == 0
    assert min(far.values()) > 31


def test_indexes_need_not_be_seen(make: Make, encode: Encode, fingerprint: ToFingerprint) -> None:
    frame = Image.fromarray(np.asarray(make(47).convert("L")) // 8).convert("L")
    frame.putpalette(bytes(index * 8 for index in range(32) for _ in "RGB"))
    found = fingerprint(encode(frame, "PNG"))
    quality = {view.view: view.quality for view in found.perceptual["pdq"]}
    assert quality["indexes/full"] < 50 <= quality["full"]
    assert not found.low_quality


def test_indexes_that_are_the_levels_are_one_picture(make: Make) -> None:
    frame = make(48).convert("L").convert("P")
    assert list(levels(frame)) == [""]
    frame.info["transparency"] = bytes([255] * 256)
    assert list(levels(frame)) == [""]


def without_marker(content: bytes) -> bytes:
    """Returns a JPEG without what Adobe's programs say of its inks."""
    start = content.index(b"\xff\xee")
    length = int.from_bytes(content[start + 2 : start + 4])
    assert content[start + 4 : start + 9] == b"Adobe"
    return content[:start] + content[start + 2 + length :]


def test_inks_of_which_nothing_is_said_are_seen_either_way(
    make: Make, encode: Encode, fingerprint: ToFingerprint, distance: Distance
) -> None:
    """Pillow takes them for inverted; TensorFlow, without Adobe's marker, does not."""
    hidden = make(49).convert("L")
    stored = [hidden.point(lambda level: 255 - level)] * 3 + [Image.new("L", hidden.size, 128)]
    inks = ImageChops.invert(Image.merge("CMYK", stored))  # as Pillow writes them: inverted
    content = encode(inks, "JPEG", quality=95)
    expected = first_hash(fingerprint(encode(hidden, "PNG")))

    def far(content: bytes) -> dict[str, int]:
        views = fingerprint(content).perceptual["pdq"]
        return {view.view: distance(view.hashes[:32], expected) for view in views}

    assert far(without_marker(content))["inverted/full"] <= 8
    assert far(without_marker(content))["full"] > 31
    assert list(far(content)) == ["full"]
