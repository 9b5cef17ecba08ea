import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from ingestgate.assets import storage
from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.pipeline.cli import cli
from ingestgate.quarantine.keys import generate_identity
from tests.archives import make_tar
from tests.object_store import ROOT_VARIABLE
from tests.pictures import encoded, jpeg, picture

#: Seeds of what is planted: by digest, by perceptual hash, by source.
EXACT, NEAR, SOURCE = 3, 5, 7
SAMPLES = 12
LISTED_HOST = "listed.example"
LISTED_MD5 = hashlib.md5(jpeg(EXACT), usedforsecurity=False).hexdigest()
CAUGHT = {"k03": "exact", "k05": "near", "k07": "source"}


def listed_pdq() -> str:
    views = Fingerprinter(["pdq"], DecodeLimits()).fingerprint(jpeg(NEAR)).perceptual["pdq"]
    return views[0].hashes[:32].hex()


def content(seed: int) -> bytes:
    """The picture of one sample; the one listed by its hash is recompressed."""
    return encoded(picture(seed), quality=55) if seed == NEAR else jpeg(seed)


def url(seed: int) -> str:
    host = LISTED_HOST if seed == SOURCE else "fine.example"
    return f"https://img.{host}/{seed}.jpg"


@dataclass
class Job:
    """One run of the command line on a landing zone, in this process."""

    root: Path
    inputs: list[str]
    lists: str
    identity: str
    recipient: str
    results: list[Result] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def evidence(self) -> Path:
        return self.root / "evidence"

    def elsewhere(self, name: str) -> "Job":
        """The same input, with outputs of its own."""
        root = self.root.parent / name
        return Job(root, self.inputs, self.lists, self.identity, self.recipient)

    def copied(self, root: Path) -> "Job":
        """A copy of it with all that it has done so far."""
        shutil.copytree(self.root, root)
        (root / "evidence" / "output.json").unlink(missing_ok=True)
        return Job(root, self.inputs, self.lists, self.identity, self.recipient)

    @property
    def folders(self) -> list[str]:
        return [
            *("--output", str(self.output), "--quarantine", str(self.quarantine)),
            *("--evidence", str(self.evidence)),
        ]

    def invoke(self, *arguments: str) -> Result:
        result = CliRunner().invoke(cli, list(arguments))
        self.results.append(result)
        return result

    @property
    def run_arguments(self) -> list[str]:
        return [
            *("run", "--input", *self.inputs, *self.folders, "--lists", self.lists),
            *("--recipient", self.recipient, "--workers", "1", "--json"),
        ]

    @property
    def census_arguments(self) -> list[str]:
        return ["census", "--input", *self.inputs, *self.folders, "--json"]

    def run(self, *extra: str) -> Result:
        return self.invoke(*self.run_arguments, *extra)

    def report(self, *extra: str, code: int = 0) -> dict[str, Any]:
        result = self.run(*extra)
        assert result.exit_code == code, result.output
        report: dict[str, Any] = json.loads((self.evidence / "report.json").read_text())
        return report

    def census(self) -> dict[str, Any]:
        result = self.invoke(*self.census_arguments)
        found: dict[str, Any] = json.loads(result.stdout)
        assert result.exit_code == (0 if found["exact"] else 1)
        return found

    def ledger(self) -> list[dict[str, Any]]:
        if not list((self.evidence / "ledger").rglob("*.parquet")):
            return []
        table = ds.dataset(self.evidence / "ledger", format="parquet").to_table()
        rows: list[dict[str, Any]] = table.sort_by(
            [("shard", "ascending"), ("position", "ascending")]
        ).to_pylist()
        return rows

    def manifest(self) -> list[dict[str, Any]]:
        paths = sorted((self.quarantine / "manifest").glob("*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def state(self) -> dict[str, Any]:
        """All that must not depend on how often a run was interrupted."""
        # Objects are named for their ciphertext, which has new keys each time. A copy that a
        # killed run left behind is named by no manifest.
        volatile = {"sealed_key_sha256", "sealed_sha256", "sealed_size", "judged_at", "sealed_at"}
        named = {"sealed_object", "sealed_key"}
        return {
            "output": {
                str(path.relative_to(self.output)): path.read_bytes()
                for path in sorted(self.output.rglob("*"))
                if path.is_file()
            },
            "ledger": self.ledger(),
            "manifest": [
                {
                    key: Path(value).parent if key in named else value
                    for key, value in row.items()
                    if key not in volatile
                }
                for row in self.manifest()
            ],
            "objects": sorted(
                {
                    Path(row[name]).parent.name
                    for row in self.manifest()
                    for name in named
                    if (self.quarantine / row[name]).is_file()
                }
            ),
            "receipts": sorted(path.name for path in (self.evidence / "receipts").rglob("*.json")),
        }


@pytest.fixture(scope="session")
def lists(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("partner")
    sources = []
    for name, value in (("md5", LISTED_MD5), ("pdq", listed_pdq()), ("domain", LISTED_HOST)):
        (root / name).write_text(f"value,entry_id,category\n{value},entry-{name},A1\n")
        sources.append((name, str(root / name)))
    compile_list(
        id="partner",
        version=3,
        sources=sources,
        to=str(root / "lists"),
        issued=datetime(2026, 1, 1, tzinfo=UTC),
        expires=datetime(2100, 1, 1, tzinfo=UTC),
    )
    return str(root / "lists")


@pytest.fixture
def job(tmp_path: Path, lists: str) -> Callable[..., Job]:
    identity = str(tmp_path / "identity.txt")
    recipient = generate_identity(identity)

    def make(*inputs: str) -> Job:
        return Job(tmp_path / "job", list(inputs), lists, identity, recipient)

    return make


def write_webdataset(root: Path, per_shard: int = 6) -> str:
    root.mkdir(parents=True)
    for start in range(0, SAMPLES, per_shard):
        items: list[tuple[str, bytes | None]] = []
        for seed in range(start, start + per_shard):
            text = json.dumps({"url": url(seed), "caption": f"number {seed}"}).encode()
            items += [(f"k{seed:02d}.jpg", content(seed)), (f"k{seed:02d}.json", text)]
        (root / f"{start // per_shard:05d}.tar").write_bytes(make_tar(items))
    return str(root / "*.tar")


def write_parquet(root: Path) -> str:
    root.mkdir(parents=True)
    features = {"image": {"_type": "Image"}, "url": {"dtype": "string", "_type": "Value"}}
    features["key"] = features["url"]
    text = pa.string()
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", text)])),
            ("url", text),
            ("key", text),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [
        {
            "image": {"bytes": content(seed), "path": f"k{seed:02d}.jpg"},
            "url": url(seed),
            "key": f"k{seed:02d}",
        }
        for seed in range(SAMPLES)
    ]
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, root / "train.parquet", row_group_size=4)
    return str(root / "*.parquet")


def write_folder(root: Path) -> str:
    root.mkdir(parents=True)
    lines = []
    for seed in range(SAMPLES):
        (root / f"k{seed:02d}.jpg").write_bytes(content(seed))
        lines.append(json.dumps({"file_name": f"k{seed:02d}.jpg", "url": url(seed)}) + "\n")
    (root / "metadata.jsonl").write_text("".join(lines))
    return str(root)


WRITERS = {"webdataset": write_webdataset, "parquet": write_parquet, "folder": write_folder}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are never contacted: whatever tries to, fails the test."""
    import socket

    def refused(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"tried to connect to {address}")

    def unresolved(*arguments: Any, **more: Any) -> None:
        raise AssertionError("tried to resolve a name")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)


def read_only(patch: pytest.MonkeyPatch, folder: Path, but: Path | None = None) -> None:
    """Makes a folder's file system one that is mounted read-only, but for a folder in it."""
    real = os.open

    def refusing(path: Any, flags: int, *arguments: Any, **more: Any) -> int:
        inside = str(path).startswith(f"{folder}/") and not str(path).startswith(f"{but}/")
        if flags & os.O_CREAT and inside:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return real(path, flags, *arguments, **more)

    patch.setattr(os, "open", refusing)


def on_store(
    job: Callable[..., Job],
    pattern: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bucket: str,
) -> tuple[Job, list[str], list[str]]:
    """Puts a landing zone on a store; returns a local job, the folders' options and a run's."""
    here = job(pattern)
    (tmp_path / "store").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "store"))
    for path in sorted((tmp_path / "landing").iterdir()):
        storage.write_bytes(f"{bucket}/landing/{path.name}", path.read_bytes())
    where = ["--input", pattern.replace(str(tmp_path), bucket)]
    for name in ("output", "quarantine", "evidence"):
        where += [f"--{name}", f"{bucket}/run/{name}"]
    listed = ["--lists", here.lists, "--recipient", here.recipient, "--workers", "1"]
    return here, where, ["run", *where, *listed]
