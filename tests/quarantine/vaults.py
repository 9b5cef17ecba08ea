"""Small quarantines: sealed samples, and the manifests that name them."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import pyrage

from ingestgate.assets.shard import asset_id
from ingestgate.quarantine.audit_writing import audit_writer
from ingestgate.quarantine.layout import object_id
from ingestgate.quarantine.manifest import ManifestWriter
from ingestgate.quarantine.sealed_manifests import SealedManifest, put_on_record
from ingestgate.quarantine.vault import SealedObject, Vault
from tests.quarantine.test_manifest import row


class Reader(NamedTuple):
    """Somebody who can open what is sealed to them."""

    identity: Any
    recipient: str


def reader() -> Reader:
    identity = pyrage.x25519.Identity.generate()
    return Reader(identity, str(identity.to_public()))


class Sample(NamedTuple):
    """A sample to seal: its key, and the bytes of each of its members."""

    key: str
    members: tuple[bytes, ...] = (b"picture",)


def asset(key: str, number: int = 0, shard: str = "a.tar") -> str:
    return asset_id(shard, f"{key}.{number}.jpg")


def seal(vault: Vault, sample: Sample, shard: str = "a.tar") -> SealedObject:
    files = [(f"{sample.key}.{n}.jpg", content) for n, content in enumerate(sample.members)]
    digest = hashlib.sha256(b"".join(sample.members)).hexdigest()
    return vault.seal(object_id(shard, sample.key, 0, digest), files)


def fill(
    root: Path, recipients: list[str], *samples: Sample, shard: str = "a.tar", context: str = "c0"
) -> dict[str, SealedObject]:
    """Seals samples and writes the manifest of one judging; returns the objects by key."""
    vault = Vault(str(root), recipients)
    sealed = {sample.key: seal(vault, sample, shard) for sample in samples}
    with ManifestWriter(str(root), shard, context * 4) as writer:
        for sample in samples:
            made = sealed[sample.key]
            for number, content in enumerate(sample.members):
                writer.add(
                    row(
                        number,
                        asset_id=asset(sample.key, number, shard),
                        shard=shard,
                        member=f"{sample.key}.{number}.jpg",
                        sample=sample.key,
                        sha256=hashlib.sha256(content).hexdigest(),
                        size=len(content),
                        sealed_object=made.path,
                        sealed_key=made.key_path,
                        sealed_key_sha256=made.key_sha256,
                        sealed_sha256=made.sha256,
                        sealed_size=made.size,
                        package_sha256=made.plain_sha256,
                        recipients=tuple(recipients),
                    )
                )
        writer.publish()
    log_manifests(root)
    return sealed


def log_manifests(root: Path) -> None:
    """Puts the manifests on record as they lie there."""
    made = [
        SealedManifest(path.stem, *(_sha256(path.with_suffix(s)) for s in (".jsonl", ".parquet")))
        for path in (root / "manifest").glob("*.jsonl")
    ]
    with audit_writer(str(root)) as log:
        put_on_record(log, made, None)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(root: Path) -> dict[str, bytes]:
    """Every sealed file of a quarantine, by its path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("keys", "objects")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }
