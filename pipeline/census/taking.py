"""The census: every input member has exactly one verdict, and the outputs show it.

It re-reads landing zone, admitted shards, ledger, manifests and sealed objects, and takes nothing
from the run but what lies there: it imports nothing that plans, judges or commits. With the run it
shares what reads these files, and what names an asset. So that nothing is missed by both, shards
are counted a second time without any of it, see `plain_counting`; it says how many could not be.

Per shard, in reading order: the ledger's rows are the input's assets, one each; the admitted
shard holds exactly the samples of which every asset is admitted, unchanged and in order; every
quarantined asset has one manifest row, whose sealed object is there with the digest stated. Of
what a purge took out of the landing zone there is the purge's receipt, in its place.
"""

import hashlib
from collections.abc import Callable, Sequence, Set
from functools import partial

from ingestgate.assets import storage
from ingestgate.assets.containers.container import ReadOptions, RowContainer
from ingestgate.assets.containers.discovery import discover
from ingestgate.assets.containers.purged_folders import is_purged_folder
from ingestgate.assets.containers.registry import container
from ingestgate.assets.errors import GateError
from ingestgate.assets.receipts import Receipt, read_receipt
from ingestgate.assets.shard import Shard
from ingestgate.pipeline.census import plain_counting
from ingestgate.pipeline.census.comparing import compare_rows, compare_samples
from ingestgate.pipeline.census.evidence import (
    LedgerRows,
    Sealed,
    Vault,
    admitted_of_others,
    ledger_batches,
    purged_assets,
)
from ingestgate.pipeline.census.result import Census
from ingestgate.pipeline.certificate.statements import FOLDER
from ingestgate.quarantine.manifest_checking import check_manifest
from ingestgate.quarantine.sealed_manifests import SealedManifest


def take_census(
    inputs: Sequence[str],
    output: str,
    quarantine: str,
    evidence: str,
    *,
    format: str | None = None,
    options: ReadOptions | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Census:
    """Takes the census of a run.

    Args:
        inputs: The landing zone, as given to the run.
        output: The run's output.
        quarantine: Its quarantine.
        evidence: Its evidence.
        format: As given to the run.
        options: As the run's policy has them.
        tell: Called before each shard with how many of how many are counted.
    """
    census = Census()
    output, quarantine, evidence = map(storage.absolute, (output, quarantine, evidence))
    options = options or ReadOptions()
    expected: set[str] = set()
    vault = Vault(quarantine)
    shards = discover(inputs, format, partial(is_purged_folder, evidence)).shards
    for shard in shards:
        tell(census.shards, len(shards))
        census.shards += 1
        receipt = read_receipt(evidence, shard.name)
        expected.update(entry["name"] for entry in (receipt.outputs if receipt else ()))
        try:
            purged = purged_assets(evidence, shard, receipt)
            if receipt is None or purged is None:
                census.object(f"{shard.name}: no receipt for the shard as it is now")
                continue
            _count_shard(census, shard, receipt, purged, output, vault, evidence, options)
        except GateError as error:
            census.object(str(error))
    names = [entry.path.removeprefix(f"{output}/") for entry in storage.walk_if_there(output)]
    # Below that folder are statements about the output; `verify` looks at them.
    names = [n for n in names if not n.startswith(f"{FOLDER}/") and not _is_among(n, expected)]
    counted = {shard.name for shard in shards}
    others = admitted_of_others(evidence, counted) if names else frozenset()
    for name in names:
        gone = _is_among(name, others)
        why = "its shard is not in the input any more" if gone else "admitted by no receipt"
        census.object(f"{name}: in the output, but {why}")
    return census


def _is_among(name: str, admitted: Set[str]) -> bool:
    """Whether a file is one of those admitted, or lies in an image folder that is."""
    parts = name.split("/")
    return any("/".join(parts[:count]) in admitted for count in range(len(parts), 0, -1))


def _count_shard(
    census: Census,
    shard: Shard,
    receipt: Receipt,
    purged: frozenset[str],
    output: str,
    vault: Vault,
    evidence: str,
    options: ReadOptions,
) -> None:
    if receipt.manifest:
        said = SealedManifest.of(receipt.manifest, receipt.manifest_digests)
        for fault in check_manifest(vault.root, said):
            about = f" ({', '.join(fault.assets)})" if fault.assets else ""
            census.object(f"{shard.name}: {fault.detail}{about}")
    sealed = Sealed(vault, receipt.manifest)
    rows = LedgerRows(census, evidence, shard, receipt, sealed, purged)
    admitted = shard._replace(
        path=storage.join(output, shard.name),
        parts=[storage.join(output, entry["name"]) for entry in receipt.outputs[1:]],
        size=sum(entry["size"] for entry in receipt.outputs),
        identity=hashlib.sha256(repr(receipt.outputs).encode()).hexdigest(),
    )
    reader = container(shard.format)
    if isinstance(reader, RowContainer):
        compare_rows(census, reader, shard, admitted, rows, sealed, options)
    else:
        compare_samples(census, reader, shard, admitted, rows, sealed, options)
    _count_plainly(census, shard, admitted, receipt, evidence, purged)
    if rows.next() is not None:
        census.object(f"{shard.name}: the ledger has rows for assets the input does not hold")
    for name in sealed.unclaimed():
        census.object(f"{shard.name}: the manifest has a row for {name}, the ledger does not")


def _count_plainly(
    census: Census,
    shard: Shard,
    admitted: Shard,
    receipt: Receipt,
    evidence: str,
    purged: frozenset[str],
) -> None:
    held = plain_counting.count(shard)
    let_in = plain_counting.count(admitted) if held is not None and receipt.outputs else None
    if held is None or (receipt.outputs and let_in is None):
        census.counted_once += 1
    if held is None:
        return
    columns = ["asset_id", "member", "position", "verdict", "sidecars"]
    rows = [
        row
        for batch in ledger_batches(evidence, shard, receipt, columns)
        for row in batch.to_pylist()
        if row["asset_id"] not in purged
    ]
    for difference in plain_counting.differences(held, rows, let_in):
        census.object(f"{shard.name}: counted without the gate's readers, there is {difference}")
