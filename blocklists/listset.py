"""Opens the compiled lists of a folder, and refuses all of them if one is not as it must be.

Every list is checked before it is believed: signature, format, files, sizes, digests, widths,
order, counts, expiry. Worker processes open the same lists without reading every byte again,
against the digest of the set that the run began with.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, Self

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.assets.verdict import Action, SignalKind
from ingestgate.blocklists import tables
from ingestgate.blocklists.canaries import canary_rows
from ingestgate.blocklists.exemptions import Exemption, exemption_in_force
from ingestgate.blocklists.manifest import (
    MANIFEST,
    UNEXPIRING,
    ListInfo,
    check_threshold,
    read_manifest,
)
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.open_list import OpenList
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.trust import ANYBODY, SIDE_FILES, Trust


@dataclass(frozen=True, slots=True)
class ListOverride:
    """What the policy says of one list instead of the list itself.

    Attributes:
        action: What a match does; None leaves it to the list.
        thresholds: Largest matching distance per perceptual signal type.
    """

    action: str | None = None
    thresholds: Mapping[str, int] = field(default_factory=dict)


class _Found(NamedTuple):
    directory: str
    info: ListInfo


class ListSet(Matcher):
    """The lists of one run; opened once per process, see `open`.

    Attributes:
        infos: What the lists in use say of themselves, by id, overrides applied.
        superseded: Older versions that lie in the folder and are not used.
        exemptions: By list id, the exceptions under which expired lists are in use.
        in_force_until: When the first of the lists expires, or the exception ends by which one
            is in use; None if none ever does.
        digest: Hex SHA-256 over the ids, versions and digests of the lists in use.
        signal_types: Names of the signal types that any list in use holds.
    """

    def __init__(
        self,
        lists: Sequence[OpenList],
        superseded: Sequence[ListInfo] = (),
        exemptions: Mapping[str, Exemption] | None = None,
    ) -> None:
        super().__init__(lists)
        self.infos = tuple(one.info for one in self.lists)
        self.superseded = tuple(superseded)
        self.exemptions = dict(exemptions or {})
        self.in_force_until = min(self._ends(), default=None)
        self.digest = _digest(self.infos)

    @classmethod
    def open(
        cls,
        directory: str,
        *,
        now: datetime,
        overrides: Mapping[str, ListOverride] | None = None,
        verify: bool = True,
        expected_digest: str | None = None,
        trust: Trust = ANYBODY,
    ) -> Self:
        """Opens every compiled list below a folder; of each id, the highest version.

        Args:
            directory: The folder; one that has a ``list.json`` itself is a set of one.
            now: The time lists must be issued and not expired at, with a time zone.
            overrides: What the policy says of lists, by list id.
            verify: Hash every file and check its order. Workers leave it out, and say with
                ``expected_digest`` which lists they were to find.
            expected_digest: `digest` of the set that was verified before.
            trust: Whose signatures lists need; without keys, nobody's. With keys, each list has
                to state when it expires, too.

        Raises:
            ListError: A list is refused; the message says which, why, and what to do.
            UsageError: An override is of no list there is, or does not fit it.
            StorageError: The folder cannot be read.
        """
        if now.tzinfo is None:
            raise UsageError("now needs a time zone")
        found = _discover(directory, trust)
        newest: dict[str, _Found] = {}
        for one in sorted(found, key=lambda one: (one.info.id, one.info.version)):
            newest[one.info.id] = one
        exemptions = {}
        for one in newest.values():
            if exemption := _check_time(one, now, trust):
                exemptions[one.info.id] = exemption
        used = [newest[name] for name in sorted(newest)]
        if expected_digest is not None and _digest([one.info for one in used]) != expected_digest:
            raise ListError(
                f"{directory}: the lists are not those the run began with; start the run again"
            )
        changed = _overridden(used, overrides or {})
        superseded = [one.info for one in found if one not in used]
        return cls([_open_list(one, verify=verify) for one in changed], superseded, exemptions)

    def have_expired(self, now: datetime) -> bool:
        """Whether a list that was in force when it was opened is so no longer."""
        return self.in_force_until is not None and now > self.in_force_until

    def _ends(self) -> Iterator[datetime]:
        for info in self.infos:
            if exemption := self.exemptions.get(info.id):
                yield exemption.until
            elif info.expires is not None:
                yield info.expires

    def showing_canaries(self) -> "ListSet":
        """Returns the same lists with their canaries as entries like all others."""
        shown = [replace(one, canaries={}) for one in self.lists]
        return ListSet(shown, self.superseded, self.exemptions)


def _digest(infos: Sequence[ListInfo]) -> str:
    lines = "".join(f"{info.id} {info.version} {info.digest}\n" for info in infos)
    return hashlib.sha256(lines.encode()).hexdigest()


def _discover(directory: str, trust: Trust) -> list[_Found]:
    """Returns every list below a folder, its ``list.json`` read and its files all there."""
    files = storage.walk_if_there(directory)
    names: dict[str, set[str]] = {}
    for file in files:
        names.setdefault(storage.parent(file.path), set()).add(storage.basename(file.path))
    if not storage.is_remote(directory):
        _refuse_links(directory)
    found: list[_Found] = []
    for folder, present in sorted(names.items()):
        if MANIFEST in present:
            found.append(_read(folder, present, trust))
        elif any(name.endswith(tables.file_name("")) for name in present):
            raise ListError(
                f"{folder}: the files of a list without their {MANIFEST}, so it was not compiled "
                "or copied to the end; compile it again, or remove the folder"
            )
    if not found:
        raise ListError(
            f"{directory}: no compiled list there; compile one with 'ingestgate lists compile'"
        )
    seen: dict[tuple[str, int], str] = {}
    for one in found:
        key = (one.info.id, one.info.version)
        if key in seen:
            raise ListError(
                f"{one.directory}: {one.info.name} lies in {seen[key]} as well; remove one"
            )
        seen[key] = one.directory
    return found


def _refuse_links(directory: str) -> None:
    """A linked folder would be passed over in silence, and its list with it."""
    for folder, below, _ in os.walk(directory):
        for name in below:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                raise ListError(
                    f"{path}: a link to a folder, which is not followed; put the list itself there"
                )


def _read(folder: str, present: set[str], trust: Trust) -> _Found:
    path = storage.join(folder, MANIFEST)
    content = storage.read_bytes(path)
    signed_by = trust.signers(folder, content)
    info = read_manifest(path, content)
    wanted = set(info.files) | {MANIFEST}
    for name in sorted(wanted - present):
        raise ListError(f"{folder}: {name} is missing; copy or compile the list again")
    for name in sorted(present - wanted - SIDE_FILES):
        raise ListError(
            f"{folder}: {name} does not belong to {info.name}; remove it, or copy the list again"
        )
    return _Found(folder, info.model_copy(update={"signed_by": signed_by}))


def _check_time(one: _Found, now: datetime, trust: Trust) -> Exemption | None:
    """Returns the exception that an expired list needs."""
    info = one.info
    if info.issued > now:
        raise ListError(
            f"{one.directory}: {info.name} is issued in the future ({info.issued.isoformat()}); "
            "check this machine's clock and the date given when compiling"
        )
    if info.expires is None:
        if trust.keys and trust.lists_signed:
            raise ListError(f"{one.directory}: {info.name} {UNEXPIRING}")
        return None
    if now <= info.expires:
        return None
    if exemption := exemption_in_force(one.directory, info, now, trust):
        return exemption
    raise ListError(
        f"{one.directory}: {info.name} expired on {info.expires.isoformat()}; "
        "get the partner's current list and compile it as a higher version"
    )


def _overridden(used: Sequence[_Found], overrides: Mapping[str, ListOverride]) -> list[_Found]:
    """Returns the lists with what the policy says of them."""
    unknown = sorted(set(overrides) - {one.info.id for one in used})
    if unknown:
        raise UsageError(
            f"the policy speaks of list {unknown[0]!r}, which is not there; "
            f"there are {', '.join(one.info.id for one in used)}"
        )
    changed = []
    for directory, info in used:
        override = overrides.get(info.id, ListOverride())
        action = info.action if override.action is None else override.action
        if action not in tuple(Action):
            raise UsageError(f"list {info.id}: action {action!r} is none of {', '.join(Action)}")
        for name, threshold in override.thresholds.items():
            try:
                check_threshold(name, threshold, info.counts)
            except ValueError as error:
                raise UsageError(f"list {info.id}: the policy gives {error}") from None
        update = {
            "action": Action(action),
            "thresholds": {**info.thresholds, **override.thresholds},
        }
        changed.append(_Found(directory, info.model_copy(update=update)))
    return changed


def _open_list(found: _Found, *, verify: bool) -> OpenList:
    directory, info = found
    files = tables.TableFiles(directory, info.files, verify=verify)
    values = {}
    indexes = {}
    for name, count in sorted(info.counts.items()):
        signal = signal_type(name)
        values[name] = files.sorted_values(name, signal.width, count, info.entries)
        if signal.kind is not SignalKind.PERCEPTUAL:
            continue
        if name not in info.thresholds:
            raise ListError(f"{directory}: no threshold for {name}; compile the list again")
        if tables.file_name(tables.index_name(name)) in info.files:
            indexes[name] = files.index(name, values[name])
    url_hosts = None
    if "url" in info.counts:
        url_hosts = files.sorted_values(tables.URL_HOSTS, signal_type("url").width, None, 0)
    entries, feedback = files.entries(info.entries), files.feedback(info.entries)
    canaries = canary_rows(info.canaries, values, entries.column(0))
    screens = {}
    for table in (table for name in info.counts for table in tables.SCREENS.get(name, ())):
        listed = url_hosts if table == tables.URL_HOSTS else values[table]
        if listed is not None and (screen := files.screen(table, listed)) is not None:
            screens[table] = screen
    return OpenList(info, values, indexes, url_hosts, entries, feedback, canaries, screens)
