"""What the steps of one run share; small, picklable, and without any secret."""

import functools
import gc
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from ingestgate.assets import storage
from ingestgate.assets.receipts import receipt_path
from ingestgate.assets.shard import Shard
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.selftest import self_test as lists_self_test
from ingestgate.blocklists.suppressions import NOWHERE, Suppressions, SuppressionSource
from ingestgate.fingerprints.selftest import self_test as fingerprints_self_test
from ingestgate.transforms.canaries import check_canaries
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.looking import release_fingerprinter
from ingestgate.transforms.policy import ListTrust, Policy

#: Raised whenever the same bytes, policy and lists could give another verdict or other
#: fingerprints than before, so that older ledger parts are not taken for current.
JUDGING_VERSION = 12


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where a run reads and writes, and by which rules.

    Attributes:
        policy: The effective policy.
        lists: Folder of compiled lists.
        lists_digest: Hex digest of the list set that the driver verified.
        output, quarantine, evidence: Root folders.
        dataset: The input as the run was told.
        recipients: Public age recipients; workers never see anything that opens the vault.
        progress: A folder on the driver's machine for progress notes, or "".
        software: Version of the program.
        dry_run: Judge and report, but write neither output nor quarantine.
        suppressions: Those that the driver verified.
        evidence_id: Of the evidence folder, see `evidence.evidence_id`.
    """

    policy: Policy
    lists: str
    lists_digest: str
    output: str
    quarantine: str
    evidence: str
    dataset: str
    recipients: tuple[str, ...]
    progress: str
    software: str
    dry_run: bool = False
    suppressions: SuppressionSource = NOWHERE
    evidence_id: str = ""

    @property
    def context(self) -> str:
        """Hex digest of all that decides a verdict.

        Policy, lists, suppressions, the judging's version.
        """
        return context_digest(self.policy, self.lists_digest, self.suppressions.digest)

    @property
    def ledger(self) -> str:
        """Root of the ledger."""
        return f"{self.evidence}/ledger"

    @property
    def tried(self) -> str:
        """Folder of what a dry run must not put in the place of a real run's evidence."""
        return f"{self.evidence}/dry-run"

    @property
    def notes(self) -> str:
        """Folder below which it is noted what could not be done."""
        return self.tried if self.dry_run else self.evidence

    def manifest_context(self, shard: Shard) -> str:
        """Returns the hex digest that a shard's manifest has its name from.

        What an earlier judging sealed, or an earlier content of the shard, stays on record under
        a name of its own. So does what a run with other evidence sealed by the same rules: its
        receipts are of those very bytes.
        """
        text = f"{self.context} {shard.identity} {self.evidence_id}"
        return hashlib.sha256(text.encode()).hexdigest()

    def ledger_of(self, shard: str) -> str:
        """Returns the root of the ledger that a shard's parts are written to.

        The ledger of a shard that is committed, or that a run which was killed has published, is
        evidence of what was admitted. A dry run leaves it as it is: what it judges of such a shard
        lies apart.
        """
        if self.dry_run and (
            storage.exists(receipt_path(self.evidence, shard))
            or storage.is_there(storage.join(self.output, shard))
        ):
            return f"{self.tried}/ledger"
        return self.ledger


def policy_digest(policy: Policy) -> str:
    """Returns the hex SHA-256 of a policy's canonical JSON."""
    text = json.dumps(policy.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def context_digest(policy: Policy, lists_digest: str, suppressions_digest: str = "") -> str:
    """Returns the hex digest that ledger parts and receipts are bound to.

    Who has to have signed lists and suppressions is left out: another key changes no verdict.

    Args:
        policy: The policy.
        lists_digest: Of the lists in use.
        suppressions_digest: Of the suppressions in force, "" without any.
    """
    judging = policy.model_copy(update={"trust": ListTrust()})
    return digest_of_rules(
        JUDGING_VERSION, policy_digest(judging), lists_digest, suppressions_digest
    )


def digest_of_rules(
    judging_version: int, policy_digest: str, lists_digest: str, suppressions_digest: str
) -> str:
    """Returns the context digest of rules that are known by their digests."""
    text = f"{judging_version}\n{policy_digest}\n{lists_digest}\n"
    if suppressions_digest:
        text += f"{suppressions_digest}\n"
    return hashlib.sha256(text.encode()).hexdigest()


def open_judge(
    policy: Policy,
    lists: str,
    lists_digest: str | None = None,
    suppressions: SuppressionSource = NOWHERE,
) -> Judge:
    """Opens a judge for this process, after it has shown that it catches what it must.

    Args:
        policy: The policy.
        lists: Folder of compiled lists.
        lists_digest: The set that was verified before; None verifies it now.
        suppressions: Those that were verified before.

    Raises:
        ListError: Lists or suppressions are refused, or are not those that were verified.
        SelfTestError: A fingerprint or a matcher does not give its known answer, or misses a
            list's canary.
    """
    return _open_judge(policy.model_dump_json(), lists, lists_digest, suppressions)


def open_judge_in_force(
    policy: Policy, lists: str, lists_digest: str, suppressions: SuppressionSource, now: datetime
) -> Judge:
    """Opens a judge as `open_judge` does, but never one whose lists have expired by now.

    A process keeps its judge, and may live longer than the lists do. They are opened anew then,
    which refuses them unless an exception has been made meanwhile.

    Raises:
        ListError: A list has expired, or as of `open_judge`.
    """
    judge = open_judge(policy, lists, lists_digest, suppressions)
    if not judge.lists.have_expired(now):
        return judge
    _open_judge.cache_clear()
    return open_judge(policy, lists, lists_digest, suppressions)


def open_suppressions(policy: Policy, source: SuppressionSource) -> Suppressions:
    """Opens in a worker the suppressions that the driver verified; raises as `open_judge`."""
    if not source.path:
        return Suppressions()
    return Suppressions.open(
        source.path,
        policy.trust.for_suppressions(),
        now=datetime.fromisoformat(source.at),
        expected_digest=source.digest,
    )


def release_judge() -> None:
    """Lets go of this process's judge, and of the process that decodes for it."""
    _open_judge.cache_clear()
    release_fingerprinter()


@functools.lru_cache(maxsize=1)
def _open_judge(
    policy_json: str, lists: str, lists_digest: str | None, suppressions: SuppressionSource
) -> Judge:
    # One judge a process: the steps of a fused stage, and bundle after bundle, share it.
    policy = Policy.model_validate_json(policy_json)
    fingerprints_self_test()
    lists_self_test()
    opened = ListSet.open(
        lists,
        now=datetime.now(UTC),
        overrides=policy.list_overrides(),
        verify=lists_digest is None,
        expected_digest=lists_digest,
        trust=policy.trust.opened(),
    )
    judge = Judge(policy, opened, open_suppressions(policy, suppressions))
    check_canaries(judge)
    _keep_what_is_loaded()
    return judge


@functools.cache
def _keep_what_is_loaded() -> None:
    """Spares garbage collections what is loaded by now: looking at it took 2 % of a run.

    Once, as what is garbage already is kept too.
    """
    gc.freeze()
