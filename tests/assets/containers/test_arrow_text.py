"""Text that is none is told from text, value by value."""

import pyarrow as pa
import pytest

from ingestgate.assets.containers.arrow_text import bytes_and_text, decoded_table, shown

RAW = [b"caf\xc3\xa9", None, b"caf\xe9"]


def wrong(kind: pa.DataType) -> pa.Array:
    """The bytes as a column of text."""
    raw = pa.array(RAW, pa.large_binary() if kind == pa.large_string() else pa.binary())
    return pa.Array.from_buffers(kind, len(raw), raw.buffers(), raw.null_count)


def nested(text: pa.Array) -> dict[str, pa.Array]:
    return {
        "plain": text,
        "listed": pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), text),
        "fixed": pa.FixedSizeListArray.from_arrays(text, 1),
        "mapped": pa.MapArray.from_arrays(
            pa.array([0, 1, 2, 3], pa.int32()), pa.array(["k"] * 3), text
        ),
        "struct": pa.StructArray.from_arrays([text], names=["t"]),
    }


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_values_that_are_not_utf8_are_bytes(kind: pa.DataType) -> None:
    expected = ["café", None, b"caf\xe9"]
    values = {
        name: bytes_and_text(pa.chunked_array([c])) for name, c in nested(wrong(kind)).items()
    }
    assert values["plain"] == expected
    assert values["listed"] == [[value] for value in expected]
    assert values["fixed"] == values["listed"]
    assert values["mapped"] == [[("k", value)] for value in expected]
    assert values["struct"] == [{"t": value} for value in expected]
    assert shown(values["listed"][2], pa.list_(kind)) == ["caf\\xe9"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_table_is_decoded_and_says_where_it_was_not(kind: pa.DataType) -> None:
    for name, column in nested(wrong(kind)).items():
        fine = pa.array([[b"\xff"]] * 3, pa.list_(pa.binary()))
        table, rows = decoded_table(pa.table({"a": column, "b": fine}))
        assert rows == {2}, name
        table.validate(full=True)
        assert r"caf\\xe9" in repr(table["a"].to_pylist()[2])
        assert table["b"].to_pylist() == fine.to_pylist()
    table = pa.table({"a": ["text"]})
    assert decoded_table(table) == (table, set())
