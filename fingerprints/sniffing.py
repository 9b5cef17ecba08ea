"""What kind of media bytes are, by their first bytes alone.

Names and extensions lie; decoders and browsers go by the signature, so this does too.
Signatures after the WHATWG MIME Sniffing Standard, the brands of the ISO base media file
format (MP4RA) and the formats' own specifications.
"""

import re
from typing import NamedTuple


class Media(NamedTuple):
    """What a signature stands for.

    Attributes:
        media_type: MIME type.
        format: Pillow's name of the format; "" where Pillow has no decoder for it.
    """

    media_type: str
    format: str = ""


_SIGNATURES = (
    (rb"\xff\xd8\xff", Media("image/jpeg", "JPEG")),
    (rb"\x89PNG\r\n\x1a\n", Media("image/png", "PNG")),
    (rb"GIF8[79]a", Media("image/gif", "GIF")),
    (rb"RIFF....WEBP", Media("image/webp", "WEBP")),
    (
        rb"II\x2a\x00|MM\x00\x2a|II\x2b\x00|MM\x00\x2b|II\x00\x2a|MM\x2a\x00",
        Media("image/tiff", "TIFF"),
    ),
    (rb"BM.{4}\x00{4}", Media("image/bmp", "BMP")),
    (rb"P[1-6Ff]\s|PyP\s|P0CMYK|PyRGBA|PyCMYK", Media("image/x-portable-anymap", "PPM")),
    (rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", Media("image/jp2", "JPEG2000")),
    (rb"\x00\x00\x01\x00", Media("image/vnd.microsoft.icon", "ICO")),
    (rb"\x00\x00\x00\x0cJXL \r\n\x87\n|\xff\x0a", Media("image/jxl")),
    (rb"II\xbc", Media("image/jxr")),
    (rb"8BPS", Media("image/vnd.adobe.photoshop", "PSD")),
    (rb"qoif", Media("image/qoi", "QOI")),
    (rb"DDS ", Media("image/vnd.ms-dds", "DDS")),
    (rb"icns", Media("image/icns", "ICNS")),
    (rb"\x76\x2f\x31\x01", Media("image/x-exr")),
    (rb"\xd7\xcd\xc6\x9a|\x01\x00\x00\x00.{36} EMF", Media("image/wmf", "WMF")),
    (rb"%PDF-", Media("application/pdf")),
    (rb"%!PS", Media("application/postscript", "EPS")),
    (rb"\x1a\x45\xdf\xa3", Media("video/webm")),
    (rb"RIFF....AVI ", Media("video/x-msvideo")),
    (rb"RIFF....WAVE", Media("audio/wav")),
    (rb"FLV\x01", Media("video/x-flv")),
    (rb"OggS", Media("application/ogg")),
    (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", Media("audio/mpeg")),
    (rb"fLaC", Media("audio/flac")),
    (rb"\x00\x00\x01[\xb3\xba]", Media("video/mpeg")),
    (
        rb"(?:\xef\xbb\xbf)?\s*(?:<[?!].{0,2000}?)?<svg[\s>]",
        Media("image/svg+xml"),
    ),
)
_COMPILED = tuple((re.compile(pattern, re.DOTALL), media) for pattern, media in _SIGNATURES)

# In order: an AVIF that also carries the general brand mif1 is an AVIF.
_BRANDS = (
    (frozenset({b"avif", b"avis"}), Media("image/avif", "AVIF")),
    (frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"}), Media("image/heic")),
    (frozenset({b"mif1", b"msf1", b"miaf"}), Media("image/heif")),
)


def sniff(content: bytes) -> Media | None:
    """Returns what the first 4096 bytes look like, None if like no kind of media known here."""
    head = content[:4096]
    if head[4:8] == b"ftyp":
        size = max(16, min(int.from_bytes(head[:4], "big"), 512))
        brands = {head[start : start + 4] for start in range(8, size, 4)}
        for known, media in _BRANDS:
            if brands & known:
                return media
        return Media("video/mp4")
    for pattern, media in _COMPILED:
        if pattern.match(head):
            return media
    return None
