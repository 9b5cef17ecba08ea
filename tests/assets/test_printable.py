"""No name moves a cursor."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.printable import counted, printable, printable_json


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photos/0001 é 日本.jpg", "photos/0001 é 日本.jpg"),
        ("a\x1b[2Ab.jpg", r"a\x1b[2Ab.jpg"),
        ("one\nadmitted", r"one\nadmitted"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\udcff", r"\udcff"),
        ("c1\x9b", r"c1\x9b"),
    ],
)
def test_what_a_terminal_obeys_is_shown_as_an_escape(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text(st.characters(codec=None)))
def test_all_of_it_can_be_printed(name: str) -> None:
    assert printable(name).isprintable()
    printable(name).encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("é 日本 😀", "é 日本 😀"),
        ("\x9b2J\x7f", r"\u009b2J\u007f"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\udb40\udc41"),
        ('"\\\n', r"\"\\\n"),
    ],
)
def test_what_a_terminal_obeys_is_an_escape_of_jsons(text: str, shown: str) -> None:
    assert printable_json({text: [text]}) == f'{{"{shown}": ["{shown}"]}}'
    assert printable_json([text], indent=1) == f'[\n "{shown}"\n]'


@given(st.dictionaries(st.text(), st.text()), st.sampled_from([None, 1]))
def test_json_that_can_be_printed_says_the_same(value: dict[str, str], indent: int | None) -> None:
    shown = printable_json(value, indent=indent)
    assert json.loads(shown) == value
    assert all(line.isprintable() for line in shown.split("\n"))


def test_one_is_not_several() -> None:
    said = [counted(count, "shard") for count in (0, 1, 1200)]
    assert said == ["0 shards", "1 shard", "1,200 shards"]
    assert [counted(count, "copy", "copies") for count in (1, 2)] == ["1 copy", "2 copies"]
