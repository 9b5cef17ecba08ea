"""What bytes are, by their magic.

Signatures follow the formats' specifications and the WHATWG MIME Sniffing standard
(https://mimesniff.spec.whatwg.org/); those that begin with letters are checked further, so
that a caption such as "BMW at dusk" is no picture.
"""

import re
from collections.abc import Callable

_PICTURES = """
    apng arw avif avifs bmp bw cr2 cr3 cur dcx dds dib dng emf eps exr fits gif hdr heic
    heif hif icns ico im j2c j2k jfif jif jp2 jpc jpe jpeg jpf jpg jpm jpx jxl jxr mpo msp
    nef orf pbm pcd pcx pfm pgm png pnm ppm ps psd qoi raf ras raw rgb rgba rw2 sgi svg svgz
    tga tif tiff wbmp wdp webp wmf xbm xcf xpm
"""

#: Suffixes (lower case, no dot) under which a member is a picture whatever its bytes are.
PICTURE_SUFFIXES = frozenset(_PICTURES.split())

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II\x00*", "image/tiff"),  # wrong, and read nevertheless
    (b"MM*\x00", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"IIRO", "image/x-olympus-orf"),
    (b"IIU\x00", "image/x-panasonic-rw2"),
    (b"FUJIFILMCCD-RAW", "image/x-fuji-raf"),
    (b"II\xbc\x01", "image/jxr"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/x-jxl"),
    (b"\xff\x0a", "image/x-jxl"),
    (b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (b"\x00\x00\x02\x00", "image/vnd.microsoft.icon"),
    (b"8BPS\x00", "image/vnd.adobe.photoshop"),
    (b"gimp xcf ", "image/x-xcf"),
    (b"v/1\x01", "image/x-exr"),
    (b"#?RADIANCE", "image/vnd.radiance"),
    (b"DDS |\x00\x00\x00", "image/vnd-ms.dds"),
    (b"SIMPLE  =", "image/fits"),
    (b"\x01\xda\x00", "image/sgi"),
    (b"\x01\xda\x01", "image/sgi"),
    (b"\x59\xa6\x6a\x95", "image/x-sun-raster"),
    (b"\x0a\x05\x01", "image/vnd.zbrush.pcx"),
    (b"\xb1\x68\xde\x3a", "image/vnd.zbrush.dcx"),
    (b"/* XPM */", "image/x-xpixmap"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"%!PS", "application/postscript"),
    (b"%PDF-", "application/pdf"),
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
    (b"FLV\x01", "video/x-flv"),
    (b"0&\xb2u\x8ef\xcf\x11", "video/x-ms-asf"),
    (b"OggS\x00", "application/ogg"),
    (b"fLaC\x00", "audio/flac"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
)

_RIFF = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo", b"WAVE": "audio/wav"}
_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# A large number follows, of bytes or pixels, which text would say with its first letter.
_COUNTED = {b"icns": "image/icns", b"qoif": "image/x-qoi"}
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
    | {b"mif2", b"miaf"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

# Comments end with a line, of which readers differ what ends it; one may stand within a number.
_PORTABLE = re.compile(
    rb"P(?:([1-6Ff])\s|yP\s|(?:0CMYK|yRGBA|yCMYK))"
    rb"(?:(?:\s|#[^\r\n]*[\r\n])*|(?:\s|#[^\n]*\n)*)"
    rb"(?:[+-](?:#[^\r\n]*[\r\n])*)?\d"
    rb"|P7(\n(?:#|WIDTH|HEIGHT|DEPTH)| 332)"
)
_PORTABLE_NAMES = {
    **dict.fromkeys((b"1", b"4"), "image/x-portable-bitmap"),
    **dict.fromkeys((b"2", b"5"), "image/x-portable-graymap"),
    **dict.fromkeys((b"3", b"6"), "image/x-portable-pixmap"),
    **dict.fromkeys((b"F", b"f"), "image/x-portable-floatmap"),
}
_XBM = re.compile(rb"\s*#define[ \t]+\S*width[ \t]+\d")
_SVG = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\b|<!DOCTYPE\s+svg\b|<!--|<svg[\s>:])", re.I)
_SVG_ROOT = re.compile(rb"<(?:\w+:)?svg[\s>]", re.I)


def sniff(content: bytes) -> str:
    """Returns the media type that the bytes' signature says, "" if none does.

    Only looks at the beginning: bytes that start as a picture are one, whatever follows.
    """
    for prefix, media_type in _by_first_byte(content):
        if content.startswith(prefix):
            return media_type
    for test in _TESTS:
        media_type = test(content)
        if media_type:
            return media_type
    return ""


def _by_first_byte(content: bytes) -> tuple[tuple[bytes, str], ...]:
    return _INDEX.get(content[:1], ())


_INDEX: dict[bytes, tuple[tuple[bytes, str], ...]] = {
    first: tuple(item for item in _PREFIXES if item[0][:1] == first)
    for first in {prefix[:1] for prefix, _ in _PREFIXES}
}


def _riff(content: bytes) -> str:
    return _RIFF.get(content[8:12], "") if content[:4] in (b"RIFF", b"RF64") else ""


def _bitmap(content: bytes) -> str:
    size = int.from_bytes(content[14:18], "little")
    return "image/bmp" if content[:2] == b"BM" and size in _BITMAP_HEADERS else ""


def _iso_media(content: bytes) -> str:
    """ISO base media (ISO/IEC 14496-12): the brands of the leading ``ftyp`` box decide."""
    if content[4:8] != b"ftyp":
        return ""
    size = min(int.from_bytes(content[:4], "big"), 512)
    major = content[8:12]
    brands = {major, *(content[at : at + 4] for at in range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return "image/avif"
    if brands & _HEIF_BRANDS:
        return "image/heic"
    if major == b"crx ":
        return "image/x-canon-cr3"
    if major == b"qt  ":
        return "video/quicktime"
    return "audio/mp4" if major in (b"M4A ", b"M4B ") else "video/mp4"


def _portable(content: bytes) -> str:
    found = _PORTABLE.match(content)
    return _PORTABLE_NAMES.get(found[1], "image/x-portable-anymap") if found else ""


def _text_drawing(content: bytes) -> str:
    if _XBM.match(content):
        return "image/x-xbitmap"
    if _SVG.match(content) and _SVG_ROOT.search(content, 0, 4096):
        return "image/svg+xml"
    return ""


def _framed(content: bytes) -> str:
    """Formats whose signature lies further in, or needs a second look."""
    if content[:4] in _COUNTED and b"" < content[4:5] < b" ":
        return _COUNTED[content[:4]]
    if content[:4] in (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"):  # or a box of that length
        return "video/mpeg"
    if content[:4] == b"\x01\x00\x00\x00" and content[40:44] == b" EMF":
        return "image/emf"
    if content[:3] == b"ID3" and len(content) > 3 and content[3] < 0x10:
        return "audio/mpeg"
    if content[:3] == b"BZh" and content[4:10] == b"1AY&SY":
        return "application/x-bzip2"
    if content[128:132] == b"DICM":
        return "application/dicom"
    return "application/x-tar" if content[257:262] == b"ustar" else ""


_TESTS: tuple[Callable[[bytes], str], ...] = (
    _iso_media,
    _riff,
    _bitmap,
    _portable,
    _framed,
    _text_drawing,
)
