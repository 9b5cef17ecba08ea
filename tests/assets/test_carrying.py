"""Pictures in text and in lists are told from text and lists."""

import base64
import random
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.carrying import LEAST, carried, carried_in_list, carries
from tests.pictures import encoded, jpeg, picture

CONTENT = jpeg(1)
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


@pytest.mark.parametrize("text", [("a" * (LEAST - 3) + " "), "data:", "data:,%", "%41", "0x", "-"])
def test_what_is_made_to_be_slow_is_not(text: str) -> None:
    started = time.process_time()
    carried(text * (1_000_000 // len(text)))
    assert time.process_time() - started < 5
