"""How well listed pictures are found again after they were altered; peers beside it.

Each picture is listed by the hashes that the reference implementations give it (`references`);
where one is not installed, by the gate's own. It is altered, and judged as a run with that list
and the default policy judges it: the decoder isolated, the quick way with its margin first, and
the exact way where that leaves doubt. Recall is the share in which the judge finds the picture's
own entry, at the default thresholds.

The hashes that the judge decided by are also compared with all other listed pictures (hard
negatives, if they look alike), for the highest threshold at which 9,999 of 10,000 matches are
right.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.shard import Kind, Member, Sample
from ingestgate.assets.verdict import Reason, Verdict
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import signal_type
from ingestgate.fingerprints.fingerprinter import Fingerprint
from ingestgate.fingerprints.perceptual import chosen_hashes, perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.pipeline.robustness.alterations import ALTERATIONS, encode
from ingestgate.pipeline.robustness.references import Reference, as_rgb, references
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Policy

GATE = "gate"  #: any of the gate's hashes
PRECISION = 0.9999
REPEATED = "repeated"  #: why a file is skipped whose hashes an earlier one has
_LARGEST = 1024  # pixels; larger pictures are made smaller first, to save time
_ISSUED = datetime(2026, 1, 1, tzinfo=UTC)

Hashes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's matcher, used as its documentation says."""

    like: str  # the gate's hash whose default threshold is its own
    hashes: Callable[[bytes], Hashes]  # uint8[1, bytes] of a file


