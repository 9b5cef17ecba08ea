"""Proves in milliseconds, before a run, that matching catches what it must and no more."""

import functools
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from ingestgate.assets.errors import SelfTestError
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.building import build
from ingestgate.blocklists.chunking import HammingIndex
from ingestgate.blocklists.compiling import describe
from ingestgate.blocklists.entries import Entry
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.open_list import OpenList
from ingestgate.blocklists.signals import signal_type, signal_types
from ingestgate.blocklists.sources import expression_digest, parse_source, url_expression

_VIEW = "self-test"
_HOST = "listed.invalid"  # reserved: nobody can own it
_HASHED_HOST = "hashed.invalid"
_URL = "https://pages.invalid/listed"


@functools.cache
def self_test() -> None:
    """Matches once in a process a small list, built in memory, for every signal type there is.

    Raises:
        SelfTestError: Something listed was missed, or something else matched; names the
            signal type.
    """
    values = {name: _value(name) for name in signal_types()}
    content = build(
        (signal_type(name), [Entry(value, f"self-test:{name}", "")])
        for name, value in values.items()
    )
    tables = dict(content.values)
    near = [name for name in tables if signal_type(name).kind is SignalKind.PERCEPTUAL]
    info = describe(
        content, id="self-test", version=1, issued=datetime(2000, 1, 1, tzinfo=UTC), thresholds={}
    )
    # numba takes half a second to import, which is not for everybody who imports this module.
    from ingestgate.blocklists import indexing

    indexes = {
        name: indexing.build_index(content.values[name].values, info.thresholds[name])
        for name in near
    }
    ways: tuple[dict[str, HammingIndex], ...] = ({}, indexes)
    for one in ways:  # by scanning, and through the index
        opened = OpenList(
            info, tables, one, content.url_hosts, content.entries, screens=content.screens
        )
        _check(ListSet([opened]), values)


def _check(lists: ListSet, values: Mapping[str, bytes]) -> None:
    for name, value in values.items():
        kind = signal_type(name).kind
        if kind is SignalKind.PERCEPTUAL:
            threshold = lists.infos[0].thresholds[name]
            for distance in (0, threshold, threshold + 1):
                query = np.frombuffer(_flipped(value, distance), np.uint8).reshape(1, -1)
                hits = lists.match_perceptual(name, query, [_VIEW])
                _expect(name, [hit.distance for hit in hits], distance, distance <= threshold)
        elif kind is SignalKind.DIGEST:
            for distance in (0, 1):
                hits = lists.match_digest(name, _flipped(value, distance), _VIEW)
                _expect(name, [hit.distance for hit in hits], 0, distance == 0)
    for name, listed, other in (
        ("domain", f"https://below.{_HOST.upper()}./", f"https://not{_HOST}/"),
        ("url", f"{_URL}?x=1", f"{_URL}-not"),
        ("expression", f"https://below.{_HASHED_HOST}/x", f"https://not{_HASHED_HOST}/"),
    ):
        for text, is_listed in ((listed, True), (other, False)):
            hits = lists.match_source(text, _VIEW)
            _expect(name, [hit.distance for hit in hits], 0, is_listed)


def _value(name: str) -> bytes:
    if name == "domain":
        return _HOST.encode()
    if name == "url":
        return url_expression(parse_source(_URL))
    if name == "expression":
        return expression_digest(f"{_HASHED_HOST}/".encode())
    return bytes(range(1, signal_type(name).width + 1))


def _flipped(value: bytes, bits: int) -> bytes:
    """Returns a value with its first bits flipped."""
    mask = ((1 << bits) - 1).to_bytes(len(value), "little")
    return bytes(a ^ b for a, b in zip(value, mask, strict=True))


def _expect(name: str, distances: list[int], distance: int, is_listed: bool) -> None:
    if distances != ([distance] if is_listed else []):
        what = "missed what is listed" if is_listed else "matched what is not listed"
        raise SelfTestError(
            f"self-test of {name}: {what}, at distance {distance}; this installation must not "
            "judge anything, install it again and report this"
        )
