"""Pictures in text and in lists are told from text and lists."""

import base64
import random
import re
import time
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.carrying import LEAST, carried, carried_in_list, carries
from ingestgate.assets.containers.container import DEFAULT_SIDECARS
from ingestgate.assets.kinds import kind_of
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


def test_bytes_that_begin_like_a_picture_within_a_line_like_others_are_none() -> None:
    line = b"\xff\x0a" + bytes(55)  # two bytes, which chance has there
    text = base64.encodebytes(b"\x93NUMPY" + bytes(51) + line * 99).decode()
    assert carried("An array\n" + text) == []
    assert carried("A picture\n" + text.partition("\n")[2]) != []


def test_several_are_all_found() -> None:
    other = jpeg(2)
    assert carried(f"{PLAIN} {base64.b64encode(other).decode()}") == [CONTENT, other]


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
        *("a" * (LEAST - 3) + " ", "data:", "data:,%", "%41", "0x", "-", "a\n", "a\n ", " \n", " "),
        *("/9j/\n", "/wo/\n/wo\n", "PDw8\n", "ffd8ff\nffd8ff00\n"),
    ],
)
def test_what_is_made_to_be_slow_is_not(text: str) -> None:
    started = time.process_time()
    carried(text * (1_000_000 // len(text)))
    assert time.process_time() - started < 5
