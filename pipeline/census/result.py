"""What a census found: counts, and what does not add up."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ingestgate.assets.verdict import Verdict

_PROBLEMS_KEPT = 100


@dataclass(slots=True)
class Census:
    """What was found.

    Attributes:
        inputs: Assets in the landing zone, and those purged from it.
        counts: Assets by verdict, as the outputs show it.
        purged: How many of the quarantined are no longer in the landing zone, by receipt.
        suppressed: How many of the admitted matched, and were let pass by a suppression.
        shards: Shards looked at.
        counted_once: How many of them no plain library could count, too.
        problems: What does not add up; the first hundred.
        problem_count: How many there are.
    """

    inputs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    purged: int = 0
    suppressed: int = 0
    shards: int = 0
    counted_once: int = 0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0

    def object(self, problem: str) -> None:
        """Notes what does not add up."""
        self.problem_count += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(problem)

    @property
    def exact(self) -> bool:
        """Whether everything adds up."""
        return not self.problem_count and self.inputs == sum(self.counts.values())

    def as_dict(self) -> dict[str, Any]:
        """Returns it for ``--json``."""
        return {
            "exact": self.exact,
            "inputs": self.inputs,
            "counts": {verdict.value: self.counts[verdict] for verdict in Verdict},
            "purged": self.purged,
            "suppressed": self.suppressed,
            "shards": self.shards,
            "counted_once": self.counted_once,
            "problems": self.problems,
            "problem_count": self.problem_count,
        }
