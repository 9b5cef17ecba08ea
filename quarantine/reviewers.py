"""Who may do what in a quarantine: people, by their keys and roles.

There is no file of people. Who they are follows from the audit log: an administrator's signed
lines add and remove them, so a registry changed by hand is a log that does not hold. The first
administrator adds themself, and that is the log's first line of a person: check by a checkpoint,
or by asking them, that it is theirs.

The name of who acts follows from their key, never from what they type.
"""

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.signing_keys import parse_public_line, public_line
from ingestgate.quarantine.audit import AuditLine, read_log
from ingestgate.quarantine.audit_writing import AuditWriter, audit_writer

ADDED: Final = "reviewer.added"
REMOVED: Final = "reviewer.removed"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Role(IntEnum):
    """What a person may do; each role may do what those before it may."""

    VIEWER = 1  #: see metadata
    REVIEWER = 2  #: open assets, decide, ask for release or destruction, sign suppressions
    APPROVER = 3  #: approve what somebody else asked for, tidy up what killed runs left
    ADMINISTRATOR = 4  #: add and remove people, change who can open the quarantine


ROLES: Final = tuple(role.name.lower() for role in Role)

#: The events that only people bring about, and the least role it takes. A line of any other event
#: is a machine's and changes nobody's state.
NEEDED: Final[Mapping[str, Role]] = MappingProxyType(
    {
        ADDED: Role.ADMINISTRATOR,
        REMOVED: Role.ADMINISTRATOR,
        "asset.viewed": Role.VIEWER,
        "manifest.listed": Role.VIEWER,
        "manifest.exported": Role.VIEWER,
        "asset.opened": Role.REVIEWER,
        "asset.decided": Role.REVIEWER,
        "release.requested": Role.REVIEWER,
        "release.approved": Role.APPROVER,
        "suppression.signed": Role.REVIEWER,
        "destroy.requested": Role.REVIEWER,
        "destroy.begun": Role.APPROVER,
        "destroy.done": Role.APPROVER,
        "vault.removing_unnamed": Role.APPROVER,
        "manifests.accepted": Role.APPROVER,
        "vault.rewrap_begun": Role.ADMINISTRATOR,
        "vault.rewrap_announced": Role.ADMINISTRATOR,
        "vault.rewrap_done": Role.ADMINISTRATOR,
    }
)

#: Of these, what may be done, by whomever, as long as nobody is known yet.
UNTIL_KNOWN: Final = frozenset(
    (
        "vault.removing_unnamed",
        "manifests.accepted",
        "vault.rewrap_begun",
        "vault.rewrap_announced",
        "vault.rewrap_done",
    )
)


class Reviewer(NamedTuple):
    """A person.

    Attributes:
        name: Theirs alone.
        key: Public line of their signing key.
        role: What they may do.
    """

    name: str
    key: str
    role: Role


class Registry:
    """The people of a quarantine, as of some line of its log; `names` holds who wrote each line."""

    def __init__(self, lines: Iterable[AuditLine] = (), where: str = "the audit log") -> None:
        self._by_key: dict[str, Reviewer] = {}
        self._where = where
        self.names: list[str] = []
        for line in lines:
            self.apply(line)

    @property
    def people(self) -> list[Reviewer]:
        """Everybody, by name."""
        return sorted(self._by_key.values())

    def apply(self, line: AuditLine) -> None:
        """Takes the next line in.

        Raises:
            EvidenceError: It says that somebody did what they had no right to.
        """
        author = self._by_key.get(line.key)
        self.names.append(author.name if author else "")
        if line.event not in NEEDED:
            return
        problem = self._problem(line, author)
        if problem:
            raise EvidenceError(f"{self._where}:{line.number}: {line.event}: {problem}")
        if line.event == ADDED:
            added = _reviewer(line)
            if added:
                self._by_key[added.key] = added
                self.names[-1] = self._by_key[line.key].name
        elif line.event == REMOVED:
            gone = self.named(str(line.fields.get("name")))
            if gone:
                del self._by_key[gone.key]

    def _problem(self, line: AuditLine, author: Reviewer | None) -> str:
        if line.event == ADDED:
            added = _reviewer(line)
            if added is None:
                return "names nobody"
            if self.named(added.name) or added.key in self._by_key:
                return "that name or key is somebody's already"
            if not self._by_key:
                first = added.key == line.key and added.role is Role.ADMINISTRATOR
                return "" if first else "the first administrator adds themself"
        if not self._by_key and line.event in UNTIL_KNOWN:
            return ""
        if author is None:
            return "not signed by anybody who was known then"
        if author.role < NEEDED[line.event]:
            return f"{author.name} was {author.role.name.lower()}"
        if line.event == REMOVED:
            return self.problem_of_removing(str(line.fields.get("name")))
        return ""

    def problem_of_removing(self, name: str) -> str:
        """Returns why a person cannot be removed, "" if they can."""
        gone = self.named(name)
        if gone is None:
            return "there is nobody of that name"
        administrators = [p for p in self._by_key.values() if p.role is Role.ADMINISTRATOR]
        if administrators == [gone]:
            return "the last administrator cannot be removed"
        return ""

    def named(self, name: str) -> Reviewer | None:
        """Returns the person of a name."""
        return next((p for p in self._by_key.values() if p.name == name), None)

    def holder(self, key: Ed25519PrivateKey, role: Role) -> Reviewer:
        """Returns the person a private key is of, if they may do what takes a role.

        Raises:
            UsageError: Nobody's key, or their role is too low.
        """
        person = self._by_key.get(public_line(key.public_key()))
        if person is None:
            raise UsageError(
                "nobody of this quarantine has that key; an administrator adds people with "
                "'ingestgate quarantine reviewers add'"
            )
        if person.role < role:
            raise UsageError(
                f"{person.name} is {person.role.name.lower()}; this takes the role "
                f"{role.name.lower()}"
            )
        return person

    def keys(self, role: Role = Role.VIEWER) -> dict[str, Ed25519PublicKey]:
        """Returns the public keys of all who have at least a role, by name."""
        return {p.name: parse_public_line(p.key) for p in self.people if p.role >= role}


