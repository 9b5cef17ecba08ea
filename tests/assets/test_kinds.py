"""Telling pictures from sidecars by their names and bytes."""

import base64
import io
import zipfile

import pytest

from ingestgate.assets.containers.container import DEFAULT_SIDECARS
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.shard import Kind
from tests.pictures import jpeg


def test_a_picture_is_one_under_any_name() -> None:
    assert kind_of("txt", jpeg(1), DEFAULT_SIDECARS) is Kind.PICTURE


def test_what_calls_itself_a_picture_is_one() -> None:
    for suffix in ("jpg", "JPG", "0.jpg", "png"):
        assert kind_of(suffix, b"<html>", DEFAULT_SIDECARS) is Kind.PICTURE


def test_sidecars_and_the_rest() -> None:
    assert kind_of("seg.JSON", b"{}", DEFAULT_SIDECARS) is Kind.SIDECAR
    assert kind_of("txt", b"", DEFAULT_SIDECARS) is Kind.SIDECAR
    assert kind_of("npy", b"\x93NUMPY", DEFAULT_SIDECARS) is Kind.OTHER
    assert kind_of("", b"text", DEFAULT_SIDECARS) is Kind.OTHER


def test_an_archive_or_film_under_a_sidecars_name_is_no_sidecar() -> None:
    sink = io.BytesIO()
    zipfile.ZipFile(sink, "w").close()
    assert kind_of("txt", sink.getvalue(), DEFAULT_SIDECARS) is Kind.OTHER
    film = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"
    assert kind_of("json", film, DEFAULT_SIDECARS) is Kind.OTHER


@pytest.mark.parametrize("suffix", ["txt", "json", "tsv"])
def test_text_that_carries_a_picture_is_no_sidecar(suffix: str) -> None:
    text = b'{"a":"%s"}' % base64.b64encode(jpeg(1))
    assert kind_of(suffix, text, DEFAULT_SIDECARS) is Kind.OTHER
    assert kind_of(suffix, text[:1000], DEFAULT_SIDECARS) is Kind.SIDECAR
