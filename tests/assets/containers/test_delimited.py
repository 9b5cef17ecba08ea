"""Records of CSV and JSON Lines, against a reader that goes character by character."""

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestgate.assets.containers import delimited
from ingestgate.assets.containers.arrow_text import decoded_table
from ingestgate.assets.containers.delimited import Csv, Dialect, JsonLines, chosen
from ingestgate.assets.errors import ShardError

CSV = Csv()
JSONL = JsonLines()

fields = st.text(alphabet='ab,"\n\r é', max_size=6)


def encoded_field(text: str, quoted: bool) -> str:
    if quoted or any(character in text for character in ',"\n\r') or not text:
        return '"' + text.replace('"', '""') + '"'
    return text


@st.composite
def csv_files(draw: st.DrawFn) -> tuple[bytes, list[list[str]]]:
    """A CSV without header, and its values."""
    width = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(fields, min_size=width, max_size=width), max_size=6))
    text = ""
    for row in rows:
        text += draw(st.sampled_from(["", "\n", "\r\n"]))  # a blank line, perhaps
        text += ",".join(encoded_field(field, draw(st.booleans())) for field in row)
        text += draw(st.sampled_from(["\n", "\r\n"]))
    if draw(st.booleans()):
        text = text.removesuffix("\n").removesuffix("\r")
    return text.encode(), rows


def oracle(data: bytes) -> list[bytes]:
    """The lines of a CSV, one character after another."""
    lines, line, quoted = [], bytearray(), False
    for byte in data:
        line.append(byte)
        if byte == ord('"'):
            quoted = not quoted
        if byte == ord("\n") and not quoted:
            lines.append(bytes(line))
            line = bytearray()
    return [*lines, bytes(line)] if line else lines


def pieces(data: bytes, dialect: Dialect) -> list[tuple[bytes, bool]]:
    lines = dialect.lines(data, "s", 0, final=True)
    starts = [0, *lines.ends[:-1]]
    return [
        (data[start:end], bool(record))
        for start, end, record in zip(starts, lines.ends, lines.records, strict=False)
    ]


@settings(deadline=None)
@given(csv_files())
def test_csv_lines_are_those_of_a_reader_by_character(case: tuple[bytes, list[list[str]]]) -> None:
    data, rows = case
    found = pieces(data, CSV)
    assert [line for line, _ in found] == oracle(data)
    assert [record for _, record in found] == [line.strip(b"\r\n") != b"" for line in oracle(data)]
    header = ",".join(f"c{i}" for i in range(len(rows[0]) if rows else 1)).encode() + b"\n"
    table = CSV.table(data, header, "s", 0)
    assert [list(row.values()) for row in table.to_pylist()] == rows


@settings(deadline=None)
@given(csv_files(), st.randoms(use_true_random=False))
def test_kept_csv_records_are_the_same_bytes(
    case: tuple[bytes, list[list[str]]], random: "np.random.Generator"
) -> None:
    data, _ = case
    lines = CSV.lines(data, "s", 0, final=True)
    keep = [random.random() < 0.5 for _ in range(lines.number)]
    kept = iter(keep)
    expected = b"".join(line for line, record in pieces(data, CSV) if not record or next(kept))
    mask = np.array(keep, bool)
    assert chosen(data, lines, mask) == expected
    kept = iter(keep)
    expected = b"".join(line for line, record in pieces(data, CSV) if record and next(kept))
    assert chosen(data, lines, mask, blanks=False) == expected


@settings(deadline=None)
@given(st.text(alphabet='a,"\n\r', max_size=12))
@example('a"b,"c\nd",e\nf\n')
@example('"a"b,c\nd,e\n')
@example('x\r\r\n\ry,"\n"\n')
def test_any_text_is_refused_or_read_as_the_same_rows(text: str) -> None:
    data = text.encode()
    try:
        table = CSV.table(data, b"c1\n", "s", 0)
        spans = [line for line, record in pieces(data, CSV) if record]
    except ShardError:
        return
    values = [line.rstrip(b"\r\n").decode() for line in spans]
    unquoted = [v[1:-1].replace('""', '"') if v.startswith('"') else v for v in values]
    assert table.column("c1").to_pylist() == unquoted


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'a,b\n1,5" disk\n', "at byte 7: a quote that RFC 4180"),
        (b'a,b\n"1"x,2\n', "at byte 6: a quote that RFC 4180"),
        (b'a,b\n"1,2\n3,4\n', "at byte 4: a quote that is never closed"),
        (b"a,b\n1,2\r3,4\n", "at byte 7: a carriage return"),
        (b"a,b\n1,2\n1,secret,3\n", "after byte 4: Expected 2 columns, got 3"),
    ],
)
def test_what_readers_differ_on_is_refused_with_its_place(data: bytes, problem: str) -> None:
    with pytest.raises(ShardError, match=problem) as caught:
        CSV.table(data[4:], data[:4], "x/y.csv", 4)
    assert str(caught.value).startswith("x/y.csv: ")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_block_gives_its_complete_records_only() -> None:
    data = b'a,"b\nc"\nd,"e'
    assert CSV.lines(data, "s", 0, final=False).ends.tolist() == [8]
    assert JSONL.lines(b'{"a":1}\n{"a"', "s", 0, final=False).ends.tolist() == [8]


