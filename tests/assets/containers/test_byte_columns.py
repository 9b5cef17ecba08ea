"""Columns of bytes are found in every guise, and refused where nobody judges them."""

import base64
import json

import pyarrow as pa
import pytest

from ingestgate.assets.containers.byte_columns import (
    has_images,
    image_columns,
    joined,
    refuse_bytes,
    refuse_carried,
)
from ingestgate.assets.errors import ShardError
from tests.pictures import jpeg

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TEXT = base64.b64encode(jpeg(1))


def test_columns_with_bytes_are_found_at_any_depth() -> None:
    schema = pa.schema(
        [
            ("struct", IMAGE),
            ("structs", pa.list_(IMAGE)),
            ("large", pa.large_list(IMAGE)),
            ("raw", pa.binary()),
            ("raws", pa.list_(pa.large_binary())),
            ("wide", pa.binary(64)),
            ("coded", pa.dictionary(pa.int32(), pa.binary())),
            ("deep", pa.struct([("turns", pa.list_(pa.struct([("picture", IMAGE)])))])),
            ("mapped", pa.map_(pa.string(), pa.binary())),
            ("untyped", pa.struct([("bytes", pa.null()), ("path", pa.string())])),
            ("texts", pa.struct([("path", pa.string()), ("bytes", pa.large_string())])),
            ("array", pa.list_(pa.uint8())),
            ("view", pa.list_view(pa.uint8())),
            ("tensor", pa.list_(pa.list_(pa.int8(), 3))),
            ("pieces", pa.large_list(pa.binary(16))),
            ("text", pa.string()),
            ("md5", pa.binary(16)),
            ("scores", pa.list_(pa.int16())),
            ("tags", pa.list_(pa.string())),
            ("declared", pa.string()),
            ("turns", pa.list_(pa.struct([("img", pa.string())]))),
            ("feature", pa.struct([("img", pa.string())])),
        ]
    )
    assert image_columns(schema) == schema.names[:15]
    image = {"_type": "Image"}
    features = {"declared": image, "tags": [image], "text": {}, "feature": {"other": {}}}
    features["turns"] = {"_type": "List", "feature": {"img": image}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    found = image_columns(schema.with_metadata(metadata))
    assert found == [*schema.names[:15], "tags", "declared", "turns"]
    assert not has_images(pa.schema([("md5", pa.binary(16)), ("url", pa.string())]))
    assert not has_images(pa.schema([("a", pa.int8())], {"huggingface": "not json"}))


@pytest.mark.parametrize(
    "value", [[1, 2, 255], [1, 2, -1], [[1], [2], [], [255]], [b"\1\2", b"\xff"], [1, None, 2, -1]]
)
def test_pieces_are_joined(value: object) -> None:
    assert joined(value) == b"\1\2\xff"


def test_who_does_not_judge_bytes_refuses_them() -> None:
    refuse_bytes("s", pa.schema([("url", pa.string()), ("md5", pa.binary(16))]), "", "")
    with pytest.raises(ShardError, match=r"^s: its file holds bytes itself, .*; leave them out$"):
        refuse_bytes("s", pa.schema([("b", pa.binary())]), "its file", "leave them out")


def test_schemas_that_carry_a_picture_are_refused() -> None:
    plain = pa.field("a", pa.string(), metadata={"about": "a column"})
    refuse_carried("s", pa.schema([plain], {"huggingface": "{}", "more": "word " * 9999}))
    laden = pa.field("b", pa.string(), metadata={"x": TEXT})
    for schema in (
        pa.schema([plain], {"x": TEXT}),
        pa.schema([plain], {TEXT: "x"}),
        pa.schema([laden]),
        pa.schema([("deep", pa.struct([laden]))]),
        pa.schema([(TEXT.decode(), pa.int8())]),
    ):
        with pytest.raises(ShardError, match="carries a picture"):
            refuse_carried("s", schema)
    with pytest.raises(ShardError, match="metadata that is no text"):
        refuse_carried("s", pa.schema([plain], {"x": jpeg(1)}))
