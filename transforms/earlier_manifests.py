"""Which manifests say what was sealed of a shard before, each held against what is on record of it.

Whoever changes one for the time of a run would have let out what only it keeps. So the driver
compares each with its digest, by the audit log and by the receipts, before anything is judged; and
hands the digest on, so that a worker goes by those bytes and no others.

Two kinds are taken as they lie there, for to take more is safe: what no record names, a killed
run's; and the one that the rules in force leave themselves: judging the shard finds it again, and
a commit that was killed may have replaced it without a word.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.receipts import Receipt, read_receipts
from ingestgate.assets.shard import Shard
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.manifest import manifest_name, manifest_stem
from ingestgate.quarantine.manifest_reading import (
    manifest_names,
    manifest_path,
    require_as_sealed,
)
from ingestgate.quarantine.presence import refuse_lost_log
from ingestgate.quarantine.sealed_manifests import sealed_manifests
from ingestgate.transforms.earlier_matches import EarlierManifest
from ingestgate.transforms.settings import RunSettings

_THREADS = 16


def earlier_manifests(
    settings: RunSettings, shards: Sequence[Shard], todo: Sequence[Shard]
) -> dict[str, tuple[EarlierManifest, ...]]:
    """Returns the manifests that a quarantine holds of the shards that are to be judged, by name.

    Args:
        settings: The run's settings.
        shards: All of its shards. What receipts name has to be there of each: what is judged anew
            would be let out, what is finished would be without what it stands on.
        todo: Those that are to be judged.

    Raises:
        EvidenceError: A manifest that is on record of them is missing or was changed, or the audit
            log is gone, or does not hold.
        StorageError: They cannot be listed or read.
    """
    root = settings.quarantine
    refuse_lost_log(root)
    receipts = {
        name: receipt
        for name, receipt in sorted(read_receipts(settings.evidence, shards).items())
        if receipt.manifest
    }
    _require_there(root, receipts)
    said = {name: one.jsonl for name, one in sealed_manifests(read_log(root)).items()}
    # Who writes the log anew as well has not changed the evidence.
    said |= {each.manifest: each.manifest_digests["jsonl"] for each in receipts.values()}
    there = manifest_names(root)
    by_shard: dict[str, list[str]] = {}
    for name in sorted(there | set(said)):
        by_shard.setdefault(name.rpartition("-")[0], []).append(name)
    found: dict[str, tuple[EarlierManifest, ...]] = {}
    for shard in todo:
        own = manifest_stem(shard.name, settings.manifest_context(shard))
        found[shard.name] = tuple(
            EarlierManifest(name, "" if name == own else said.get(name, ""))
            for name in by_shard.get(manifest_name(shard.name), ())
            if name in there or name != own
        )
    recorded = (each for several in found.values() for each in several if each.sha256)
    with ThreadPoolExecutor(_THREADS) as pool:  # object stores answer slowly, but many at a time
        for _ in pool.map(lambda each: require_as_sealed(root, *each), recorded):
            pass
    return {name: several for name, several in found.items() if several}


def _require_there(quarantine: str, receipts: Mapping[str, Receipt]) -> None:
    for name, receipt in receipts.items():
        path = manifest_path(quarantine, receipt.manifest)
        if not storage.exists(path):
            raise EvidenceError(
                f"{name}: {path}: what was sealed of it is on record there, and the file is gone; "
                "give the quarantine of the earlier run, or put the manifest back"
            )
