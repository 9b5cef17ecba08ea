"""Which columns hold bytes, and who may not: a reader that would pass over them.

Whoever reads Parquet either judges such columns value by value (`parquet`) or refuses the file
(`refuse_bytes`): no column is a way past the gate.
"""

import json
from typing import Any

import pyarrow as pa

from ingestgate.assets.containers.arrow_text import is_identifier
from ingestgate.assets.errors import ShardError


def image_columns(schema: pa.Schema) -> list[str]:
    """Returns the names of the top-level columns that hold bytes, or that say they hold images.

    Those are columns of (lists of, structs of) ``struct<bytes: binary, path: string>`` or
    binary, and those that the schema's ``huggingface`` metadata calls an ``Image``. Binary of a
    fixed width up to 32 bytes is a digest or an identifier.
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


def has_bytes(kind: pa.DataType) -> bool:
    """Whether a value of a type may hold bytes, at any depth."""
    kind = stored(kind)
    children = map(kind.field, range(kind.num_fields))
    return is_bytes(kind) or is_image(kind) or any(has_bytes(child.type) for child in children)


def declared_images(schema: pa.Schema) -> frozenset[str]:
    """Returns the columns that the ``huggingface`` metadata calls an Image, or a list of them."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(text)["info"]["features"]
        return frozenset(name for name in schema.names if _is_feature(features.get(name)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return frozenset()  # a hint only: bytes are found by their type


def _is_feature(feature: Any) -> bool:
    if isinstance(feature, list):
        return any(map(_is_feature, feature))
    if not isinstance(feature, dict):
        return False
    return feature.get("_type") == "Image" or _is_feature(feature.get("feature"))


def stored(kind: pa.DataType) -> pa.DataType:
    """Returns the type of the values that an extension or dictionary type stands for."""
    while isinstance(kind, pa.BaseExtensionType | pa.DictionaryType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    return kind


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
    """Whether a type is Hugging Face's struct; where all bytes are null they may have no type."""
    if not pa.types.is_struct(kind):
        return False
    fields = {child.name: child.type for child in kind}
    content = fields.get("bytes")
    if "path" not in fields or content is None:
        return False
    return is_bytes(content) or pa.types.is_null(content)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is a list with offsets or of a fixed size."""
    types = pa.types
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return any(test(kind) for test in tests)
