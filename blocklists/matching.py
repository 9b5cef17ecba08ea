"""Matching of digests, perceptual hashes and sources against opened lists.

One finding per list entry and signal type: the nearest. Of a list's findings on one asset, at
most `MAX_FINDINGS` are kept, the nearest first. Every list that matches keeps its nearest, so
no cap ever turns a match into none, nor several lists into one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestgate.assets.errors import UsageError
from ingestgate.assets.verdict import Finding, SignalKind
from ingestgate.blocklists.columns import decode_hex, decode_hex_value
from ingestgate.blocklists.open_list import MAX_FINDINGS, OpenList, find_equal
from ingestgate.blocklists.signals import SignalType, signal_type
from ingestgate.blocklists.source_matching import SourceMatcher
from ingestgate.blocklists.tables import as_keys

if TYPE_CHECKING:
    from ingestgate.blocklists.hamming import Neighbours


class DigestMatches(NamedTuple):
    """Rows of a column of digests that are listed, and rows that hold no digest.

    Attributes:
        hits: Row index to its findings, ascending.
        bad: Ascending indices of rows that hold something that is not a digest.
    """

    hits: dict[int, list[Finding]]
    bad: npt.NDArray[np.int64]


class Matcher(SourceMatcher):
    """Matches digests, perceptual hashes and sources against some lists."""

    def match_digest(self, name: str, digest: str | bytes, view: str) -> list[Finding]:
        """Returns the findings of one digest.

        Args:
            name: The digest's signal type.
            digest: Hex in either case, or the raw bytes.
            view: Where it came from, for the findings.

        Raises:
            UsageError: There is no such digest, or its width is wrong.
        """
        return self.match_digest_each(name, [digest], [view]).get(0, [])

    def match_digest_each(
        self, name: str, digests: Sequence[str | bytes], views: Sequence[str]
    ) -> dict[int, list[Finding]]:
        """Does `match_digest` for several digests, in less time than for each by itself.

        Args:
            name: As there.
            digests: Likewise.
            views: Where each came from.

        Returns:
            Findings by the digest's place; nothing of those that match nothing.

        Raises:
            UsageError: As there.
        """
        signal = _of_kind(name, SignalKind.DIGEST)
        raw = []
        for digest, view in zip(digests, views, strict=True):
            value = decode_hex_value(digest, signal.width) if isinstance(digest, str) else digest
            if value is None or len(value) != signal.width:
                raise UsageError(f"view {view}: not a {name} of {signal.width} bytes")
            raw.append(value)
        keys = as_keys(np.frombuffer(b"".join(raw), np.uint8).reshape(len(raw), signal.width))
        return find_equal(self.lists, signal, keys, views)

    def match_digests(
        self, name: str, column: pa.Array | pa.ChunkedArray, view: str
    ) -> DigestMatches:
        """Returns the findings of a column of hex digests.

        Args:
            name: The digests' signal type.
            column: Strings; null and blank ones are absent, anything but hex of the digest's
                width (in either case) is bad.
            view: Where they came from, for the findings.

        Raises:
            UsageError: There is no such digest, or the column is not of text.
        """
        signal = _of_kind(name, SignalKind.DIGEST)
        decoded = decode_hex(column, signal.width)
        found = find_equal(self.lists, signal, as_keys(decoded.values), [view])
        return DigestMatches(
            {int(decoded.rows[query]): hits for query, hits in found.items()}, decoded.bad
        )

    def match_perceptual(
        self, name: str, hashes: npt.NDArray[np.uint8], views: Sequence[str]
    ) -> list[Finding]:
        """Returns the nearest finding per list entry within that list's threshold; exact.

        At most `MAX_FINDINGS` per list, the nearest.

        Args:
            name: The hashes' signal type.
            hashes: uint8, shape (n, width): every view of one asset.
            views: Their names; of equally near views, the first one names the finding.

        Raises:
            UsageError: There is no such perceptual hash, or shapes do not fit.
        """
        return self.match_perceptual_each(name, [hashes], [views])[0]

    def match_perceptual_each(
        self,
        name: str,
        hashes: Sequence[npt.NDArray[np.uint8]],
        views: Sequence[Sequence[str]],
        *,
        margin: int = 0,
    ) -> list[list[Finding]]:
        """Does `match_perceptual` for several assets, in less time than for each by itself.

        With a margin, also returns findings beyond the threshold by so many bits at most, as many
        as `hamming.search_index` meets on its way.

        Args:
            name: As there.
            hashes: One array per asset.
            views: Likewise their names.
            margin: In bits.
        """
        from ingestgate.blocklists import hamming

        signal = _of_kind(name, SignalKind.PERCEPTUAL)
        for own, names in zip(hashes, views, strict=True):
            if own.dtype != np.uint8 or own.shape != (len(names), signal.width):
                raise UsageError(
                    f"{name}: wants uint8 hashes of shape ({len(names)}, {signal.width})"
                )
        findings: list[list[Finding]] = [[] for _ in hashes]
        if not any(map(len, views)):
            return findings
        queries = [hamming.as_words(own) for own in hashes]
        for one in self.lists:
            if name not in one.values:
                continue
            table = one.values[name]
            threshold = one.info.thresholds[name]
            if name in one.indexes:
                near = hamming.search_index_each(
                    table.values, one.indexes[name], queries, threshold, margin
                )
            else:
                words = hamming.as_words(table.values)
                near = [hamming.scan(words, own, threshold + margin) for own in queries]
            for found, rows, names in zip(findings, near, views, strict=True):
                if len(rows.rows):
                    found += _nearest(one, signal, rows, names)
        return findings


def _nearest(
    one: OpenList, signal: SignalType, near: "Neighbours", views: Sequence[str]
) -> list[Finding]:
    """Returns a finding for each entry near an asset's hashes, the nearest `MAX_FINDINGS`."""
    findings: list[Finding] = []
    seen: set[int] = set()
    for place in np.lexsort((near.rows, near.queries, near.distances)):
        row = int(near.rows[place])
        entry = int(one.values[signal.name].entries[row])
        if entry in seen or one.is_canary(signal, row):
            continue
        seen.add(entry)
        view = views[near.queries[place]]
        findings.append(one.finding(signal, row, view, int(near.distances[place])))
        if len(findings) == MAX_FINDINGS:
            break
    return findings


def _of_kind(name: str, kind: SignalKind) -> SignalType:
    signal = signal_type(name)
    if signal.kind is not kind:
        raise UsageError(f"{name} is a {signal.kind}, not a {kind}")
    return signal
