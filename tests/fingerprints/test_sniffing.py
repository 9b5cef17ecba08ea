import pytest

from ingestgate.fingerprints.sniffing import sniff


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"MM\0\x2a", "image/tiff"),
        (b"II\0\x2a", "image/tiff"),
        (b"MM\x2a\0", "image/tiff"),
        (b"P6 3 3 255\n", "image/x-portable-anymap"),
        (b"P0CMYK3 3 255\n", "image/x-portable-anymap"),
        (b"PyP 3 3 255\n", "image/x-portable-anymap"),
        (b"PyRGBA\n3 3 255\n", "image/x-portable-anymap"),
        (b"PyCMYK\n3 3 255\n", "image/x-portable-anymap"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video/mp4"),
        (b"\xff\x0a\xfa\x7f", "image/jxl"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by -->\n<svg>", "image/svg+xml"),
        (b"<!DOCTYPE svg PUBLIC 'x'>\n<svg\n", "image/svg+xml"),
    ],
)
def test_signatures(head: bytes, media_type: str) -> None:
    media = sniff(head + bytes(64))
    assert media is not None
    assert media.media_type == media_type


@pytest.mark.parametrize(
    "content",
    [b"", b"plain text", b"<html><body>", b'{"a": 1}', b"Beam me up", b"\0" * 64, b"BM and so on"],
)
def test_what_is_no_media(content: bytes) -> None:
    assert sniff(content) is None
