"""Arrow columns made fit to be read as text, whatever the file holds."""

from typing import Any

import pyarrow as pa

#: Binary values of a fixed width up to this many bytes are digests or identifiers: no picture
#: is as short.
LONGEST_IDENTIFIER = 32


def readable_table(table: pa.Table) -> pa.Table:
    r"""Returns a table whose every value has a Python form.

    Times become text and durations counts of their unit (Python's own types cannot hold them
    all), short binary values of a fixed width become hex, and in text that is not UTF-8 the
    wrong bytes become ``\xNN``. Extension types become what stores them. Everything else stays.

    Raises:
        pa.ArrowException: A column cannot be converted.
    """
    if not table.num_columns:
        return table  # its rows would be lost below
    columns = [_readable(column) for column in table.columns]
    fields = [
        field if field.type == column.type else pa.field(field.name, column.type)
        for field, column in zip(table.schema, columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def is_identifier(kind: pa.DataType) -> bool:
    """Whether a type is binary of a fixed width too short for a picture."""
    return bool(pa.types.is_fixed_size_binary(kind) and kind.byte_width <= LONGEST_IDENTIFIER)


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
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        values = [_decoded(value, kind) for value in column.cast(_undecoded(kind)).to_pylist()]
        return pa.chunked_array([pa.array(values, kind)])
    return column


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
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(child.name, _undecoded(child.type)) for child in kind])
    return kind


def _decoded(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return value.decode("utf-8", "backslashreplace")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_decoded(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {child.name: _decoded(value[child.name], child.type) for child in kind}
    return value
