"""How much of a benign sample lists would match: whether a threshold is too wide."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.shard import Kind, Member
from ingestgate.assets.verdict import Finding
from ingestgate.blocklists.lint import Problem
from ingestgate.blocklists.listset import ListSet
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Policy

CHECK = "benign"


@dataclass
class BenignSample:
    """What became of a sample.

    Attributes:
        pictures: How many pictures could be fingerprinted.
        unreadable: How many files could not.
        nearest: Per list and signal type, the distance of each picture that it matches.
    """

    pictures: int = 0
    unreadable: int = 0
    nearest: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def add(self, findings: Sequence[Finding]) -> None:
        """Adds one picture's findings."""
        self.pictures += 1
        found: dict[tuple[str, str], int] = {}
        for finding in findings:
            key = (finding.list_id, finding.signal_type)
            found[key] = min(finding.distance, found.get(key, finding.distance))
        for key, distance in found.items():
            self.nearest.setdefault(key, []).append(distance)


def match_sample(lists: ListSet, folder: str, policy: Policy) -> BenignSample:
    """Matches every picture of a folder against lists, as a run with a policy would.

    Raises:
        UsageError: There is no picture in it.
        StorageError: It cannot be read.
    """
    judge = Judge(policy, lists)
    sample = BenignSample()
    for file in storage.walk(folder):
        content = storage.read_bytes(file.path)
        kind = kind_of(file.path.rpartition(".")[2], content, frozenset())
        checked = judge.check(Member(file.path, 0, content, kind), {})
        if kind is Kind.PICTURE and checked.fingerprint is not None:
            sample.add(checked.evidence.findings)
        else:
            sample.unreadable += 1
    if not sample.pictures:
        raise UsageError(f"{folder}: holds no picture; --benign wants a folder of harmless ones")
    return sample


def lint_sample(lists: ListSet, sample: BenignSample, max_share: float) -> Iterator[Problem]:
    """Yields each list and signal type that matches more than a share of the sample."""
    names: Mapping[str, str] = {info.id: info.name for info in lists.infos}
    for (list_id, signal), distances in sorted(sample.nearest.items()):
        share = len(distances) / sample.pictures
        advice = _advice(sorted(distances), sample.pictures, max_share)
        message = (
            f"{signal}: matches {len(distances):,} of {sample.pictures:,} benign pictures "
            f"({share:.2%}, allowed {max_share:.2%}); {advice}"
        )
        yield Problem(names[list_id], CHECK, message, share > max_share)


def _advice(distances: Sequence[int], pictures: int, max_share: float) -> str:
    """Returns which threshold would do.

    Args:
        distances: Ascending, of the pictures that match.
        pictures: How many pictures there are.
        max_share: How large a share may match.
    """
    allowed = int(max_share * pictures)
    if len(distances) <= allowed:
        return "within what is allowed"
    threshold = distances[allowed] - 1
    if threshold < 0:
        return "entries are these very pictures: have them taken out"
    return f"a threshold of {threshold} or less would do"
