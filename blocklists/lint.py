"""What is wrong with a compiled list though it is intact: values that nobody meant to list.

Partners' lists have carried all of these by accident. Compiling refuses some of them already; a
list compiled elsewhere, or by an older version, may hold any.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingestgate.assets.verdict import Action, SignalKind
from ingestgate.blocklists.open_list import OpenList
from ingestgate.blocklists.placeholders import FILES, HASHES
from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.sources import expression_digest
from ingestgate.blocklists.tables import as_keys

SHOWN = 5  # entry ids in a message
_ROWS = 1 << 18  # values looked at at a time
_BLANKS = (b"\n", b"\r\n", b" ", b"\0")  # files


class Problem(NamedTuple):
    """Something about a list that somebody should look at.

    Attributes:
        list: How messages call the list.
        check: Which check found it.
        message: What it is, with ids of entries and never a value.
        refused: Whether the list must not be used so; else it is a remark.
    """

    list: str
    check: str
    message: str
    refused: bool


def lint(one: OpenList, suffixes: PublicSuffixes) -> Iterator[Problem]:
    """Yields what is wrong with an opened list.

    Args:
        one: The list; its canaries are left alone.
        suffixes: Public suffixes.
    """
    for name in sorted(one.values):
        yield from _never_match(one, name)
    yield from _public_suffixes(one, suffixes)
    yield from _shared_values(one)
    yield from _remarks(one)


def _never_match(one: OpenList, name: str) -> Iterator[Problem]:
    signal = signal_type(name)
    never = set(signal.never_match)
    if signal.kind is SignalKind.DIGEST:
        files = (*FILES, *_BLANKS)
        never.update(hashlib.new(name, file, usedforsecurity=False).digest() for file in files)
        what = "digests of empty or placeholder files, all zeros or all ones"
    elif signal.kind is SignalKind.SOURCE:
        what = "digests of no host, which were made of nothing"
    else:
        what = "hashes as near as the threshold to those of flat pictures or placeholders"
    rows = set(_rows_of(one, name, never))
    if signal.kind is SignalKind.PERCEPTUAL:
        rows.update(_flat(one, name))
    yield from _entries(one, name, rows, "never-match", what)


def _flat(one: OpenList, name: str) -> Iterator[int]:
    """Yields the rows of hashes near all zeros, all ones, or a placeholder's hash.

    Near is within the list's threshold, and within the type's own where that is wider: the next
    version, or a policy, may have it.
    """
    # numba takes half a second to import: only lists of perceptual hashes need it.
    from ingestgate.blocklists import hamming

    signal = signal_type(name)
    values = one.values[name].values
    threshold = max(one.info.thresholds[name], signal.threshold)
    placeholders = sorted(HASHES.get(name, frozenset()) | signal.never_match)
    joined = np.frombuffer(b"".join(placeholders), np.uint8).reshape(-1, signal.width)
    queries = hamming.as_words(joined)
    for start in range(0, len(values), _ROWS):
        words = hamming.as_words(values[start : start + _ROWS])
        yield from (start + hamming.scan(words, queries, threshold).rows).tolist()


def _public_suffixes(one: OpenList, suffixes: PublicSuffixes) -> Iterator[Problem]:
    names = suffixes.exact | {name for name in suffixes.wildcards if "." in name}
    expressions = {
        "domain": [form for name in names for form in (name, f"*.{name}")]
        + [f"*.{name}" for name in suffixes.wildcards],
        "expression": [f"{name}/" for name in names],
    }
    what = "public suffixes, under which anybody can register, with all that is below them"
    for name in sorted(expressions.keys() & one.values.keys()):
        digests = {expression_digest(text.encode()) for text in expressions[name]}
        yield from _entries(one, name, set(_rows_of(one, name, digests)), "public-suffix", what)


def _shared_values(one: OpenList) -> Iterator[Problem]:
    for first, second in combinations(sorted(one.values), 2):
        types = signal_type(first), signal_type(second)
        # Sources may share: a page can be listed as a URL, and hashed as well.
        if types[0].width != types[1].width or types[0].kind is types[1].kind is SignalKind.SOURCE:
            continue
        keys = one.values[first].keys
        rows: set[int] = set()
        for start in range(0, len(keys), _ROWS):
            places, _ = one.values[second].find(keys[start : start + _ROWS])
            rows.update(start + int(place) for place in places)
        what = f"values that are listed as {second} as well; they can be one of them only"
        yield from _entries(one, first, rows, "several-types", what)


def _remarks(one: OpenList) -> Iterator[Problem]:
    info = one.info
    if info.expires is None:
        yield Problem(
            info.name,
            "expiry",
            "has no expiry, so nothing notices that updates have stopped, and nobody can sign it",
            False,
        )
    if lacking := sorted(info.listed.keys() - info.canaries.keys()):
        message = f"has no canaries for {', '.join(lacking)}; compile it again"
        yield Problem(info.name, "canaries", message, False)
    for name, threshold in sorted(info.thresholds.items()):
        usual = signal_type(name).threshold
        if threshold > usual:
            message = f"{name}: threshold {threshold}, wider than the usual {usual}"
            yield Problem(info.name, "threshold", message, False)
        if name in ("ahash", "whash", "colorhash") and info.action is not Action.OBSERVE:
            message = f"{name}: a weak hash, for lists that observe; this one quarantines by it"
            yield Problem(info.name, "weak-hash", message, False)


def _rows_of(one: OpenList, name: str, values: Iterable[bytes]) -> list[int]:
    joined = b"".join(sorted(values))
    keys: npt.NDArray[np.uint8] = np.frombuffer(joined, np.uint8)
    table = one.values[name]
    return (
        table.find(as_keys(keys.reshape(-1, table.values.shape[1])))[1].tolist() if joined else []
    )


def _entries(one: OpenList, name: str, rows: set[int], check: str, what: str) -> Iterator[Problem]:
    rows = rows - one.canaries.get(name, frozenset())
    if not rows:
        return
    entries = one.values[name].entries
    shown = islice(sorted(rows), SHOWN)
    ids = sorted({one.entries.column(0)[int(entries[row])].as_py() for row in shown})
    more = " and others" if len(rows) > SHOWN else ""
    message = f"{name}: {len(rows):,} {what}: {', '.join(ids)}{more}"
    yield Problem(one.info.name, check, message, True)
