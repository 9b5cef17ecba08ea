"""Canaries: one entry per signal type in each compiled list that every run has to find.

They stand for one benign generated picture, and for hosts below ``.invalid``, which nobody can
own (RFC 2606). Whoever runs the matching shows it the picture and the sources, and a list whose
canary is not found is not being searched. Outside of that test a canary is no finding.

The values are written down here rather than computed, so that a fingerprint that comes out wrong
when compiling does not come out equally wrong when checking. A signal type of a plug-in has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from ingestgate.blocklists.entries import Entry
from ingestgate.blocklists.signals import SignalType
from ingestgate.blocklists.sources import expression_digest, parse_source, url_expression
from ingestgate.blocklists.tables import SortedValues, as_keys

DOMAIN = "canary-domain.invalid"
URL = "https://canary-url.invalid/listed"
EXPRESSION = "canary-expression.invalid/"
#: Sources that the canary of each signal type matches.
SOURCES = MappingProxyType(
    {"domain": f"https://{DOMAIN}/", "url": URL, "expression": f"https://{EXPRESSION}"}
)
#: Digests and hashes of the picture, in hex.
PICTURE = MappingProxyType(
    {
        "md5": "57b00f74036fc4e6d7a24bc22a7014eb",
        "sha1": "03b0bd23f19815c6ba9ea005d9ca0bbebecafea9",
        "sha256": "d981b041a82181fb8e461ebc8b2ff5c0583b02df67baf157eb1486957f4ca934",
        "sha512": (
            "30ca095b8bc259be6e08470c4db265de72cddcf6f715aa730ec68dda9f881c1e"
            "45c80ab69c292b87efcaefb80b7ea8ad1b48e9e82e14cb8a4f47aff06a3f3a60"
        ),
        "pdq": "c72938991b39ed56d8cfb914c646c6cf3b30373120f4d8e9a9d646cf07462dd0",
        "phash": "8a053179b54b975e",
        "phash16": "8a0d05da317079b1b5ca4b8d97824e76866e79b13173944e798db55bce6c8c8e",
        "dhash": "ffefe5e7e5d9898d",
        "ahash": "0003373f3f6969cf",
        "whash": "0003353f3f6969cf",
        "colorhash": "0000001000050201",
    }
)


def canary_id(signal: str) -> str:
    """Returns the entry id of a signal type's canary."""
    return f"canary:{signal}"


def canary_ids(signals: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Returns what ``list.json`` says of the canaries of a list with values of some types."""
    return {name: (canary_id(name),) for name in sorted(signals) if name in {**PICTURE, **SOURCES}}


def with_canaries(
    sources: Iterable[tuple[SignalType, Iterable[Entry]]],
) -> Iterator[tuple[SignalType, Iterable[Entry]]]:
    """Yields a list's entries by signal type, and then a canary of each type that it has."""
    signals: dict[str, SignalType] = {}
    for signal, entries in sources:
        signals[signal.name] = signal
        yield signal, entries
    for name in canary_ids(signals):
        yield signals[name], [Entry(_value(name), canary_id(name), "")]


def canary_rows(
    canaries: Mapping[str, tuple[str, ...]], values: Mapping[str, SortedValues], ids: pa.Array
) -> dict[str, frozenset[int]]:
    """Returns the rows of a list's values that are canaries.

    Only what has both a canary's id and its value is one: what a list says of its canaries can
    hide no other entry.

    Args:
        canaries: Entry ids of canaries per signal type, as ``list.json`` says.
        values: The list's values per signal type.
        ids: The entry ids.
    """
    rows = {}
    for name in canaries.keys() & canary_ids(values).keys():
        table = values[name]
        _, found = table.find(as_keys(np.frombuffer(_stored(name), np.uint8).reshape(1, -1)))
        entries = zip(found.tolist(), table.entries[found].tolist(), strict=True)
        rows[name] = frozenset(
            row
            for row, entry in entries
            if entry < len(ids) and ids[entry].as_py() == canary_id(name)
        )
    return rows


def _value(name: str) -> bytes:
    """Returns a canary as an entry's value."""
    if name == "domain":
        return f"={DOMAIN}".encode()  # that host only, whatever the list's domains cover
    if name == "url":
        return url_expression(parse_source(URL))
    return _stored(name)


def _stored(name: str) -> bytes:
    """Returns a canary as a list stores it."""
    if name in PICTURE:
        return bytes.fromhex(PICTURE[name])
    return expression_digest(EXPRESSION.encode() if name == "expression" else _value(name))