def test_csv_header() -> None:
    assert CSV.header(b"a,b\n1,2\n", "s", final=False) == 4
    assert CSV.header(b'\xef\xbb\xbf\r\n"a\n",b\r\n1', "s", final=False) == 13
    assert CSV.header(b"a,b", "s", final=False) is None
    assert CSV.header(b"a,b", "s", final=True) == 3
    with pytest.raises(ShardError, match="no header"):
        CSV.header(b"", "s", final=True)
    with pytest.raises(ShardError, match="UTF-16"):
        CSV.header("a,b\n".encode("utf-16"), "s", final=True)
    with pytest.raises(ShardError, match="same name"):
        CSV.table(b"1,2\n", b"url,url\n", "s", 8)
    assert CSV.table(b"", b"url,md5\n", "s", 8).column_names == ["url", "md5"]


def test_csv_values_stay_text() -> None:
    table = CSV.table(b"007,2020-01-01,,\xff\n", b"\xef\xbb\xbfa,b,c,d\n", "s", 0)
    shown, wrong = decoded_table(table)
    assert shown.to_pylist() == [{"a": "007", "b": "2020-01-01", "c": "", "d": "\\xff"}]
    assert wrong == {0}


records = st.dictionaries(
    st.text(min_size=1, max_size=3), st.text(max_size=4) | st.none(), max_size=3
)


@settings(deadline=None)
@given(
    st.lists(records, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from(["", "\n", "  \n"]),
)
def test_json_lines_are_the_lines(
    rows: list[dict[str, str | None]], line_break: str, ended: bool, blank: str
) -> None:
    lines = [
        " " * (i % 2) + json.dumps(row, ensure_ascii=bool(i % 2)) for i, row in enumerate(rows)
    ]
    data = "".join(line + line_break + blank for line in lines).encode()
    if not ended:
        data = data.rstrip(b"\r\n ")
    found = [line for line, record in pieces(data, JSONL) if record]
    assert [json.loads(line) for line in found] == rows
    assert b"".join(line for line, _ in pieces(data, JSONL)) == data
    table = JSONL.table(data, b"", "s", 0)
    assert table.num_rows == len(rows)
    for row, got in zip(rows, table.to_pylist(), strict=False):
        assert {k: v for k, v in got.items() if v is not None} == {
            k: v for k, v in row.items() if v is not None
        }


def test_json_times_stay_text_and_nested_values_nested() -> None:
    data = b'{"t": "2020-01-01", "u": [{"at": "2021-02-03T04:05:06Z"}], "n": 1.50}\n'
    (row,) = JSONL.table(data, b"", "s", 0).to_pylist()
    assert row == {"t": "2020-01-01", "u": [{"at": "2021-02-03T04:05:06Z"}], "n": 1.5}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"a":1}{"a":2}\n', "after byte 0: 1 lines that are read as 2 rows"),
        (b'{"a":"x"}{"a":"y"}\n{"a":\n"z"}\n', "at byte 19: a line that is not one JSON object"),
        (b'{"a":{"b":1}\n{"c":2}}\n', "after byte 0: not JSON"),
        (b'{"a":1}\n[1]\n', "at byte 8: a line that is not one JSON object"),
        (b'{"a":"secret"}\n{"a":2}\n', "after byte 0: .*several types"),
        (b'{"a":"good","a":"secret"}\n', "after byte 0: .*a key twice"),
    ],
)
def test_json_that_readers_differ_on_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ShardError, match=problem) as caught:
        JSONL.table(data, b"", "s.jsonl", 0)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_of_its_own_in_each_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record would have a place for every key."""
    same = b"".join(b'{"a": {"b": [{"c": %d}]}, "d": "::"}\n' % n for n in range(400))
    apart = b"".join(b'{"a": {"b": [{"k%d": 1}]}}\n\n' % n for n in range(400))
    monkeypatch.setattr(delimited, "_MOST_CELLS", 5000)
    monkeypatch.setattr(delimited, "_FEW_CELLS", 100)
    assert JsonLines().table(same, b"", "x", 0).num_rows == 400
    with pytest.raises(ShardError, match=r"more than .* values, with all keys in all records"):
        JsonLines().table(apart, b"", "x", 0)


def test_so_many_columns_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MOST_OF_A_FOOTER", 100)
    for names, columns in ((100, 100), (101, 0)):
        header = ",".join(map(str, range(names))).encode() + b"\n"
        with _refused(not columns, "^s: its header has more than"):
            assert Csv().table(b"", header, "s", 0).num_columns == columns


def object_of(names: Iterable[object]) -> str:
    return json.dumps(dict.fromkeys(map(str, names), 1))


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([object_of(range(100))] * 3, None),
        ([object_of(range(101))], "^s: at byte 7: a record that has more than"),
        ([object_of(range(60)), object_of(range(50, 101))], "^s: after byte 7: records that have"),
        # One key at several places is a column at each; in the items of a list it is one.
        ([f'{{"a": {object_of(range(60))}, "b": {object_of(range(60))}}}'], "a record that has"),
        ([f'{{"a": [{object_of(range(60))}, {object_of(range(60))}, {{"0": 2}}]}}'], None),
        (['{"a": "' + r"\": {" * 200 + '"}'], None),
    ],
)
def test_keys_of_all_records_are_columns(
    monkeypatch: pytest.MonkeyPatch, records: list[str], problem: str | None
) -> None:
    monkeypatch.setattr(delimited, "MOST_OF_A_FOOTER", 100)
    data = "".join(f"{record}\n" for record in records).encode()
    with _refused(problem is not None, problem or ""):
        assert JsonLines().table(data, b"", "s", 7).num_rows == len(records)


def test_a_string_that_does_not_end_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MOST_OF_A_FOOTER", 100)
    data = b'{"a": "' + rb"\":" * 200_000 + b"}\n"
    with pytest.raises(ShardError, match="not JSON"):
        JsonLines().table(data, b"", "s", 0)


def _refused(refused: bool, problem: str) -> AbstractContextManager[object]:
    return pytest.raises(ShardError, match=problem) if refused else nullcontext()
