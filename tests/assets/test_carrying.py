"""Pictures in text and in lists are told from text and lists."""

import base64
import io
import itertools
import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingestgate.assets.carrying import LEAST, _decoded, carried, carried_in_list, carries
from ingestgate.assets.containers.container import DEFAULT_SIDECARS
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.media import sniff
from ingestgate.assets.shard import Kind
from tests.pictures import encoded, jpeg, picture

# Of a length that base64 pads, so that what follows is told from it.
CONTENT = jpeg(1) + bytes(-len(jpeg(1)) % 57 + 1)
PLAIN = base64.b64encode(CONTENT).decode()
SPELLINGS = {
    "plain": PLAIN,
    "without padding": PLAIN.rstrip("="),
    "of URLs": base64.urlsafe_b64encode(CONTENT).decode(),
    "broken": base64.encodebytes(CONTENT).decode(),
    "broken as in mails": base64.encodebytes(CONTENT).decode().replace("\n", "\r\n"),
    "data URI": f"data:image/jpeg;base64,{PLAIN}",
    "escaped data URI": f"DATA:image/jpeg;base64,{quote(PLAIN, safe='')}",
    "percent": f"data:image/jpeg,{quote(CONTENT)}",
    "in a page": f"<p>A picture: <img src='data:;base64,{PLAIN}'></p>",
    "in a row": f"1\t{PLAIN}\ta caption",
    "hex": CONTENT.hex(),
    "hex of databases": f"\\x{CONTENT.hex()}",
    "Latin-1": CONTENT.decode("latin-1"),
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_every_usual_spelling_is_read(text: str) -> None:
    assert carried(text) == [CONTENT]


@given(st.integers(0, 2**32), st.integers(0, 3 * LEAST), st.sampled_from([" ", ".", "'", "é"]))
def test_wherever_it_stands(seed: int, before: int, mark: str) -> None:
    rng = random.Random(seed)
    rest = "".join(rng.choice("abc. ,") for _ in range(before))
    content = encoded(picture(2), "PNG")
    text = rest + mark + base64.b64encode(content).decode() + mark + rest
    assert carried(text) == [content]


BROKEN = base64.encodebytes(CONTENT).decode()
WRAPPED = {
    "under a caption": f"A caption\n{BROKEN}",
    "under a caption, broken as in mails": "A caption\r\n" + BROKEN.replace("\n", "\r\n"),
    "in a mail": f"Content-Transfer-Encoding: base64\n\n{BROKEN}\n--boundary--\n",
    "in armour": f"-----BEGIN IMAGE-----\n{BROKEN}-----END IMAGE-----\n",
    "under a rule as long": f"{'-' * 76}\n{BROKEN}",
    "in YAML": yaml.safe_dump({"caption": "x", "image": CONTENT}),
    "in LDIF": "dn: cn=x\njpegPhoto:: " + BROKEN.replace("\n", "\n "),
    "indented by tabs": "picture\n" + "".join(f"\t{line}\n" for line in BROKEN.split()),
    "in lines that end in blanks": "".join(f"{line} \t\n" for line in BROKEN.split()),
    "in hex": "A dump\n" + re.sub("(.{60})", "\\1\n", CONTENT.hex()),
    "in hex, under more of it": "A facade\n" + re.sub("(.{60})", "\\1\n", CONTENT.hex()) + "\nz",
    "in lines of any length": "word\n" + re.sub("(.{9})(.{70})", "\\1\n\\2\n", PLAIN),
}


@pytest.mark.parametrize("text", WRAPPED.values(), ids=WRAPPED)
def test_lines_are_joined_without_what_stands_about_them(text: str) -> None:
    assert carried(text) == [CONTENT]
    assert kind_of("txt", text.encode(), DEFAULT_SIDECARS) is Kind.OTHER


@given(
    st.text("ab/+-_\n", max_size=200),
    st.integers(4, 100),
    st.text(" \t", max_size=9),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_whatever_stands_on_the_lines_before(
    before: str, width: int, indent: str, end: str
) -> None:
    lines = [PLAIN[at : at + width] for at in range(0, len(PLAIN), width)]
    assert CONTENT in carried(before + end + "".join(f"{indent}{line}{end}" for line in lines))


def test_what_follows_at_once_is_taken_off() -> None:
    even = jpeg(1) + bytes(-len(jpeg(1)) % 57 + 3)  # nothing pads it
    broken = base64.encodebytes(even).decode()
    assert carried(f"A caption\n{broken}Another one")[0] == even
    other = base64.encodebytes(jpeg(2)).decode()
    assert {even, jpeg(2)} <= {*carried(f"A caption\n{broken}{other}")}


def filled(content: bytes, width: int) -> bytes:
    """A picture that fills its last line, and so ends with no sign of that it does."""
    return content + bytes(-len(content) % (width * 3 // 4))


def wrapped(text: str, width: int, end: str = "\n", indent: str = "") -> str:
    return end.join(indent + text[at : at + width] for at in range(0, len(text), width))


THREE = [encoded(picture(seed, (32, 32)), "BMP") for seed in (1, 2, 3)]
LINES = {
    "base64": [base64.b64encode(each).decode() for each in THREE],
    "hex": [each.hex() for each in THREE],
    "indented": [f"  {base64.urlsafe_b64encode(each).decode()}" for each in THREE],
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\nword\n"])
@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_each_of_lines_as_long_as_each_other_may_be_a_picture(lines: list[str], end: str) -> None:
    assert len({*map(len, lines)}) == 1
    assert {*carried(end.join(lines))} >= {*THREE}
    assert {*carried("A caption\n" + end.join(lines) + end + "Another")} >= {*THREE}


@pytest.mark.parametrize(
    ("first", "between", "second"),
    [
        ("", "\n\n", ""),
        ("", "\r\n\r\n", ""),
        ("", "\n \t\n", ""),
        ("", "\n", "  "),
        ("\t", "\n", ""),
        ("  ", "\n\n\n", "  "),
        ("", "\n\nword\n\n", ""),
        ("", "\n--boundary\n", ""),
        ("", f"\n{'-' * 76}\n", ""),
    ],
)
@pytest.mark.parametrize("width", [64, 76])
def test_what_ends_with_a_full_line_ends_where_something_else_begins(
    width: int, first: str, between: str, second: str
) -> None:
    one, two = filled(jpeg(1), width), filled(jpeg(2), width)
    end = "\r\n" if "\r" in between else "\n"
    text = between.join(
        wrapped(base64.b64encode(content).decode(), width, end, indent)
        for content, indent in ((one, first), (two, second))
    )
    for before in ("", "A caption\n\n"):
        for after in ("", "\n\nword", "\n-----END-----"):
            assert {*carried(before + text + after)} >= {one, two}


def test_lines_with_a_blank_line_between_them_are_one_picture() -> None:
    spaced = wrapped(PLAIN.rstrip("="), 76, "\n\n")
    assert carried(spaced) == [CONTENT]
    assert CONTENT in carried(f"{PLAIN}\n{spaced}")


def plainly_decoded(text: str) -> set[bytes]:
    """The pictures that single lines are, and lines without a blank one or a new indent between."""
    found: set[bytes] = set()
    block: list[str] = []
    last = ""
    for line in [*re.split(r"\r\n|\r|\n", text), ""]:
        digits = line.lstrip(" \t")
        indent = line.removesuffix(digits)
        if not digits or indent != last or digits.startswith("--"):
            found |= decoded("".join(block))
            block = []
        found |= decoded(digits)
        block.append(digits)
        last = indent
    return found


def decoded(digits: str) -> set[bytes]:
    contents = []
    if re.fullmatch(rf"[A-Za-z0-9+/_-]{{{LEAST - 2},}}={{0,2}}", digits):
        bare = digits.rstrip("=")
        with suppress(ValueError):
            padded = bare.replace("-", "+").replace("_", "/") + "=" * (-len(bare) % 4)
            contents.append(base64.b64decode(padded))
    if re.fullmatch("(?:[0-9A-Fa-f]{2})+", digits):
        contents.append(bytes.fromhex(digits))
    return {each for each in contents if len(each) >= LEAST // 2 and sniff(each)[:6] == "image/"}


CONTENTS = [*THREE, CONTENT, filled(jpeg(2), 76), filled(jpeg(3), 64), filled(jpeg(4), 4)]
CONTENTS += [encoded(picture(5, (40, 40)), "PNG"), filled(encoded(picture(6, (48, 48)), "GIF"), 76)]
WRITERS: list[Callable[[bytes], str]] = [
    lambda content: base64.b64encode(content).decode(),
    lambda content: base64.b64encode(content).decode().rstrip("="),
    lambda content: base64.urlsafe_b64encode(content).decode(),
    lambda content: base64.encodebytes(content).decode(),
    lambda content: base64.encodebytes(content).decode().replace("\n", "\r\n"),
    lambda content: wrapped(base64.b64encode(content).decode(), 64),
    lambda content: wrapped(base64.b64encode(content).decode(), 2000),
    lambda content: wrapped(base64.b64encode(content).decode(), 76, indent="  "),
    lambda content: content.hex(),
    lambda content: wrapped(content.hex(), 60),
]
BETWEEN = ["", "\n", "\n", "\n\n", "\n\n", "\r\n\r\n", "\n  ", " ", ", ", "\nword\n", "\nface\n\n"]
BETWEEN += ["\nA caption\n", "\n\nA caption:\n\n", "\n--\n", f"\n{'-' * 76}\n", "\n\t"]
PIECES = st.tuples(st.sampled_from(BETWEEN), st.sampled_from(WRITERS), st.sampled_from(CONTENTS))


@given(st.lists(PIECES, min_size=1, max_size=4), st.sampled_from(BETWEEN))
def test_all_is_found_that_lines_and_blocks_of_them_decode_to(
    pieces: list[tuple[str, Callable[[bytes], str], bytes]], after: str
) -> None:
    text = "".join(between + write(content) for between, write, content in pieces) + after
    assert plainly_decoded(text) & {*CONTENTS} <= {*carried(text)}


@given(
    st.lists(st.sampled_from([8, 12, 76, 600, 1100, 1200]), min_size=1, max_size=4),
    st.lists(st.sampled_from(["\n", "\n\n", "\n ", "\n--x\n", "\r\n"]), min_size=1, max_size=5),
    st.sampled_from(["/9j/", "ffd8ff"]),
)
def test_lines_that_all_begin_like_pictures_are_taken_a_few_times_over(
    widths: list[int], ends: list[str], head: str
) -> None:
    lines = zip(itertools.cycle(widths), itertools.cycle(ends), strict=False)
    text = "".join(head.ljust(width, "0") + end for width, end in itertools.islice(lines, 99))
    assert sum(map(len, _decoded(text))) < 6 * len(text)


def test_bytes_that_begin_like_a_picture_within_a_line_like_others_are_none() -> None:
    line = b"\xff\x0a" + bytes(55)  # two bytes, which chance has there
    text = base64.encodebytes(b"\x93NUMPY" + bytes(51) + line * 99).decode()
    assert carried("An array\n" + text) == []
    assert carried("A picture\n" + text.partition("\n")[2]) != []


def test_several_are_all_found() -> None:
    other = jpeg(2)
    assert carried(f"{PLAIN} {base64.b64encode(other).decode()}") == [CONTENT, other]


PIXELS = "17 200 45\n" * 200
AS_THEY_STAND = {
    "bits": "P1\n40 40\n" + "01" * 800,
    "parted bits": "P1 40 40 " + "0 1\n" * 800,
    "grays": "P2\n24 25\n255\n" + PIXELS,
    "colours": "P3\n20 10\n255\n" + PIXELS,
    "commented": "P3 # drawn #\n#\r20#\n\v1#0 by\n0 +25#\r5\t" + PIXELS,
    "commented to the line's end": "P3\n# drawn\rby hand\n20 10 255\n" + PIXELS,
    "commented in words of any language": "P3\n# \u7d75\n20 10 255\n" + PIXELS,
    "a lone surrogate behind": "P3\n20 10 255\n" + PIXELS + "\ud800",
    "bytes below 128": "P5\n40 40\n127\n" + "\x00a~\x7f" * 400,
    "printable bytes": "P6 20 20 255\n" + "abc" * 400,
    "bitmap of bytes": "P4 80 99\n" + "a" * 1200,
    "PAM": "P7\n# any\nWIDTH 20\nHEIGHT 20\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + "abc" * 400,
    "thumbnail": "P7 332\n#END_OF_COMMENTS\n40 40 255\n" + "a" * 1600,
    "Windows bitmap": "BM" + "a" * 12 + "\x28\0\0\0" + "a" * 1600,
    "TIFF": "II*\0" + "a" * 1600,
}


@pytest.mark.parametrize("text", AS_THEY_STAND.values(), ids=AS_THEY_STAND)
def test_pictures_that_are_text_as_they_stand_are_found(text: str) -> None:
    assert carried(text) == [text.encode("utf-8", "surrogatepass")]


@pytest.mark.parametrize("plain", ["P1", "P2", "P3"])
def test_what_pillow_reads_of_plain_pictures_is_found(plain: str) -> None:
    pixels = "1 " * 3 * 20 * 20
    for depth in ("",) if plain == "P1" else ("1 ", "0_9\n", "+65#\n535\r"):
        text = f"{plain} #a\n 20\f2#b\r0\n{depth}{pixels}"
        with Image.open(io.BytesIO(text.encode())) as image:
            image.load()
        assert image.size == (20, 20)
        assert carried(text) == [text.encode()]


@pytest.mark.parametrize(
    "beginning",
    [
        *(
            "P3 player",
            "P3 2 of 4 8",
            "P3 2 4 players",
            "P3 2 4 8 of",
            "P2",
            "P1 12 15 14 16",
            "P4 2 of",
        ),
        *(
            "P6 1 2 seats",
            "P7\n# A heading\n",
            "PyPI 1 2 3",
            "Pf 1 2",
            "P5 # 1 2 3 4",
            "Portrait 1 2",
        ),
        *("GIF89a is a format", "BMW", "\tII", "\x1b[31mred\x1b[0m", "<svg>", "a P3\n2 2 255\n"),
    ],
)
def test_prose_that_begins_like_a_picture_is_none(beginning: str) -> None:
    assert carried(f"{beginning} " + "and so on, " * 200) == []


@pytest.mark.parametrize(
    "text",
    [
        "a caption, with a comma, of https://fine.example/a.jpg " * 100,
        "https://fine.example/?" + "a=b&" * 1000,
        "word" * 1000,
        "/9j/ " * 1000,
        "0123456789abcdef" * 200,
        base64.b64encode(b"\x93NUMPY" + bytes(4000)).decode(),
        "\u7d75" * 3000,
        "caf\u00e9 " * 1000,
        PLAIN[: LEAST - 4],
    ],
)
def test_text_is_text(text: str) -> None:
    assert carried(text) == []


def test_lists_of_bytes() -> None:
    assert carried_in_list([*CONTENT]) == CONTENT
    for values in ([*CONTENT[:1000]], [*CONTENT, 256], [*CONTENT, "a"], [0] * 5000, ["a"] * 5000):
        assert carried_in_list(values) is None


def test_values_are_searched_at_any_depth() -> None:
    for value in (PLAIN, {"a": [{"b": PLAIN}]}, {PLAIN: 1}, [("a", PLAIN)], {"a": [*CONTENT]}):
        assert carries(value)
    deep: object = "text"
    for _ in range(10_000):
        deep = [deep]
    assert not carries({"a": ["b", 1, None, deep]})


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a" * (LEAST - 3) + " ",
            "data:",
            "data:,%",
            "%41",
            "0x",
            "-",
            "a\n",
            "a\n ",
            " \n",
            " ",
            "a \n",
        ),
        *("/9j/\n", "/wo/\n/wo\n", "PDw8\n", "ffd8ff\nffd8ff00\n"),
    ],
)
def test_what_is_made_to_be_slow_is_not(text: str) -> None:
    started = time.process_time()
    carried(text * (1_000_000 // len(text)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("before", ["P3 ", "P1 2 2 "])
@pytest.mark.parametrize("text", ["#\n", "#\r\n", "1#\n", "+#\n", "1 ", "\n", "#"])
def test_a_header_without_end_is_not_slow(before: str, text: str) -> None:
    started = time.process_time()
    carried(before + text * (1_000_000 // len(text)))
    assert time.process_time() - started < 5
