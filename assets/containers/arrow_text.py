"""Arrow columns made fit to be read as text, whatever the file holds."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyarrow as pa

#: Binary values of a fixed width up to this many bytes are digests or identifiers: no picture
#: is as short.
LONGEST_IDENTIFIER = 32


def readable_table(table: pa.Table) -> pa.Table:
    """Returns a table whose every value has a Python form, text that is not UTF-8 excepted.

    Times become text and durations counts of their unit (Python's own types cannot hold them
    all), and short binary values of a fixed width become hex. Extension types become what stores
    them. Everything else stays; nobody has looked whether text is UTF-8 (see `decoded_table`).

    Raises:
        pa.ArrowException: A column cannot be converted.
    """
    return _with_columns(table, [_readable(column) for column in table.columns])


def decoded_table(table: pa.Table) -> tuple[pa.Table, set[int]]:
    r"""Returns a table whose text is UTF-8, and the rows that held some that was not.

    Of that the wrong bytes become ``\xNN``: it is bytes, of whatever, that only call themselves
    text.

    Raises:
        pa.ArrowException, UnicodeDecodeError: It stands where it cannot be got at.
    """
    wrong: set[int] = set()
    columns = []
    for column in table.columns:
        if not is_decodable(column):
            values = bytes_and_text(column)
            wrong.update(
                row for row, value in enumerate(values) if _holds_bytes(value, column.type)
            )
            texts = [shown(value, column.type) for value in values]
            column = pa.chunked_array([pa.array(texts, column.type)])
        columns.append(column)
    return _with_columns(table, columns), wrong


def bytes_and_text(column: pa.ChunkedArray) -> list[Any]:
    """Returns a column's Python values; text that is not UTF-8 is bytes."""
    if is_decodable(column):
        values: list[Any] = column.to_pylist()
        return values
    undecoded = column.cast(_undecoded(column.type)).to_pylist()
    return [_decoded(value, column.type) for value in undecoded]


def shown(value: Any, kind: pa.DataType) -> Any:
    r"""Returns a value of `bytes_and_text` with text alone: wrong bytes become ``\xNN``."""

    def texted(text: str | bytes) -> str:
        return text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")

    return _with_texts(value, kind, texted)


def is_identifier(kind: pa.DataType) -> bool:
    """Whether a type is binary of a fixed width too short for a picture."""
    return bool(pa.types.is_fixed_size_binary(kind) and kind.byte_width <= LONGEST_IDENTIFIER)


def records(table: pa.Table) -> list[dict[str, Any]]:
    """Returns the rows of a table as Python values, fit to be flattened (see `hexed`)."""
    nested = [field for field in table.schema if _has_identifiers(field.type)]
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows if nested else ():
        row.update((field.name, hexed(row[field.name], field.type)) for field in nested)
    return rows


def hexed(value: Any, kind: pa.DataType) -> Any:
    """Returns a value with hex in the place of identifiers, at any depth: they may be digests."""

    def in_hex(identifier: Any) -> Any:
        return identifier.hex() if isinstance(identifier, bytes) else identifier

    return _with_leaves(value, kind, is_identifier, in_hex)


def stored(kind: pa.DataType) -> pa.DataType:
    """Returns the type of the values that an extension or dictionary type stands for."""
    while isinstance(kind, pa.BaseExtensionType | pa.DictionaryType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    return kind


def _has_identifiers(kind: pa.DataType) -> bool:
    kind = stored(kind)
    children = map(kind.field, range(kind.num_fields))
    return is_identifier(kind) or any(_has_identifiers(child.type) for child in children)


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _readable(column.cast(kind.storage_type))
    if pa.types.is_dictionary(kind):
        return _readable(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return column.cast(pa.string())
    if pa.types.is_duration(kind):
        return column.cast(pa.int64())
    if is_identifier(kind):
        values = [None if value is None else value.hex() for value in column.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.string())])
    return column


def _with_columns(table: pa.Table, columns: list[pa.ChunkedArray]) -> pa.Table:
    if not columns:
        return table  # its rows would be lost below
    fields = [
        field if field.type == column.type else pa.field(field.name, column.type)
        for field, column in zip(table.schema, columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def is_decodable(column: pa.ChunkedArray) -> bool:
    """Whether all text in a column is UTF-8."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is a list, of whatever layout."""
    types = pa.types
    tests = [types.is_list, types.is_large_list, types.is_fixed_size_list]
    tests += [types.is_list_view, types.is_large_list_view]
    return any(test(kind) for test in tests)


def _undecoded(kind: pa.DataType) -> pa.DataType:
    """Returns a type with binary in the place of text."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(_undecoded(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_undecoded(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_undecoded(kind.value_type), kind.list_size)
    if pa.types.is_map(kind):
        return pa.map_(_undecoded(kind.key_type), _undecoded(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(child.name, _undecoded(child.type)) for child in kind])
    return kind


def _decoded(value: Any, kind: pa.DataType) -> Any:
    """Returns a value in which text was left undecoded, with text in it where it is UTF-8."""

    def decoded(text: bytes) -> str | bytes:
        with suppress(UnicodeDecodeError):
            return text.decode()
        return text

    return _with_texts(value, kind, decoded)


def _holds_bytes(value: Any, kind: pa.DataType) -> bool:
    """Whether there are bytes where the type says text."""
    found: list[bool] = []
    _with_texts(value, kind, lambda text: found.append(isinstance(text, bytes)))
    return any(found)


def _with_texts(value: Any, kind: pa.DataType, change: Callable[[Any], Any]) -> Any:
    return _with_leaves(value, kind, _is_text, change)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _with_leaves(
    value: Any,
    kind: pa.DataType,
    is_leaf: Callable[[pa.DataType], bool],
    change: Callable[[Any], Any],
) -> Any:
    """Returns a value in which every value of some type, at any depth, is changed."""

    def inner(value: Any, kind: pa.DataType) -> Any:
        kind = stored(kind)
        if value is None:
            return None
        if is_leaf(kind):
            return change(value)
        if is_list(kind):
            return [inner(item, kind.value_type) for item in value]
        if pa.types.is_map(kind):
            return [(inner(key, kind.key_type), inner(item, kind.item_type)) for key, item in value]
        if pa.types.is_struct(kind):
            return {child.name: inner(value[child.name], child.type) for child in kind}
        return value

    return inner(value, kind)
