"""Telling what bytes are by their beginning."""

import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PpmImagePlugin, TiffImagePlugin

from ingestgate.assets.containers.container import DEFAULT_SIDECARS
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.media import PICTURE_SUFFIXES, sniff
from ingestgate.assets.shard import Kind
from ingestgate.fingerprints.limits import KNOWN_FORMATS


def _encoded(format: str, mode: str = "RGB") -> bytes:
    sink = io.BytesIO()
    Image.new(mode, (32, 24), 1).save(sink, format)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("format", "mode", "media_type"),
    [
        ("JPEG", "RGB", "image/jpeg"),
        ("JPEG", "CMYK", "image/jpeg"),
        ("PNG", "P", "image/png"),
        ("GIF", "P", "image/gif"),
        ("WEBP", "RGB", "image/webp"),
        ("AVIF", "RGB", "image/avif"),
        ("TIFF", "RGB", "image/tiff"),
        ("BMP", "RGB", "image/bmp"),
        ("JPEG2000", "RGB", "image/jp2"),
        ("ICO", "RGB", "image/vnd.microsoft.icon"),
        ("PPM", "RGB", "image/x-portable-pixmap"),
        ("PPM", "L", "image/x-portable-graymap"),
        ("PPM", "1", "image/x-portable-bitmap"),
        ("PCX", "L", "image/vnd.zbrush.pcx"),
        ("SGI", "RGB", "image/sgi"),
        ("DDS", "RGB", "image/vnd-ms.dds"),
        ("XBM", "1", "image/x-xbitmap"),
        ("ICNS", "RGB", "image/icns"),
        ("QOI", "RGB", "image/x-qoi"),
    ],
)
def test_what_an_encoder_writes_is_recognised(format: str, mode: str, media_type: str) -> None:
    content = _encoded(format, mode)
    assert sniff(content) == media_type


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", ""),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "image/avif"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2", "video/mp4"),
        (b"\xff\x0a\x00", "image/x-jxl"),
        (b"8BPS\x00\x01", "image/vnd.adobe.photoshop"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='x'/>", "image/svg+xml"),
        (b" <SVG>", "image/svg+xml"),
        (b"<?xml version='1.0'?><annotation/>", ""),
        (gzip.compress(b"x", mtime=0), "application/gzip"),
        (b"BMW at dusk, parked before the house", ""),
        (b"P3 player on a table", ""),
        (b"P6\n# a comment\n1 1\n255\nabc", "image/x-portable-pixmap"),
        (b"P7\nWIDTH 1\n", "image/x-portable-anymap"),
        (b"icns are icons", ""),
        (b"qoif is a format", ""),
        (b"P0CMYK is a spelling", ""),
        (b"PyPI holds 2 packages", ""),
        (b"\0\0\1\xba\x44\0\4\0", "video/mpeg"),
        (b"ID3 tags explained", ""),
        (b'{"url": "https://example.org"}', ""),
    ],
)
def test_signatures(content: bytes, media_type: str) -> None:
    assert sniff(content) == media_type


NAMES = ("P0CMYK", "PyP", "PyRGBA", "PyCMYK", "P1", "P2", "P3", "P4", "P5", "P6", "Pf")
BEGINNINGS = (
    *NAMES,
    "qoif",
    "DDS |",
    "BM",
    "II",
    "MM",
    "GIF8",
    "\x89PNG\r\n\x1a\n",
    "RIFF",
    "ftyp",
)
BITS = (*"#+-48\r\n\t\v ", "255", "# c\n", "WEBP", "VP8 ", "avif", "mif1", "7a", "9a")
RARE = ("\0", "*", "+", "\x28", "\x6c", "\x7c", "\xff\xd8\xff", "\0\0\0", "\xff\x4f\xff\x51")


def _opens(content: bytes, format: str) -> bool:
    try:
        Image.open(io.BytesIO(content), formats=(format,))
    except Exception:  # noqa: BLE001  (a plugin may raise anything)
        return False
    return True


def _as_pillow_has_it(content: bytes) -> bool:
    """Whether a plugin says that it is its format; of those that letters suffice, opens it."""
    Image.init()
    for format in KNOWN_FORMATS - {"MPO"}:  # which is a JPEG
        accept = Image.OPEN[format][1]
        assert accept is not None
        if accept(content[:16]) is True and (
            format not in {"BMP", "PPM", "DDS", "QOI"} or _opens(content, format)
        ):
            return True
    return False


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=1000)
@given(
    st.sampled_from(BEGINNINGS + RARE),
    st.lists(st.sampled_from(BITS + RARE), max_size=12),
    st.binary(max_size=40),
)
def test_what_pillow_takes_for_a_picture_is_one(name: str, bits: list[str], rest: bytes) -> None:
    content = (name + "".join(bits)).encode("latin-1") + rest
    for start in (content, content + b" 4 4 255 ", rest + content):
        if _as_pillow_has_it(start):
            assert sniff(start).startswith("image/")


@pytest.mark.parametrize(
    "content",
    [
        *(prefix + bytes(60) for prefix in TiffImagePlugin.PREFIXES),
        *(magic + b"\n4 4\n255\n" + bytes(64) for magic in PpmImagePlugin.MODES),
        b"P0CMYK4 4 255\n" + bytes(64),
        b"P6\n# ended by\r4 4 255 " + bytes(48),
        b"P6 +4 +#\r4 255 " + bytes(48),
        b"qoif\0\0\0\4\0\0\0\4\7\0" + bytes(64),
        b"\0\0\1\xbaftypavif" + bytes(426),
        b"\0\0\1\xb3ftypavif" + bytes(419),
    ],
)
def test_what_hardly_another_reader_opens_is_a_picture(content: bytes) -> None:
    assert _as_pillow_has_it(content)
    assert sniff(content).startswith("image/")
    assert kind_of("txt", content, DEFAULT_SIDECARS) is Kind.PICTURE


def test_no_suffix_is_both() -> None:
    assert not PICTURE_SUFFIXES & DEFAULT_SIDECARS


@given(st.binary(max_size=64))
def test_any_bytes_get_an_answer(content: bytes) -> None:
    assert isinstance(sniff(content), str)
