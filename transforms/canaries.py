"""Shows the canaries to a judge, by every way that assets take: none may be missed.

A gate that lets everything through looks just like one that has nothing to catch. So each process
that judges shows its judge a picture, declared digests and sources that every list has an entry
for, through the code that assets go through, before it judges any asset.
"""

import re
from collections.abc import Iterable, Iterator, Set
from fnmatch import fnmatchcase

import pyarrow as pa

from ingestgate.assets.errors import SelfTestError
from ingestgate.assets.ledger import ledger_schema
from ingestgate.assets.shard import Kind, Member, Shard, WorkRange
from ingestgate.assets.verdict import Finding
from ingestgate.blocklists.canaries import PICTURE, SOURCES, canary_id
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.fingerprints.canary import FORMAT, HEIGHT, WIDTH, canary_picture
from ingestgate.fingerprints.digests import DIGESTS
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Patterns, Policy, matches_column
from ingestgate.transforms.row_judging import judge_rows

_NAME = "canary"
# What `fnmatch` takes for one character, or any number of them.
_WILDCARD = re.compile(r"\[!?+\]?+[^\]]*\]|[*?]")
_CHARACTERS = "x" + "".join(sorted(map(chr, range(32, 0x3000)), key=lambda one: not one.isalnum()))
_SHARD = Shard(_NAME, "", "", 0, "")
_Ways = Iterator[tuple[str, frozenset[str], set[tuple[str, str]]]]


def check_canaries(judge: Judge) -> None:
    """Checks that a judge finds every canary of every list, by every way that there is to it.

    A list without canaries, as older versions compiled it, is not checked.

    Raises:
        SelfTestError: It misses one; names list, signal type and way.
    """
    probe = _probe(judge)
    tried = set(not_looked_for(judge.policy))
    for way, reached, found in _ways(probe):
        tried |= reached
        for info in judge.lists.infos:
            require_caught(info, way, reached, found)
    for info in judge.lists.infos:
        for name, ids in sorted(info.canaries.items()):
            if name not in tried and canary_id(name) in ids:
                raise SelfTestError(
                    f"{info.name}: there is no way to try its {name} canary under this policy, so "
                    "nobody knows whether what is listed would be caught; nothing was judged"
                )


def require_caught(
    info: ListInfo, way: str, reached: Set[str], found: Set[tuple[str, str]]
) -> None:
    """Checks that a list's canaries were found by one way.

    Args:
        info: The list.
        way: How to call the way.
        reached: The signal types that it reaches.
        found: List and signal type of each canary that was found by it.

    Raises:
        SelfTestError: One was not.
    """
    for name, ids in sorted(info.canaries.items()):
        if name in reached and canary_id(name) in ids and (info.id, name) not in found:
            raise SelfTestError(
                f"{info.name}: its {name} canary was not caught {way}, so what is listed "
                "would not be either; nothing was judged. Compile the list again; if "
                "that does not help, this installation must not judge anything"
            )


def not_looked_for(policy: Policy) -> frozenset[str]:
    """Returns the signal types that a policy closes every way to; the run's report names them."""
    return frozenset() if policy.url_columns else frozenset(SOURCES)


def _probe(judge: Judge) -> Judge:
    """Returns a judge whose findings show canaries, and that decodes the picture."""
    policy = _admitting(judge.policy)
    shared = judge.fingerprinter if policy == judge.policy else None
    return Judge(policy, judge.lists.showing_canaries(), fingerprinter=shared)


def _admitting(policy: Policy) -> Policy:
    """Returns a policy under which the picture can be decoded, and sources are looked at."""
    limits = policy.limits
    if FORMAT not in limits.formats:
        limits = limits.model_copy(update={"formats": (*limits.formats, FORMAT)})
    smallest = {"max_bytes": len(canary_picture()), "max_pixels": WIDTH * HEIGHT}
    for name, least in smallest.items():
        if getattr(limits, name) < least:
            limits = limits.model_copy(update={name: least})
    return policy if limits is policy.limits else policy.model_copy(update={"limits": limits})


def _ways(judge: Judge) -> _Ways:
    """Yields each way: how to call it, the signal types it reaches, and what was found by it."""
    picture = Member(_NAME, 0, canary_picture(), Kind.PICTURE)
    taken = frozenset({*DIGESTS, *judge.further, *judge.needed})
    yield "by content", taken, _caught(judge.check(picture, {}).evidence.findings)

    policy = judge.policy
    url = column_of(policy.url_columns)
    shown = {name: (url, source) for name, source in SOURCES.items()}
    for name in policy.digest_columns.keys() & PICTURE.keys():
        shown[name] = (column_of(policy.digest_columns[name]), PICTURE[name])
    rows = {name: {column: value} for name, (column, value) in shown.items() if column}
    reference = Member(_NAME, 0, None, Kind.REFERENCE)
    found = [f for row in rows.values() for f in judge.check(reference, row).evidence.findings]
    yield "by what an asset says of itself", frozenset(rows), _caught(found)

    columns = sorted({column for row in rows.values() for column in row})
    schema = pa.schema([(column, pa.string()) for column in columns])
    work = WorkRange(0, 1, 0, len(rows))
    table = pa.Table.from_pylist(list(rows.values()), schema)
    judged = judge_rows(policy, judge.lists, _SHARD, work, table, ledger_schema([]))
    said = [Finding(**one) for row in judged.column("findings").to_pylist() for one in row]
    yield "in a row of a manifest", frozenset(rows), _caught(said)


def _caught(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    """Returns list and signal type of each finding that is a canary."""
    return {
        (finding.list_id, finding.signal_type)
        for finding in findings
        if finding.entry_id == canary_id(finding.signal_type)
    }


def column_of(patterns: Patterns) -> str | None:
    """Returns the name of a column that patterns cover; None if they cover none."""
    for pattern in patterns:
        name = _WILDCARD.sub(_one_of, pattern.lower())
        if matches_column(name, patterns):
            return name
    return None


def _one_of(wildcard: re.Match[str]) -> str:
    """Returns a character that a wildcard stands for; nothing if there is none."""
    return next((one for one in _CHARACTERS if fnmatchcase(one, wildcard[0])), "")
