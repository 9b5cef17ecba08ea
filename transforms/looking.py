"""What assets' pictures look like, and which listed ones they look like."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ingestgate.assets.errors import UsageError
from ingestgate.assets.verdict import Finding, SignalKind
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import signal_types
from ingestgate.fingerprints.fingerprinter import Fingerprint, Fingerprinter
from ingestgate.fingerprints.isolated import IsolatedFingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.fingerprints.unscannable import Unscannable
from ingestgate.fingerprints.views import ORIENTATIONS
from ingestgate.transforms.policy import Policy

AnyFingerprinter = Fingerprinter | IsolatedFingerprinter


@dataclass(slots=True)
class Look:
    """What an asset's pictures look like, or why that cannot be told; and whom they look like."""

    outcome: Fingerprint | Unscannable
    findings: list[Finding] = field(default_factory=list)


class Looker:
    """Fingerprints assets and matches what they look like.

    Args:
        policy: How pictures are decoded, and which hashes are taken whether listed or not.
        lists: The opened lists.
        fingerprinter: What takes perceptual hashes as this policy says; None: the process's own.

    Attributes:
        needed: The perceptual hashes that a list needs.
        hash_bytes: Width in bytes of each that is taken.
        fingerprinter: What takes them; shared by the lookers of a process.

    Raises:
        UsageError: A hash and a signal type of one name cannot be compared.
    """

    def __init__(
        self, policy: Policy, lists: ListSet, fingerprinter: AnyFingerprinter | None = None
    ) -> None:
        kinds = signal_types()
        self.needed = frozenset(
            name for name in lists.signal_types if kinds[name].kind is SignalKind.PERCEPTUAL
        )
        names = sorted(self.needed | set(policy.perceptual))
        _check_widths(names)
        self._lists = lists
        self.fingerprinter = fingerprinter or _fingerprinter(
            policy.decoder, tuple(names), policy.decode_limits(), policy.limits.max_seconds
        )
        known = perceptual_hashes()
        self.hash_bytes = {name: known[name].bits // 8 for name in names}

    def look_at(self, contents: Sequence[bytes]) -> list[Look]:
        """Returns what each of some assets looks like.

        First the quick way. What comes near an entry, or near the quality that is needed, is
        looked at again the exact way, and that decides; so is what the quick way is unsure of.
        """
        quick = self.fingerprinter.fingerprint_many(contents)
        if self.fingerprinter.is_exact:
            return self._match(quick)
        looks = self._match(quick, with_margin=True)
        doubted = [number for number, look in enumerate(looks) if self.is_in_doubt(look)]
        moved = [number for number in doubted if _is_quick(quick[number])]
        again = [contents[number] for number in moved]
        found = self.fingerprinter.fingerprint_many(again, exact=True) if again else []
        exact = dict(zip(moved, found, strict=True))
        matched = self._match([exact.get(number, quick[number]) for number in doubted])
        for number, look in zip(doubted, matched, strict=True):
            looks[number] = look
        return looks

    def is_in_doubt(self, look: Look) -> bool:
        """Whether the exact way could decide otherwise than this look the quick way."""
        if isinstance(look.outcome, Unscannable):
            return False
        return bool(look.findings or look.outcome.doubtful & self.needed)

    def _match(
        self, outcomes: Sequence[Fingerprint | Unscannable], *, with_margin: bool = False
    ) -> list[Look]:
        """Matches what several assets look like: all at once, in less time than one by one."""
        looks = [Look(outcome) for outcome in outcomes]
        seen = [
            (look, look.outcome.perceptual)
            for look in looks
            if isinstance(look.outcome, Fingerprint)
        ]
        for name in sorted(self.needed):
            width = self.hash_bytes[name]
            hashes, labels = [], []
            for _, perceptual in seen:
                views = perceptual[name]
                whole = np.frombuffer(b"".join([view.hashes for view in views]), np.uint8)
                hashes.append(whole.reshape(-1, width))
                labels.append(
                    [
                        label
                        for view in views
                        for label in _labels(view.frame, view.view, len(view.hashes) // width)
                    ]
                )
            margin = perceptual_hashes()[name].margin if with_margin else 0
            found = self._lists.match_perceptual_each(name, hashes, labels, margin=margin)
            for (look, _), findings in zip(seen, found, strict=True):
                look.findings += findings
        return looks


def _is_quick(outcome: Fingerprint | Unscannable) -> bool:
    return isinstance(outcome, Fingerprint) and outcome.is_quick


def _check_widths(names: Iterable[str]) -> None:
    """Refuses a hash and a signal type of one name that are not of one kind and width."""
    signals, known = signal_types(), perceptual_hashes()
    for name in sorted(names):
        signal = signals.get(name)
        if signal is None or name not in known:
            continue
        if signal.kind is not SignalKind.PERCEPTUAL or signal.bits != known[name].bits:
            raise UsageError(
                f"the perceptual hash {name!r} has {known[name].bits} bits, and the {signal.kind} "
                f"signal type {name!r} has {signal.bits}: they cannot be compared. Repair or "
                "uninstall the package of one of them"
            )


@lru_cache(maxsize=1)
def _fingerprinter(
    decoder: str, names: tuple[str, ...], limits: DecodeLimits, max_seconds: int
) -> AnyFingerprinter:
    # Judges that differ in other things share the process that decodes for them.
    if decoder == "in_process":
        return Fingerprinter(names, limits)
    return IsolatedFingerprinter(names, limits, timeout_s=max_seconds)


def release_fingerprinter() -> None:
    """Lets go of the shared fingerprinter; its process ends with the last judge that has it."""
    _fingerprinter.cache_clear()


@lru_cache(maxsize=4096)
def _labels(frame: int, view: str, orientations: int) -> tuple[str, ...]:
    end = f"@{frame}" if frame else ""
    return tuple(f"{view}/{each}{end}" for each in ORIENTATIONS[:orientations])
