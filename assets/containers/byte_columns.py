"""Which columns hold bytes, and who may not: a reader that would pass over them.

Whoever reads Parquet either judges such columns value by value (`parquet`) or refuses the file
(`refuse_bytes`): no column is a way past the gate.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import pyarrow as pa

from ingestgate.assets.carrying import carries
from ingestgate.assets.containers.arrow_text import is_identifier, is_list, stored
from ingestgate.assets.errors import ShardError

#: Where a column is declared an Image: itself (lists are looked through), or fields of it by name.
Declared: TypeAlias = "bool | Mapping[str, Declared]"


def image_columns(schema: pa.Schema) -> list[str]:
    """Returns the names of the top-level columns that hold bytes, or that say they hold images.

    Those are columns of (lists of, structs of) ``struct<bytes: binary, path: string>``, of which
    the bytes may be text, or binary, lists of integers of 8 bits, and those that the schema's
    ``huggingface`` metadata calls an ``Image``, or a field of them. Binary of a fixed width up to
    32 bytes is a digest or an identifier, and a list of these is bytes again.
    """
    declared = declared_images(schema)
    return [field.name for field in schema if has_bytes(field.type) or field.name in declared]


def has_images(schema: pa.Schema) -> bool:
    """Whether a Parquet file of this schema holds bytes that may be pictures."""
    return bool(image_columns(schema))


def refuse_bytes(shard: str, schema: pa.Schema, what: str, remedy: str) -> None:
    """Refuses a file with columns that hold bytes, for a reader that would not judge them.

    Args:
        shard: The shard's name.
        schema: The file's.
        what: Which of the shard's files it is, as the subject of the message; "" for itself.
        remedy: What to do about it.

    Raises:
        ShardError: There is such a column.
    """
    if has_images(schema):
        problem = f"{what} holds bytes itself, which would not be judged; {remedy}"
        raise ShardError(shard, problem.lstrip())


def refuse_carried(shard: str, schema: pa.Schema) -> None:
    """Refuses a file whose names or metadata, which go along with every row, carry a picture.

    Raises:
        ShardError: They do, or metadata is no text.
    """
    try:
        texts = [*_metadata(schema), *(text for field in schema for text in _texts(field))]
    except UnicodeDecodeError:
        problem = "its schema has metadata that is no text; leave that out"
        raise ShardError(shard, problem) from None
    if carries(texts):
        raise ShardError(shard, "its schema carries a picture, in a name or in metadata")


def _texts(field: pa.Field) -> Iterator[str]:
    yield field.name
    yield from _metadata(field)
    for child in map(field.type.field, range(field.type.num_fields)):
        yield from _texts(child)


def _metadata(item: pa.Schema | pa.Field) -> Iterator[str]:
    for name, value in (item.metadata or {}).items():
        yield name.decode()
        yield value.decode()


def has_bytes(kind: pa.DataType) -> bool:
    """Whether a value of a type may hold bytes, at any depth."""
    kind = stored(kind)
    children = map(kind.field, range(kind.num_fields))
    own = is_bytes(kind) or is_image(kind) or is_in_pieces(kind)
    return own or any(has_bytes(child.type) for child in children)


def declared_images(schema: pa.Schema) -> dict[str, Declared]:
    """Returns the columns of which the ``huggingface`` metadata calls something an Image."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(text)["info"]["features"]
        declared = {name: _declared(features.get(name)) for name in schema.names}
        return {name: found for name, found in declared.items() if found}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # a hint only: bytes are found by their type


def _declared(feature: Any) -> Declared:
    if isinstance(feature, list):
        return next((found for item in feature if (found := _declared(item))), False)
    if not isinstance(feature, dict):
        return False
    if isinstance(kind := feature.get("_type"), str):  # else it is a field of that name
        return kind == "Image" or _declared(feature.get("feature"))
    fields = {name: _declared(child) for name, child in feature.items()}
    return {name: found for name, found in fields.items() if found}


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a type is binary; of a fixed width up to 32 bytes it is an identifier instead."""
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or (types.is_fixed_size_binary(kind) and not is_identifier(kind))
    )


def is_image(kind: pa.DataType) -> bool:
    """Whether a type is Hugging Face's struct, of which the bytes may be text.

    Text is what JSON makes of them, and is cast to bytes. Where all are null they may have no type.
    """
    if not pa.types.is_struct(kind):
        return False
    fields = {child.name: child.type for child in kind}
    if "path" not in fields or "bytes" not in fields:
        return False
    content, types = stored(fields["bytes"]), pa.types
    tests = (is_bytes, types.is_null, types.is_string, types.is_large_string, types.is_string_view)
    return any(test(content) for test in tests)


def is_in_pieces(kind: pa.DataType) -> bool:
    """Whether a type is a list, of lists maybe, of integers of 8 bits or of identifiers.

    What pandas makes of an array of bytes, and what bytes that were cut up would be.
    """
    if not is_list(kind):
        return False
    item = stored(kind.value_type)
    types = pa.types
    tests = (types.is_int8, types.is_uint8, is_identifier, is_in_pieces)
    return any(test(item) for test in tests)


def joined(value: object) -> bytes:
    """Returns the bytes whose pieces a value holds."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return bytes([value & 0xFF])
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return bytes(item & 0xFF for item in value)
    return b"".join(map(joined, value)) if isinstance(value, list) else b""
