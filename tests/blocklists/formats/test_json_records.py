import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats import json_records
from ingestgate.blocklists.formats.json_records import ITEM, Found, Path, loads, objects

SECRET = "0123456789abcdef"
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
records = st.dictionaries(st.text(), values, max_size=4)


class Trickle(io.RawIOBase):
    """Gives a few bytes at a time, whatever is asked for."""

    def __init__(self, content: bytes, step: int) -> None:
        self._content, self._step = content, step

    def read(self, size: int = -1) -> bytes:
        given, self._content = self._content[: self._step], self._content[self._step :]
        return given


def found(content: str | bytes, arrays: list[Path], step: int = 1 << 20) -> list[Found]:
    raw = content.encode() if isinstance(content, str) else content
    return list(objects("f", Trickle(raw, step), arrays))  # type: ignore[arg-type]


@given(st.lists(records, max_size=6), records, st.booleans(), st.integers(1, 40))
def test_equal_to_reading_it_whole(
    items: list[dict[str, Any]], rest: dict[str, Any], ascii: bool, step: int
) -> None:
    rest.pop("items", None)
    text = json.dumps({**rest, "items": items}, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    *elements, whole = found(text, [("items",)], step)
    assert [one.value for one in elements] == items
    assert [one.number for one in elements] == list(range(1, len(items) + 1))
    assert whole == Found((), 0, rest, {"items": len(items)})


def test_arrays_within_elements_of_arrays() -> None:
    text = json.dumps({"a": [{"x": 1, "b": [{"y": 2}, {"y": 3}]}, {"x": 4}]})
    got = found(text, [("a",), ("a", ITEM, "b")], 7)
    assert [(one.path, one.number, one.value) for one in got] == [
        (("a", ITEM, "b", ITEM), 1, {"y": 2}),
        (("a", ITEM, "b", ITEM), 2, {"y": 3}),
        (("a", ITEM), 1, {"x": 1}),
        (("a", ITEM), 2, {"x": 4}),
        ((), 0, {}),
    ]
    assert [one.counts for one in got] == [{}, {}, {"b": 2}, {}, {"a": 2}]
    assert got[1].place == "element 2 of a.b"


def test_an_empty_array_is_not_none() -> None:
    assert [one.counts for one in found('{"a": []}', [("a",)])] == [{"a": 0}]
    for text in ("{}", '{"a": null}', '{"a": {}}'):
        assert found(text, [("a",)])[-1].counts == {}


def test_array_at_the_top_with_a_byte_order_mark() -> None:
    (one,) = found(b'\xef\xbb\xbf [ {"a": 12} ] \n', [()], 1)
    assert (one.path, one.place, one.value) == ((ITEM,), "element 1", {"a": 12})


@pytest.mark.parametrize("step", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "neither an object nor an array"),
        ("5", "neither an object nor an array"),
        ('{"a": [{"b": "%s"}', "not JSON"),
        ('{"a": [{"b": "%s"},]}', "not JSON"),
        ('{"a": [{"b": "%s"} {}]}', "not JSON"),
        ('{"a": [{"b": "%s"}]} x', "more after the end"),
        ('{"a": [{"b": "%s", "b": 1}]}', "a key twice"),
        ('{"a": [], "a": ["%s"]}', "a key twice"),
        ('{"a": ["%s"]}', "element 1 is not an object"),
        ('{"a": [{"b": NaN, "c": "%s"}]}', "not JSON"),
        ('{"a" 1}', "not JSON"),
        ('{1: "%s"}', "not JSON"),
        ('{"b": ' + "[" * 20000 + '"%s"', "not JSON"),
        ('{"b": ' + "9" * 5000 + ', "c": "%s"}', "not JSON"),
    ],
)
def test_malformed(text: str, problem: str, step: int) -> None:
    if len(text) > 1000 and step == 1:
        step = 100
    with pytest.raises(ListError, match=f"f, character [0-9]+: .*{problem}") as caught:
        found(text.replace("%s", SECRET), [("a",)], step)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_not_utf8() -> None:
    with pytest.raises(ListError, match=r"after character [0-9]+: not UTF-8") as caught:
        found(b'{"a": [{"b": "\xff"}]}', [("a",)])
    assert caught.value.__cause__ is None


def test_elements_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "MAX_ELEMENT", 1000)
    with pytest.raises(ListError, match="longer than any there is"):
        found('{"a": [{"b": "' + "x" * 100_000, [("a",)], 100)


@pytest.mark.parametrize(
    ("line", "problem"),
    [("[1]", "not a JSON object"), ("{", "not JSON"), ('{"a": 1, "a": 2}', "a key twice")],
)
def test_lines_that_hold_no_object(line: str, problem: str) -> None:
    with pytest.raises(ListError, match=f"f, line 3: {problem}"):
        loads("f", "line 3", line)
