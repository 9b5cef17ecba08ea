"""What is ruled out for all rows at once carries nothing."""

import base64
import re

import pyarrow as pa
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.assets.carrying import LEAST, carried
from ingestgate.assets.media import _PREFIXES
from ingestgate.transforms.carried_rows import rows_that_carry
from tests.pictures import jpeg

CONTENT = jpeg(1)
CARRIERS = (
    base64.b64encode(CONTENT).decode(),
    base64.encodebytes(CONTENT).decode(),
    CONTENT.decode("latin-1"),
    CONTENT.hex(),
    "data:image/jpeg," + "".join(f"%{byte:02x}" for byte in CONTENT),
    "-----BEGIN IMAGE-----\n" + base64.encodebytes(CONTENT).decode(),
    "A caption\r\n" + base64.encodebytes(CONTENT).decode().replace("\n", "\r\n"),
    yaml.safe_dump({"caption": "x", "image": CONTENT}),
    *(
        re.sub(f"(.{{{width}}})", rf"\1\n{indent}", base64.b64encode(CONTENT).decode())
        for width, indent in ((5, " "), (2, "\t"), (76, "  "), (300, " " * 300))
    ),
    re.sub("(.{60})", "\\1\n    ", CONTENT.hex()),
    "P3\n20 20\n255\n" + "17 200 45\n" * 400,
    "P1 # \u7d75\n40 40 " + "01" * 800,
    "P5\n40 40\n127\n" + "\x00a~\x7f" * 400,
    "BM" + "a" * 12 + "\x28\0\0\0" + "a" * 1600,
)
# What a picture that was decoded as Latin-1 may begin with.
BEGINNINGS = [
    *(prefix for prefix, media_type in _PREFIXES if media_type.startswith("image/")),
    *(b"P6\n  48   48\n255\n", b"P6\n# a comment of some length\n4 4\n255\n", b"Pf 4 4 1\n"),
    *(b"P0CMYK4 4 255\n", b"PyP\t4 4 255 ", b"P7\nWIDTH 4\n", b"P7 332\n"),
    *(b"RIFF    WEBPVP8 ", b"RF64    WEBPVP8L", b"    ftypavif    mif1", b"    ftypheic"),
    *(b"BM            (\0\0\0", b"BM            \x7c\0\0\0", b"icns\n", b"qoif\r", b"qoif\0"),
    *(b"<svg ", b"\v\n <!-- drawn by hand, as it were --><svg>", b" " * 90 + b"#define x_width 4"),
    *(b"\xef\xbb\xbf<?xml version='1.0'?><svg>", b"\x01\0\0\0" + b" " * 36 + b" EMF"),
]
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "word ", "a caption, " * 200, "a\n b " * 500, "\u7d75" * 2000, "x" * 2000]
    ),
    st.builds(
        lambda before, carrier, after: before + carrier + after,
        st.text(" .\n\t\u00e9'ab", max_size=700),
        st.sampled_from(CARRIERS),
        st.text(" .\n\u00e9'ab", max_size=9),
    ),
)


@settings(deadline=None)
@given(
    st.sampled_from(BEGINNINGS),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=99),
)
def test_bytes_as_latin_1_are_known_by_their_beginning(beginning: bytes, after: str) -> None:
    text = beginning.decode("latin-1") + after + " of text" * 200 + "\u00e9"
    assert carried(text)
    assert rows_that_carry(pa.array(["", text])) == [1]


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=9), st.integers(0, 3))
def test_the_same_rows_are_found_as_one_by_one(texts: list[str | None], skipped: int) -> None:
    expected = [row for row, text in enumerate(texts[skipped:]) if text and carried(text)]
    for kind in (pa.string(), pa.large_string()):
        assert rows_that_carry(pa.array(texts, kind).slice(skipped)) == expected


def test_rows_that_are_pictures_as_they_stand_are_found() -> None:
    texts = [None, "P3 is a word " * 99, *CARRIERS[-4:]]
    assert rows_that_carry(pa.array(texts)) == [2, 3, 4, 5]


def test_most_captions_are_ruled_out() -> None:
    captions = pa.array([f"{number} of a long caption, " * 99 for number in range(1000)])
    assert len(captions[0].as_py()) > LEAST
    assert rows_that_carry(captions) == []
    assert rows_that_carry(pa.array([], pa.string())) == []
    assert rows_that_carry(pa.nulls(3, pa.string())) == []