def _reviewer(line: AuditLine) -> Reviewer | None:
    name, key, role = (line.fields.get(field) for field in ("name", "key", "role"))
    if not (isinstance(name, str) and isinstance(key, str) and role in ROLES):
        return None
    try:
        parse_public_line(key)
    except ValueError:
        return None
    return Reviewer(name, key, Role[str(role).upper()]) if _NAME.fullmatch(name) else None


def registry(root: str) -> Registry:
    """Returns the people of a quarantine.

    Raises:
        EvidenceError: The log does not hold, or says that somebody did what they might not.
        StorageError: It cannot be read.
    """
    return Registry(read_log(root))


def act(
    writer: AuditWriter, event: str, fields: Mapping[str, object], key: Ed25519PrivateKey
) -> AuditLine:
    """Appends what a person does, if they may; it is durable when this returns.

    Raises:
        UsageError: The key is nobody's, or their role is too low.
        EvidenceError: The log does not hold.
        StorageError: It cannot be written; then the act must not go on.
    """
    Registry(writer.lines).holder(key, NEEDED[event])
    return writer.add(event, fields, key)


def add_reviewer(
    root: str, name: str, key: str, role: Role, administrator: Ed25519PrivateKey
) -> Reviewer:
    """Adds a person; the first is the administrator whose key it is.

    Raises:
        UsageError: They cannot be added, or not by this key.
        EvidenceError, StorageError: As `act` does.
    """
    try:
        line = public_line(parse_public_line(key))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    if not _NAME.fullmatch(name):
        raise UsageError(
            "a name is up to 64 letters, digits, dots, dashes and underscores, "
            "the first of them a letter or digit"
        )
    person = Reviewer(name, line, role)
    with audit_writer(root) as writer:
        known = Registry(writer.lines)
        if not known.people:
            require_first(line, role, administrator)
        else:
            known.holder(administrator, Role.ADMINISTRATOR)
        if any(name == p.name or line == p.key for p in known.people):
            raise UsageError(
                "that name or key is somebody's already; to give somebody another role, remove "
                "them and add them again"
            )
        fields = {"name": name, "key": line, "role": role.name.lower()}
        writer.add(ADDED, fields, administrator)
    return person


def require_first(key: str, role: Role, administrator: Ed25519PrivateKey) -> None:
    """Refuses whom nobody can add as the first person of a quarantine.

    Args:
        key: Their public line.
        role: What they are to be.
        administrator: Whose key it is to be done with.

    Raises:
        UsageError: They are no administrator, or somebody else than whose key it is.
    """
    if public_line(administrator.public_key()) != key.strip() or role is not Role.ADMINISTRATOR:
        raise UsageError(
            "nobody is known here yet: the first is an administrator, who adds themself with their "
            "own key"
        )


def remove_reviewer(root: str, name: str, administrator: Ed25519PrivateKey) -> None:
    """Removes a person; what they signed stays.

    Raises:
        UsageError: There is no such person, they are the last administrator, or not by this key.
        EvidenceError, StorageError: As `act` does.
    """
    with audit_writer(root) as writer:
        known = Registry(writer.lines)
        known.holder(administrator, Role.ADMINISTRATOR)
        problem = known.problem_of_removing(name)
        if problem:
            raise UsageError(f"{name}: {problem}")
        writer.add(REMOVED, {"name": name}, administrator)
