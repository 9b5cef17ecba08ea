"""How well listed pictures are found again after they were altered; peers beside it.

Each picture is listed by the hashes that the reference implementations give it, altered, and
fingerprinted as the gate does. Recall is the share found at the default thresholds. Every altered
picture is also compared with all other listed pictures (hard negatives, if they look alike), for
the highest threshold at which 9,999 of 10,000 matches are right.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.pipeline.alterations import ALTERATIONS

GATE = "gate"  #: any of the gate's hashes
PRECISION = 0.9999
_LARGEST = 1024  # pixels; larger pictures are made smaller first, to save time

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
        skipped: Files that are no picture that the gate can rely on, or repeat another.
        found: Per alteration and column, how many were found again.
        total: Per alteration, how many there were.
        held: Per alteration, how many were unscannable.
        thresholds: Per column, the default threshold.
        precise: Per column, the highest threshold of the wanted precision, and the recall over
            all alterations at it; None if no threshold is that precise.
    """

    pictures: int = 0
    skipped: int = 0
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
            "skipped": self.skipped,
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
    found = {
        "imagehash": Peer("phash", lambda content: _hex(str(imagehash.phash(_opened(content)))))
    }
    if find_spec("pdqhash"):
        import pdqhash

        def pdq(content: bytes) -> Hashes:
            return np.packbits(pdqhash.compute(np.asarray(_opened(content)))[0])[None]

        found["pdqhash"] = Peer("pdq", pdq)
    if find_spec("perception"):
        hasher = import_module("perception.hashers").PHash()
        found["perception"] = Peer(
            "phash", lambda content: _hex(hasher.compute(_opened(content), hash_format="hex"))
        )
    return found


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _hex(text: str) -> Hashes:
    return np.frombuffer(bytes.fromhex(text), np.uint8)[None]


def measure(
    contents: Iterator[bytes],
    names: Sequence[str],
    progress: Callable[[int], None] = lambda _: None,
) -> Robustness:
    """Alters pictures and looks for them.

    Args:
        contents: The files.
        names: Perceptual hashes of the gate.
        progress: Called with the number of pictures done.
    """
    result = Robustness()
    fingerprinter = Fingerprinter(names, DecodeLimits())
    others = peers()
    originals, listed = _list(contents, fingerprinter, others, result)
    for name in names:
        result.thresholds[name] = perceptual_hashes()[name].default_threshold
    for name, peer in others.items():
        result.thresholds[name] = perceptual_hashes()[peer.like].default_threshold
    right: dict[str, Counter[int]] = defaultdict(Counter)
    wrong: dict[str, Counter[int]] = defaultdict(Counter)
    for number, image in enumerate(originals):
        for group in ALTERATIONS.values():
            for alteration, alter in group.items():
                content = alter(image)
                result.total[alteration] += 1
                queries = _queries(content, fingerprinter, others)
                if not queries.keys() & set(names):
                    result.held[alteration] += 1
                found = set()
                for column, hashes in queries.items():
                    distances = _distances(hashes, listed[column])
                    right[column][int(distances[number])] += 1
                    wrong[column].update(np.delete(distances, number).tolist())
                    if distances[number] <= result.thresholds[column]:
                        found.add(column)
                result.found[alteration].update(found)
                result.found[alteration][GATE] += bool(found & set(names))
        progress(number + 1)
    for column in result.thresholds:
        result.precise[column] = _precise(right[column], wrong[column])
    return result


def _list(
    contents: Iterator[bytes],
    fingerprinter: Fingerprinter,
    others: dict[str, Peer],
    result: Robustness,
) -> tuple[list[Image.Image], dict[str, Hashes]]:
    originals = []
    listed: dict[str, list[Hashes]] = defaultdict(list)
    seen = set()
    for content in contents:
        try:
            with Image.open(io.BytesIO(content)) as opened:
                image = opened.convert("RGB")
            image.thumbnail((_LARGEST, _LARGEST))
            png = io.BytesIO()
            image.save(png, "PNG", compress_level=1)
            found = fingerprinter.fingerprint(png.getvalue(), exact=True)
        except (OSError, ValueError, Unscannable):
            result.skipped += 1
            continue
        first = {name: _hashes(found, name)[:1] for name in found.perceptual}
        key = tuple(hashes.tobytes() for hashes in first.values())
        if found.low_quality or key in seen:
            result.skipped += 1
            continue
        seen.add(key)
        originals.append(image)
        for name, hashes in first.items():
            listed[name].append(hashes)
        for name, peer in others.items():
            listed[name].append(peer.hashes(png.getvalue()))
    result.pictures = len(originals)
    return originals, {name: np.concatenate(hashes) for name, hashes in listed.items()}


def _hashes(found: Fingerprint, name: str) -> Hashes:
    joined = b"".join(view.hashes for view in found.perceptual[name])
    return np.frombuffer(joined, np.uint8).reshape(-1, perceptual_hashes()[name].bits // 8)


def _queries(
    content: bytes, fingerprinter: Fingerprinter, others: dict[str, Peer]
) -> dict[str, Hashes]:
    queries = {name: peer.hashes(content) for name, peer in others.items()}
    try:
        found = fingerprinter.fingerprint(content)
    except Unscannable:
        return queries
    return queries | {name: _hashes(found, name) for name in found.perceptual}


def _distances(queries: Hashes, listed: Hashes) -> NDArray[np.int64]:
    """Returns the distance of each listed hash to the nearest of the queries, in bits."""
    differing = np.bitwise_count(queries[:, None] ^ listed[None])
    nearest: NDArray[np.int64] = differing.sum(2, dtype=np.int64).min(0)
    return nearest


def _precise(right: Counter[int], wrong: Counter[int]) -> tuple[int, float] | None:
    """Returns the highest threshold of the wanted precision, and the recall at it."""
    best = None
    found = mistaken = 0
    for threshold in range(max([*right, *wrong]) + 1):
        found += right[threshold]
        mistaken += wrong[threshold]
        if found and found / (found + mistaken) >= PRECISION:
            best = (threshold, found / right.total())
    return best
