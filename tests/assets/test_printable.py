"""No name moves a cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.printable import counted, printable


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


def test_one_is_not_several() -> None:
    said = [counted(count, "shard") for count in (0, 1, 1200)]
    assert said == ["0 shards", "1 shard", "1,200 shards"]
    assert [counted(count, "copy", "copies") for count in (1, 2)] == ["1 copy", "2 copies"]
