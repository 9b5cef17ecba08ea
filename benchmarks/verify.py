"""How fast `verify` is, beside ``sha256sum`` on the same files in the same run.

    python -m benchmarks.verify --gigabytes 20 --to DIR --json

Writes shards of random bytes and a certificate of them, then times, in turn, ``sha256sum`` file
by file, ``sha256sum`` on as many files at once as there are cores, and `ingestgate verify`. Once
with the files put out of the page cache before each (``posix_fadvise``), once as the way before
left it; the result says how much of them was in memory. One file cannot be split over cores:
shards should not be huge.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.envelope import Envelope
from ingestgate.pipeline.certificate.statements import (
    PAYLOAD_TYPE,
    Annotations,
    Certificate,
    Evidence,
    ListUse,
    Predicate,
    Screening,
    Subject,
    certificate_path,
)
from ingestgate.pipeline.dataset_verifying import Demands, verify

_BLOCK = 16 << 20


def write_shards(root: Path, size: int, per_shard: int) -> list[Subject]:
    """Writes random shards; returns them as subjects."""
    root.mkdir(parents=True)
    random = np.random.default_rng(20260101)
    subjects = []
    for number in range(max(1, size // per_shard)):
        path = root / f"{number:05d}.tar"
        digest = hashlib.sha256()
        with path.open("wb") as sink:
            for _ in range(per_shard // _BLOCK):
                block = random.bytes(_BLOCK)
                digest.update(block)
                sink.write(block)
            os.fsync(sink.fileno())
        annotations = Annotations(size=path.stat().st_size, screening="s")
        digests = {"sha256": digest.hexdigest()}
        subjects.append(Subject(name=path.name, digest=digests, annotations=annotations))
    return subjects


def certificate(subjects: list[Subject]) -> Certificate:
    """Returns a certificate of random shards."""
    now, zeros = datetime.now(UTC).replace(microsecond=0), "0" * 64
    screening = Screening(
        id="s",
        context_digest=zeros,
        policy_digest=zeros,
        judging_version=1,
        judged_with=(ListUse(id="none", version=1, digest=zeros),),
        canaries={},
        isolation=(),
        software=(),
        shards=len(subjects),
        screened_from=now,
        screened_until=now,
    )
    predicate = Predicate(
        issued_at=now,
        dataset="random bytes",
        screenings=(screening,),
        counts={},
        reasons={},
        evidence=Evidence(ledger_digest=zeros, receipts_digest=zeros),
    )
    return Certificate.of(subjects, predicate)


def forget(paths: list[Path]) -> None:
    """Asks the kernel to put files out of its cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def cached_share(paths: list[Path]) -> float | None:
    """Returns which share of some files is in memory, as `fincore` says; None without it."""
    try:
        command = [
            "fincore",
            "--bytes",
            "--raw",
            "--noheadings",
            "--output",
            "RES",
            *map(str, paths),
        ]
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return sum(map(int, said.split())) / sum(path.stat().st_size for path in paths)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--shard-megabytes", type=int, default=256)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    root = arguments.to / "dataset"
    subjects = write_shards(root, int(arguments.gigabytes * 1e9), arguments.shard_megabytes << 20)
    key = Ed25519PrivateKey.generate()
    envelope = Envelope(PAYLOAD_TYPE, certificate(subjects).payload()).signed(key)
    envelope.write(certificate_path(str(root)))
    paths = [root / subject.name for subject in subjects]
    size = sum(path.stat().st_size for path in paths)
    cores = len(os.sched_getaffinity(0))
    demands = Demands({"benchmark": key.public_key()})

    def verified() -> None:
        found = verify(str(root), demands, datetime.now(UTC))
        assert found.verified, found.problems

    def summed() -> None:
        subprocess.run(["sha256sum", *map(str, paths)], check=True, stdout=subprocess.DEVNULL)

    def summed_at_once() -> None:
        names = "\0".join(map(str, paths)).encode()
        command = ["xargs", "-0", "-n1", f"-P{cores}", "sha256sum"]
        subprocess.run(command, input=names, check=True, stdout=subprocess.DEVNULL)

    ways: dict[str, Callable[[], None]] = {
        "sha256sum": summed,
        f"sha256sum, {cores} at once": summed_at_once,
        "ingestgate verify": verified,
    }
    result = {
        "machine": platform.machine(),
        "cores": cores,
        "files": len(paths),
        "bytes": size,
        "ways": {},
    }
    for state in ("put out of the cache", "as the way before left it"):
        for name, way in ways.items():
            if state.startswith("put out"):
                forget(paths)
            share = cached_share(paths)
            started = time.perf_counter()
            way()
            seconds = time.perf_counter() - started
            result["ways"][f"{name} ({state})"] = {
                "seconds": round(seconds, 2),
                "gigabytes_per_second": round(size / 1e9 / seconds, 3),
                "share_in_memory_before": None if share is None else round(share, 3),
            }
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    for name, figures in result["ways"].items():
        print(f"{name}: {figures['gigabytes_per_second']} GB/s")


if __name__ == "__main__":
    main()
