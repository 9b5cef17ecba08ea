"""Matching of sources (URLs, hosts) against opened lists, one by one and by the column."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.verdict import Finding
from ingestgate.blocklists.columns import as_texts, source_hosts
from ingestgate.blocklists.open_list import MAX_FINDINGS, OpenList, find_equal
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.source_texts import SEVERAL, possible_sources
from ingestgate.blocklists.sources import (
    BadSource,
    Source,
    canonical_host,
    domain_expressions,
    expression_digest,
    hashed_expressions,
    is_absent,
    parse_source,
    readable_part,
    url_digests,
)
from ingestgate.blocklists.tables import SCREENS, as_keys

_SOURCE_WIDTH = 32
_TOGETHER = 1 << 16  # digests of sources looked up at a time; each takes a hundred bytes


class SourceMatches(NamedTuple):
    """Rows of a column of sources that are listed, and rows that cannot be parsed.

    A row can be both: its host is listed, and its path is nothing that could be decoded.

    Attributes:
        hits: Row index to its findings, ascending.
        bad: Ascending indices of rows whose source cannot be parsed.
    """

    hits: dict[int, list[Finding]]
    bad: npt.NDArray[np.int64]


class SourceMatcher:
    """Matches sources against some lists; holds no state but them.

    Args:
        lists: The lists, in the order findings are to have.
    """

    def __init__(self, lists: Sequence[OpenList]) -> None:
        self.lists = tuple(lists)
        self.signal_types = frozenset(name for one in lists for name in one.values)

    def match_source(self, url: str, view: str) -> list[Finding]:
        """Returns the findings of one source, or of several in a text; none if it is blank.

        Args:
            url: A URL, or what `sources` reads as one, or several.
            view: Where it came from, for the findings.

        Raises:
            BadSource: It cannot be parsed; carries the findings of what could be.
        """
        texts = possible_sources(url)
        if len(texts) == 1:
            return self._match_one_source(url, view)
        findings: list[Finding] = []
        bad: BadSource | None = None
        for text in texts:
            try:
                findings += self._match_one_source(text, view)
            except BadSource as error:
                findings += error.findings
                bad = error
        if bad:
            bad.findings = tuple(_distinct(findings))
            raise bad
        return _distinct(findings)

    def _match_one_source(self, url: str, view: str) -> list[Finding]:
        if is_absent(url):
            return []
        source = parse_source(url)
        by_url, bad = self._match_urls([source], view)
        findings = self._match_hosts([source.host], view).get(0, []) + by_url.get(0, [])
        if bad:
            bad[0].findings = tuple(findings)
            raise bad[0]
        return findings

    def match_sources(self, column: pa.Array | pa.ChunkedArray, view: str) -> SourceMatches:
        """Returns the findings of a column of sources; row by row what `match_source` returns.

        What `screening` tells cannot be listed is not looked at again. Of the others, each
        distinct host is parsed and looked up once, and the path is only looked at on hosts that
        listed URLs lie on.

        Args:
            column: Strings; null and blank ones are absent.
            view: Where they came from, for the findings.

        Raises:
            UsageError: The column is not of text.
        """
        texts = as_texts(column)
        rows = self._unscreened(texts)
        several = pc.match_substring_regex(texts.take(pa.array(rows)), SEVERAL)
        of_several = several.fill_null(False).to_numpy(zero_copy_only=False)
        single = rows[~of_several]
        found = self._match_texts(texts.take(pa.array(single)), view)
        hits = {int(single[row]): findings for row, findings in found.hits.items()}
        bad = single[found.bad].tolist()
        for row in rows[of_several].tolist():
            try:
                findings = self.match_source(texts[row].as_py(), view)
            except BadSource as error:
                findings = list(error.findings)
                bad.append(row)
            except UnicodeDecodeError:  # nobody checks the text that files hold
                findings = []
                bad.append(row)
            if findings:
                hits[row] = findings
        return SourceMatches(
            {row: hits[row] for row in sorted(hits)}, np.array(sorted(bad), np.int64)
        )

    def _unscreened(self, texts: pa.Array) -> npt.NDArray[np.int64]:
        """Returns the rows that have to be parsed: all, if a list has something unscreened."""
        for one in self.lists:
            wanted = {name for signal in one.values for name in SCREENS.get(signal, ())}
            if "expression" in one.values or not wanted <= one.screens.keys():
                return np.arange(len(texts))
        from ingestgate.blocklists import screening

        return screening.undecided(texts, [one.screens for one in self.lists])

    def _match_texts(self, texts: pa.Array, view: str) -> SourceMatches:
        split = source_hosts(texts)
        hosts: list[str] = []
        canonical = np.full(len(split.hosts), -1, np.int64)  # -1: not a host
        for number, host in enumerate(split.hosts):
            try:
                hosts.append(canonical_host(host))
            except BadSource:
                continue
            canonical[number] = len(hosts) - 1
        by_host = self._match_hosts(hosts, view)
        listed = np.zeros(len(hosts) + 1, bool)  # its last row is what -1 points to
        listed[list(by_host)] = True
        with_urls = np.zeros(len(hosts) + 1, bool)
        with_urls[self._with_listed_urls(hosts)] = True
        of_row = canonical[split.host_of_row]

        found: dict[int, list[Finding]] = {}
        for place in np.flatnonzero(listed[of_row]):
            found[int(split.rows[place])] = list(by_host[int(of_row[place])])
        bad = split.rows[of_row < 0].tolist()
        parsed: dict[int, Source] = {}
        for row in (*split.rows[with_urls[of_row]].tolist(), *split.others.tolist()):
            try:
                parsed[row] = parse_source(texts[row].as_py())
            except (BadSource, UnicodeDecodeError):  # nobody checks the text that files hold
                bad.append(row)
        rows = list(parsed)
        others = [row for row in split.others.tolist() if row in parsed]
        of_others = self._match_hosts([parsed[row].host for row in others], view)
        found |= {others[number]: findings for number, findings in of_others.items()}
        by_url, unreadable = self._match_urls(list(parsed.values()), view)
        for number, findings in by_url.items():
            found[rows[number]] = found.get(rows[number], []) + findings
        bad += [rows[number] for number in unreadable]
        hits = {row: found[row] for row in sorted(found)}
        return SourceMatches(hits, np.array(sorted(bad), np.int64))

    def _match_hosts(self, hosts: Sequence[str], view: str) -> dict[int, list[Finding]]:
        """Returns the findings of canonical hosts by their place in the sequence."""
        if "domain" not in self.signal_types:
            return {}
        digests = (
            (number, expression_digest(expression))
            for number, host in enumerate(hosts)
            for expression in domain_expressions(host)
        )
        return self._find_owners("domain", digests, view)

    def _find_owners(
        self, name: str, digests: Iterable[tuple[int, bytes]], view: str
    ) -> dict[int, list[Finding]]:
        """Returns findings by owner, of whom each has many digests; in bounded memory."""
        found: dict[int, list[Finding]] = {}
        rest = iter(digests)
        while batch := list(itertools.islice(rest, _TOGETHER)):
            keys = _keys([digest for _, digest in batch])
            for query, findings in find_equal(self.lists, signal_type(name), keys, [view]).items():
                found.setdefault(batch[query][0], []).extend(findings)
        return {owner: _distinct(findings) for owner, findings in found.items()}

    def _with_listed_urls(self, hosts: Sequence[str]) -> list[int]:
        """Returns the places of the canonical hosts that listed URLs lie on, or could lie on."""
        if "expression" in self.signal_types:  # which hosts those are of cannot be known
            return list(range(len(hosts)))
        if "url" not in self.signal_types or not hosts:
            return []
        keys = _keys([expression_digest(host.encode()) for host in hosts])
        places: set[int] = set()
        for one in self.lists:
            if one.url_hosts is not None:
                places.update(one.url_hosts.find(keys)[0].tolist())
        return sorted(places)

    def _match_urls(
        self, sources: Sequence[Source], view: str
    ) -> tuple[dict[int, list[Finding]], dict[int, BadSource]]:
        """Returns the findings of sources by their place, and what is wrong with bad ones."""
        expressions = {"url": url_digests, "expression": hashed_expressions}
        found: dict[int, list[Finding]] = {}
        bad: dict[int, BadSource] = {}
        asked = self._with_listed_urls([source.host for source in sources])

        def digests(name: str) -> Iterator[tuple[int, bytes]]:
            for number in asked if name in self.signal_types else ():
                try:
                    own = list(expressions[name](sources[number]))
                except BadSource as error:
                    bad[number] = error
                    own = list(expressions[name](readable_part(sources[number])))
                yield from ((number, digest) for digest in own)

        for name in expressions:
            for number, findings in self._find_owners(name, digests(name), view).items():
                found.setdefault(number, []).extend(findings)
        return {number: _distinct(findings) for number, findings in found.items()}, bad


def _keys(digests: Sequence[bytes]) -> npt.NDArray[np.bytes_]:
    flat = np.frombuffer(b"".join(digests), np.uint8)
    return as_keys(flat.reshape(-1, _SOURCE_WIDTH))


def _distinct(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per entry, however many of its expressions matched; capped per list."""
    distinct = sorted(set(findings))
    if len(distinct) <= MAX_FINDINGS:
        return distinct
    kept: list[Finding] = []
    per_list: dict[str, int] = {}
    for finding in distinct:
        per_list[finding.list_id] = per_list.get(finding.list_id, 0) + 1
        if per_list[finding.list_id] <= MAX_FINDINGS:
            kept.append(finding)
    return kept
