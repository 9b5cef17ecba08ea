import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestgate.blocklists.compiling import compile_list
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from tests.pictures import jpeg

LISTED_EXACT, LISTED_NEAR, LISTED_OBSERVED = 1, 2, 3


@pytest.fixture(scope="session")
def lists(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three lists: ``exact`` and ``near`` quarantine, ``watch`` only observes."""
    root = tmp_path_factory.mktemp("lists")
    fingerprinter = Fingerprinter(["pdq", "phash"], DecodeLimits())

    def hashed(seed: int, name: str, width: int) -> str:
        views = fingerprinter.fingerprint(jpeg(seed)).perceptual[name]
        return views[0].hashes[:width].hex()

    def source(name: str, *values: str) -> tuple[str, str]:
        path = root / f"{name}-{abs(hash(values))}.txt"
        path.write_text("\n".join(values) + "\n")
        return name, str(path)

    exact = hashlib.md5(jpeg(LISTED_EXACT), usedforsecurity=False).hexdigest()
    near = [source("pdq", hashed(LISTED_NEAR, "pdq", 32))]
    near.append(source("phash", hashed(LISTED_NEAR, "phash", 8)))
    observed = [source("pdq", hashed(LISTED_OBSERVED, "pdq", 32))]
    domains = source("domain", "listed.example")
    for name, sources, action in (
        ("exact", [source("md5", exact), domains], "quarantine"),
        ("near", near, "quarantine"),
        ("watch", observed, "observe"),
    ):
        compile_list(
            id=name,
            version=1,
            sources=sources,
            to=str(root / "compiled"),
            issued=datetime(2026, 1, 1, tzinfo=UTC),
            action=action,
        )
    return str(Path(root / "compiled"))
