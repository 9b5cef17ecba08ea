"""A purge through the command line, and what it leaves of a landing zone."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import Result

from ingestgate.assets.envelope import Envelope
from ingestgate.quarantine.destruction_receipts import (
    ORDER_TYPE,
    RECEIPT_TYPE,
    DestroyedCopy,
    DestructionOrder,
    DestructionReceipt,
    OrderedSample,
    order_path,
    receipt_path,
)
from tests.e2e.conftest import SAMPLES, Job, content

KEYS = {f"k{seed:02d}" for seed in range(SAMPLES)}


def purge(gate: Job, *extra: str) -> Result:
    return gate.invoke("purge", "--input", *gate.inputs, *gate.folders, *extra)


def purged(gate: Job, *extra: str, code: int = 0) -> dict[str, Any]:
    result = purge(gate, "--json", *extra)
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def landing(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def admitted_by(gate: Job) -> dict[str, bytes]:
    """The output, under the names of the landing zone."""
    return {name.removeprefix("landing/"): raw for name, raw in landing(gate.output).items()}


def keys(root: Path, format: str) -> set[str]:
    """The keys of the samples that lie in the landing zone."""
    if format == "webdataset":
        found = set()
        for path in root.glob("*.tar"):
            with tarfile.open(path) as tar:
                found |= {name.split(".")[0] for name in tar.getnames()}
        return found
    if format == "parquet":
        return set(pq.read_table(root / "train.parquet")["key"].to_pylist())
    rows = (root / "metadata.jsonl").read_text().splitlines()
    named = {json.loads(line)["file_name"].split(".")[0] for line in rows}
    assert named == {path.stem for path in root.glob("*.jpg")}
    return named


def forge_receipt(gate: Job, row: dict[str, Any]) -> None:
    """Leaves an order and a receipt of the destruction of a sample that nobody has signed."""
    sample = row["sealed_object"].split("/")[2]
    two = {"requested_by": "ann", "software": "0.1.0"}
    order = DestructionOrder(
        samples=(OrderedSample(sample=sample, assets=(row["asset_id"],)),),
        reason="none",
        requested_at="2026-01-02T03:04:05Z",
        **two,
    )
    receipt = DestructionReceipt(
        sample=sample,
        assets=(row["asset_id"],),
        copies=(DestroyedCopy(object=row["sealed_object"], named=True),),
        reason="none",
        approved_by="rob",
        order_sha256=order.sha256,
        destroyed_at="2026-01-02T03:04:05Z",
        **two,
    )
    vault = str(gate.quarantine)
    Envelope(ORDER_TYPE, order.encoded()).write(order_path(vault, order.id))
    Envelope(RECEIPT_TYPE, receipt.encoded()).write(receipt_path(vault, sample))


def write_caught(root: Path) -> str:
    """Writes a folder in which every picture is listed; returns it."""
    root.mkdir(parents=True)
    (root / "k03.jpg").write_bytes(content(3))
    return str(root)
