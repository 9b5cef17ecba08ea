"""A job judged by an old list, newer lists, and what rescans it by them."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from ingestgate.quarantine.keys import generate_identity
from tests.e2e.conftest import Job, content, write_webdataset

MakeJob = Callable[..., Job]


ISSUED = datetime(2026, 1, 1, tzinfo=UTC)


def pdq_of(seed: int) -> str:
    views = Fingerprinter(["pdq"], DecodeLimits()).fingerprint(content(seed)).perceptual["pdq"]
    return views[0].hashes[:32].hex()


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def compiled(
    root: Path, version: int, entries: dict[str, list[tuple[str, str]]], id: str = "partner"
) -> str:
    """Compiles a version of a partner's list: per signal type, entry ids and values."""
    work = root / f"{id}-{version}"
    work.mkdir(parents=True)
    sources = []
    for name, values in entries.items():
        lines = [f"{value},{entry},A1\n" for entry, value in values]
        (work / name).write_text("value,entry_id,category\n" + "".join(lines))
        sources.append((name, str(work / name)))
    compile_list(id=id, version=version, sources=sources, to=str(root / "lists"), issued=ISSUED)
    return str(root / "lists")


OLD = {
    "md5": [("e-md5", "0123456789abcdef" * 2)],
    "pdq": [("e-pdq", "5a" * 16 + "c3" * 16)],
    "domain": [("e-domain", "elsewhere.example")],
}


def new(md5: int | None = 1, pdq: int | None = 8, host: str = "") -> dict[str, Any]:
    return {
        "md5": OLD["md5"] + ([("n-md5", md5_of(content(md5)))] if md5 is not None else []),
        "pdq": OLD["pdq"] + ([("n-pdq", pdq_of(pdq))] if pdq is not None else []),
        "domain": OLD["domain"] + ([("n-domain", host)] if host else []),
    }


def rescan(job: Job, *extra: str, code: int = 0) -> dict[str, Any]:
    result = job.invoke(
        *("rescan", "--evidence", str(job.evidence), "--lists", job.lists),
        *("--workers", "1", "--json", *extra),
    )
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found["rescans"][0] if code in (0, 10) else found


def verdicts(job: Job) -> dict[tuple[str, str], str]:
    return {(row["shard"], row["member"]): row["verdict"] for row in job.ledger()}


@pytest.fixture
def old_job(job: MakeJob, tmp_path: Path) -> Callable[[str], Job]:
    def make(pattern: str) -> Job:
        made = job(pattern)
        made.lists = compiled(tmp_path, 1, OLD)
        return made

    return make


@pytest.fixture(scope="module")
def judged_by_old(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job judged by the first version of the list, of which there is a second by now."""
    root = tmp_path_factory.mktemp("old")
    recipient = generate_identity(str(root / "identity.txt"))
    lists = compiled(root, 1, OLD)
    pattern = write_webdataset(root / "landing")
    job = Job(root / "job", [pattern], lists, str(root / "identity.txt"), recipient)
    job.report()
    compiled(root, 2, new(host="listed.example"))
    return job
