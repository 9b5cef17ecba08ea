"""How deep Parquet files and lines of JSON may nest."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.containers.delimited import JsonLines
from ingestgate.assets.containers.nesting import (
    MOST_NESTED,
    MOST_OF_A_FOOTER,
    first_too_deep,
    open_parquet,
)
from ingestgate.assets.errors import ShardError
from tests.faults.bombs import footer_of_groups


def parquet(levels: int) -> io.BytesIO:
    column: pa.Array = pa.array([1])
    for number in range(levels - 1):
        of_one = pa.array([0, 1], pa.int32())
        column = (
            pa.StructArray.from_arrays([column], ["a"])
            if number % 2
            else pa.ListArray.from_arrays(of_one, column)
        )
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": column}), sink, store_schema=False)
    return sink


def test_columns_nest_so_deep_and_no_deeper() -> None:
    assert open_parquet(parquet(1)).metadata.num_rows == 1
    assert open_parquet(parquet(MOST_NESTED)).read().num_rows == 1
    with pytest.raises(ValueError, match=f"nest deeper than {MOST_NESTED} levels"):
        open_parquet(parquet(MOST_NESTED + 1))


def test_a_footer_that_would_end_the_process() -> None:
    with pytest.raises(ValueError, match="nest deeper"):  # Arrow survives as many
        open_parquet(io.BytesIO(footer_of_groups(MOST_OF_A_FOOTER - 10)))
    with pytest.raises(OSError, match="Exceeded size limit"):
        open_parquet(io.BytesIO(footer_of_groups(MOST_OF_A_FOOTER + 10)))


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def deeper(value: object, levels: int) -> object:
    for number in range(levels):
        value = [value] if number % 2 else {"[" * 9: value}
    return value


VALUES = st.recursive(
    st.none() | st.text('[]{}"\\', max_size=8), lambda inner: st.lists(inner, max_size=3)
)


@given(st.lists(st.tuples(VALUES, st.integers(80, 110)), min_size=1, max_size=4))
def test_lines_nest_as_they_are_parsed(records: list[tuple[object, int]]) -> None:
    values = [{"a": deeper(value, levels)} for value, levels in records]
    lines = [json.dumps(value).encode() + b"\n" for value in values]
    found = first_too_deep(b"".join(lines), np.cumsum([len(line) for line in lines]))
    wanted = [n for n, value in enumerate(values) if depth(value) > MOST_NESTED]
    assert found == (wanted[0] if wanted else None)


def test_a_record_that_nests_too_deep_is_named_by_its_place() -> None:
    first = b'{"a": "' + b"[{" * 200 + b'"}\n'
    deep = b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}\n"
    assert JsonLines().table(first, b"", "x", 7).num_rows == 1
    with pytest.raises(ShardError, match=rf"at byte {7 + len(first)}: .* deeper than 100 levels"):
        JsonLines().table(first + deep, b"", "x", 7)


def test_a_string_that_does_not_end_is_searched_once() -> None:
    line = b'{"a": "' + b"{" * 200 + rb"\"" * 200_000 + b"}\n"
    assert first_too_deep(line, np.array([len(line)])) is None, "all of it is in the string"