@dataclass(slots=True)
class Robustness:
    """What was measured.

    Attributes:
        pictures: How many were listed.
        listed_by: Per hash of the gate, whose implementation the listed hashes are of.
        skipped: Files that are no picture that the gate can rely on, by the reason why not, or
            that repeat another.
        found: Per alteration and column, how many were found again.
        total: Per alteration, how many there were.
        held: Per alteration, how many were unscannable.
        thresholds: Per column, the default threshold.
        precise: Per column, the highest threshold of the wanted precision, and the recall over
            all alterations at it; None if no threshold is that precise.
    """

    pictures: int = 0
    listed_by: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    found: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    total: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    thresholds: dict[str, int] = field(default_factory=dict)
    precise: dict[str, tuple[int, float] | None] = field(default_factory=dict)

    def recall(self, alteration: str, column: str) -> float:
        """Returns the share of the altered pictures that was found again."""
        return self.found[alteration][column] / self.total[alteration]

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it for JSON."""
        columns = [*self.thresholds, GATE]
        return {
            "pictures": self.pictures,
            "skipped": dict(sorted(self.skipped.items())),
            "listed_by": self.listed_by,
            "recall": {
                alteration: {column: self.recall(alteration, column) for column in columns}
                for alteration in self.total
            },
            "unscannable": {alteration: self.held[alteration] for alteration in self.total},
            "thresholds": self.thresholds,
            "precise": {
                column: None if at is None else {"threshold": at[0], "recall": at[1]}
                for column, at in self.precise.items()
            },
        }


def peers() -> dict[str, Peer]:
    """Returns the peers that are installed; each hashes what Pillow converts to RGB."""
    known = references()
    found = {"imagehash": Peer("phash", _of_file(known["phash"]))}
    if "pdq" in known:
        found["pdqhash"] = Peer("pdq", _of_file(known["pdq"]))
    if find_spec("perception"):
        hasher = import_module("perception.hashers").PHash()

        def phash(content: bytes) -> Hashes:
            value = hasher.compute(as_rgb(content), hash_format="hex")
            return np.frombuffer(bytes.fromhex(value), np.uint8)[None]

        found["perception"] = Peer("phash", phash)
    return found


def _of_file(reference: Reference) -> Callable[[bytes], Hashes]:
    return lambda content: np.frombuffer(reference.compute(as_rgb(content))[0], np.uint8)[None]


class _Listed(NamedTuple):
    """The pictures that are listed.

    Attributes:
        originals: As PNG.
        hashes: Per column, uint8[pictures, bytes].
    """

    originals: list[bytes]
    hashes: dict[str, Hashes]


def measure(
    contents: Iterator[bytes],
    names: Sequence[str],
    progress: Callable[[int], None] = lambda _: None,
) -> Robustness:
    """Alters pictures and looks for them.

    Args:
        contents: The files; those that the gate does not decode are counted and passed over. If
            fewer than two are left, nothing is looked for.
        names: Perceptual hashes of the gate.
        progress: Called with the number of pictures done.

    Raises:
        UsageError: There is no such hash, or no list can hold it.
        GateError: No process that decodes can be started.
    """
    chosen_hashes(names)  # all are known
    names = tuple(dict.fromkeys(names))
    result = Robustness()
    others = peers()
    listed = _list(contents, names, others, result)
    result.pictures = len(listed.originals)
    if result.pictures > 1:
        with tempfile.TemporaryDirectory() as folder:
            _look(_judge(listed, names, folder), listed, names, others, result, progress)
    return result


def _list(
    contents: Iterator[bytes],
    names: Sequence[str],
    others: Mapping[str, Peer],
    result: Robustness,
) -> _Listed:
    """Takes the pictures that the gate can rely on, and the hashes by which they are listed."""
    known = {name: one for name, one in references().items() if name in names}
    result.listed_by = {name: known[name].by if name in known else GATE for name in names}
    never = {value for name in names for value in signal_type(name).never_match}
    originals: list[bytes] = []
    listed: dict[str, list[Hashes]] = defaultdict(list)
    seen = set()
    fingerprinter = Judge(_policy(names), ListSet([])).fingerprinter
    for content in contents:
        try:
            fingerprinter.fingerprint(content)  # before this process decodes it
            image = as_rgb(content)
            image.thumbnail((_LARGEST, _LARGEST))
            png = encode(image, "PNG", compress_level=1)
            found = fingerprinter.fingerprint(png, exact=True)
        except Unscannable as error:
            result.skipped[error.reason] += 1
            continue
        first = {name: _first(found, name) for name in names}
        first |= {name: one.compute(image)[0] for name, one in known.items()}
        key = tuple(first[name] for name in names)
        if found.low_quality or never.intersection(key):
            result.skipped[Reason.LOW_QUALITY] += 1
            continue
        if key in seen:
            result.skipped[REPEATED] += 1
            continue
        seen.add(key)
        originals.append(png)
        for name, value in first.items():
            listed[name].append(np.frombuffer(value, np.uint8)[None])
        for name, peer in others.items():
            listed[name].append(peer.hashes(png))
    return _Listed(originals, {name: np.concatenate(hashes) for name, hashes in listed.items()})


def _first(found: Fingerprint, name: str) -> bytes:
    return found.perceptual[name][0].hashes[: perceptual_hashes()[name].bits // 8]


def _hashes(perceptual: Mapping[str, Sequence[PerceptualView]], name: str) -> Hashes:
    joined = b"".join(view.hashes for view in perceptual[name])
    return np.frombuffer(joined, np.uint8).reshape(-1, perceptual_hashes()[name].bits // 8)


def _policy(names: Sequence[str]) -> Policy:
    return Policy(perceptual=tuple(names))


def _judge(listed: _Listed, names: Sequence[str], folder: str) -> Judge:
    """Returns a judge with the pictures' list; an entry's id is the number of the picture."""
    sources = []
    for name in names:
        path = Path(folder, f"{name}.csv")
        rows = [f"{one.tobytes().hex()},{number}" for number, one in enumerate(listed.hashes[name])]
        path.write_text("\n".join(["value,entry_id", *rows]) + "\n")
        sources.append((name, str(path)))
    to = str(Path(folder, "lists"))
    compile_list(id="originals", version=1, sources=sources, to=to, issued=_ISSUED)
    return Judge(_policy(names), ListSet.open(to, now=datetime.now(UTC)))


def _look(
    judge: Judge,
    listed: _Listed,
    names: Sequence[str],
    others: Mapping[str, Peer],
    result: Robustness,
    progress: Callable[[int], None],
) -> None:
    """Looks for each picture under each of its alterations."""
    result.thresholds = {name: signal_type(name).threshold for name in names}
    result.thresholds |= {name: signal_type(peer.like).threshold for name, peer in others.items()}
    right: dict[str, Counter[int]] = defaultdict(Counter)
    wrong: dict[str, Counter[int]] = defaultdict(Counter)
    for number, original in enumerate(listed.originals):
        image = as_rgb(original)
        altered = {
            alteration: alter(image)
            for group in ALTERATIONS.values()
            for alteration, alter in group.items()
        }
        samples = [
            Sample(alteration, (Member("a", 0, content, Kind.PICTURE),), {})
            for alteration, content in altered.items()
        ]
        for row in judge.judge_all("robustness", samples):
            alteration = row.sample
            result.total[alteration] += 1
            result.held[alteration] += row.verdict == Verdict.UNSCANNABLE
            found = {one.signal_type for one in row.findings if one.entry_id == str(number)}
            if found:
                found.add(GATE)
            queries = {name: _hashes(row.perceptual, name) for name in names if row.perceptual}
            for name, peer in others.items():
                queries[name] = peer.hashes(altered[alteration])
            for column, hashes in queries.items():
                distances = _distances(hashes, listed.hashes[column])
                right[column][int(distances[number])] += 1
                wrong[column].update(np.delete(distances, number).tolist())
                if column in others and distances[number] <= result.thresholds[column]:
                    found.add(column)
            result.found[alteration].update(found)
        progress(number + 1)
    for column in result.thresholds:
        result.precise[column] = _precise(right[column], wrong[column], result.total.total())


def _distances(queries: Hashes, listed: Hashes) -> NDArray[np.int64]:
    """Returns the distance of each listed hash to the nearest of the queries, in bits."""
    differing = np.bitwise_count(queries[:, None] ^ listed[None])
    nearest: NDArray[np.int64] = differing.sum(2, dtype=np.int64).min(0)
    return nearest


def _precise(right: Counter[int], wrong: Counter[int], total: int) -> tuple[int, float] | None:
    """Returns the highest threshold of the wanted precision, and the recall of all at it."""
    best = None
    found = mistaken = 0
    for threshold in range(max([*right, *wrong], default=-1) + 1):
        found += right[threshold]
        mistaken += wrong[threshold]
        if found and found / (found + mistaken) >= PRECISION:
            best = (threshold, found / total)
    return best
