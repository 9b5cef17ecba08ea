"""The errors of the gate, each able to explain itself to a person.

    GateError
    ├── UsageError           what was asked for cannot be done as asked (exit 2)
    │   ├── PolicyError      the policy file, with the line
    │   └── InputError       the landing zone: empty match, unknown format
    ├── ListError            a list, or a suppression, is refused (exit 3)
    ├── SelfTestError        the gate does not catch what it must (exit 4)
    ├── ShardError           one shard cannot be read or committed; names it
    ├── LedgerError          a ledger part is missing or damaged
    ├── EvidenceError        a certificate, log or other proof does not hold (exit 5)
    ├── VaultError           the quarantine cannot be written or opened
    ├── ExchangeError        a partner's exchange does not answer as it should
    └── StorageError         a file system refused

No message holds a listed value, a listed URL or bytes of an asset.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class GateError(Exception):
    """What the gate raises; anything else that escapes is a defect."""


class UsageError(GateError):
    """What was asked for cannot be done as asked."""


class PolicyError(UsageError):
    """The policy file says something that is not a policy."""


class InputError(UsageError):
    """The landing zone is not what was said: nothing there, an unknown format."""


class ListError(GateError):
    """A list, or a suppression, is refused; nothing was read with it."""


class SelfTestError(GateError):
    """The gate does not catch what it must catch."""


class ShardError(GateError):
    """One shard cannot be read or committed.

    Args:
        shard: Its name.
        problem: What is wrong, and where in it; completes the sentence "<shard>: ...".
    """

    def __init__(self, shard: str, problem: str) -> None:
        super().__init__(shard, problem)
        self.shard = shard
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.shard}: {self.problem}"


class LedgerError(GateError):
    """A ledger part is missing, damaged or of another version."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"ledger part {self.path}: {self.problem}"


class EvidenceError(GateError):
    """A certificate, an audit log, a manifest or a shard is not what was signed for."""


class VaultError(GateError):
    """The quarantine cannot be written or opened."""


class ExchangeError(GateError):
    """A partner's exchange does not answer as it should."""


class StorageError(GateError):
    """A file system refused an operation.

    Args:
        problem: What was refused, and where.
        path: What it was asked about, where that is known: whose error it is goes by that.
    """

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.path = path


class NotLockableError(StorageError):
    """A file system locks nothing of the kind."""


def first_problem(error: "ValidationError") -> str:
    """Returns what is wrong with the first field that is not as it must be; never what it holds."""
    problem = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    said = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said
