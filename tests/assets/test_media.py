"""Telling what bytes are by their beginning."""

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingestgate.assets.containers.container import DEFAULT_SIDECARS
from ingestgate.assets.media import PICTURE_SUFFIXES, sniff


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
        (b"ID3 tags explained", ""),
        (b'{"url": "https://example.org"}', ""),
    ],
)
def test_signatures(content: bytes, media_type: str) -> None:
    assert sniff(content) == media_type


def test_no_suffix_is_both() -> None:
    assert not PICTURE_SUFFIXES & DEFAULT_SIDECARS


@given(st.binary(max_size=64))
def test_any_bytes_get_an_answer(content: bytes) -> None:
    assert isinstance(sniff(content), str)
