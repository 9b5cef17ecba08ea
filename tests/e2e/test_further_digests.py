"""Lists of nothing but a digest that is not taken by itself: SHA-512."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.blocklists import canaries
from ingestgate.blocklists.compiling import compile_list
from ingestgate.transforms.settings import release_judge
from tests.archives import make_tar
from tests.e2e.conftest import Job
from tests.e2e.rescan.conftest import OLD, compiled
from tests.pictures import jpeg

MakeJob = Callable[..., Job]
LISTED, CAPTION = 1, b"listed words"


def landing(root: Path) -> str:
    """Three samples: a listed picture, a listed caption, and nothing."""
    root.mkdir()
    items: list[tuple[str, bytes | None]] = [
        *(("a.jpg", jpeg(LISTED)), ("a.txt", b"words")),
        *(("b.jpg", jpeg(2)), ("b.txt", CAPTION)),
        *(("c.jpg", jpeg(3)), ("c.txt", b"words")),
    ]
    (root / "0.tar").write_bytes(make_tar(items))
    return str(root / "*.tar")


def sha512_list(root: Path, version: int = 1) -> str:
    root.mkdir(exist_ok=True)
    values = [hashlib.sha512(content).hexdigest() for content in (jpeg(LISTED), CAPTION)]
    (root / "sha512").write_text("\n".join(values) + "\n")
    compile_list(
        id="partner",
        version=version,
        sources=[("sha512", str(root / "sha512"))],
        to=str(root / "lists"),
        issued=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return str(root / "lists")


def test_a_list_of_nothing_but_sha512_catches_bytes_and_sidecars(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(landing(tmp_path / "landing"))
    gate.lists = sha512_list(tmp_path / "partner")
    report = gate.report()
    assert report["counts"] == {"admitted": 1, "quarantined": 2, "unscannable": 0}
    assert report["tiers"] == {"exact": 2}
    rows = {row["member"]: row for row in gate.ledger()}
    assert rows["c.jpg"]["sha512"] == hashlib.sha512(jpeg(3)).hexdigest()
    views = {row["member"]: [f["view"] for f in row["findings"]] for row in rows.values()}
    assert views == {"a.jpg": ["content"], "b.jpg": ["sidecar:b.txt"], "c.jpg": []}
    assert gate.census()["exact"]
    # The same lists find nothing more, by what is on record.
    assert rescanned(gate)["matched"] == 0


def test_a_digest_whose_canary_is_missed_is_a_failed_run(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(landing(tmp_path / "landing"))
    with monkeypatch.context() as patch:
        other = {**canaries.PICTURE, "sha512": hashlib.sha512(b"other").hexdigest()}
        patch.setattr(canaries, "PICTURE", other)
        gate.lists = sha512_list(tmp_path / "partner")
    (tmp_path / "policy.yaml").write_text("digest_columns: {}\n")  # by content, or not at all
    release_judge()
    result = gate.run("--policy", str(tmp_path / "policy.yaml"))
    assert result.exit_code == 4
    assert "its sha512 canary was not caught by content" in result.stderr
    assert not gate.root.exists()


@pytest.mark.parametrize("recorded", [True, False])
def test_a_rescan_needs_them_on_record(job: MakeJob, tmp_path: Path, recorded: bool) -> None:
    gate = job(landing(tmp_path / "landing"))
    gate.lists = compiled(tmp_path / "old", 1, OLD)
    (tmp_path / "policy.yaml").write_text(f"digests: {['sha512'] if recorded else []}\n")
    policy = ("--policy", str(tmp_path / "policy.yaml"))
    assert gate.report(*policy)["counts"]["admitted"] == 3
    gate.lists = sha512_list(tmp_path / "partner", 2)
    if recorded:
        assert rescanned(gate, *policy)["matched"] == 2
    else:
        said = rescanned(gate, *policy, code=1)["error"]
        assert "the lists hold sha512, which its ledger lacks" in said


def rescanned(gate: Job, *extra: str, code: int = 0) -> dict[str, Any]:
    result = gate.invoke(
        *("rescan", "--evidence", str(gate.evidence), "--lists", gate.lists),
        *("--workers", "1", "--json", *extra),
    )
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found if code else found["rescans"][0]
