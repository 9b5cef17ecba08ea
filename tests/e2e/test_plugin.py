"""A hash that is installed as a package of its own, from a list of it to a recall by it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestgate.blocklists.selftest import self_test
from ingestgate.blocklists.signals import signal_types
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.transforms.settings import release_judge
from tests.e2e.conftest import NEAR, Job, content, write_webdataset
from tests.pictures import jpeg

MakeJob = Callable[..., Job]
LATER = 9
_PACKAGE = Path(__file__).parent / "plugin" / "toy_package.py"


def forget() -> None:
    perceptual_hashes.cache_clear()
    signal_types.cache_clear()
    self_test.cache_clear()
    release_judge()


@pytest.fixture
def _installed(tmp_path: Path) -> Iterator[None]:
    """Installs the package for this process, the workers and the decoders."""
    site = tmp_path / "site"
    info = site / "toy-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(_PACKAGE, site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ingestgate.fingerprints]\ntoyhash = toy_package:Toy\n"
        "[ingestgate.signals]\ntoyhash = toy_package:TOY_SIGNAL\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", str(site))
        forget()
        yield
    forget()


def toyhashes(gate: Job, paths: list[Path]) -> list[str]:
    result = gate.invoke("fingerprint", *map(str, paths), "--hash", "toyhash", "--json")
    values = []
    for line in result.stdout.splitlines():
        (view,) = json.loads(line)["perceptual"]["toyhash"]["views"]
        values.append(view["hashes"]["upright"])
    return values


def compile_listed(gate: Job, root: Path, version: int, listed: dict[int, str]) -> None:
    lines = ["value,entry_id", *(f"{value},toy-{seed}" for seed, value in listed.items())]
    (root / "toy.csv").write_text("\n".join(lines) + "\n")
    result = gate.invoke(
        *("lists", "compile", "--id", "licensed", "--list-version", str(version)),
        *("--to", gate.lists, f"toyhash={root / 'toy.csv'}"),
    )
    assert result.exit_code == 0, result.output


@pytest.mark.usefixtures("_installed")
def test_a_hash_of_another_package_screens_and_rescans(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.lists = str(tmp_path / "own")
    pictures = {seed: tmp_path / f"{seed}.jpg" for seed in (NEAR, LATER)}
    for seed, path in pictures.items():
        path.write_bytes(jpeg(seed))
    listed = dict(zip(pictures, toyhashes(gate, list(pictures.values())), strict=True))
    compile_listed(gate, tmp_path, 1, {NEAR: listed[NEAR]})
    report = gate.report("--workers", "2")
    assert report["counts"] == {"admitted": 11, "quarantined": 1, "unscannable": 0}
    rows = {row["sample"]: row for row in gate.ledger()}
    ((found,), caught) = rows["k05"]["findings"], rows["k05"]
    assert (caught["verdict"], caught["tier"]) == ("quarantined", "near")
    assert (found["signal_type"], found["entry_id"]) == ("toyhash", f"toy-{NEAR}")
    assert (found["view"], found["threshold"]) == ("full/upright", 5)
    assert content(NEAR) != jpeg(NEAR)
    assert rows["k09"]["toyhash"]
    # What each worker's decoder was confined by, they told themselves; the machine is one.
    (kind,) = report["isolation"]
    assert kind["shards"] == 2
    assert kind["measures"]["decoder"] == "in a process of its own"
    assert "confined alike" not in (gate.evidence / "report.html").read_text()

    compile_listed(gate, tmp_path, 2, listed)
    result = gate.invoke(
        *("rescan", "--evidence", str(gate.evidence), "--lists", gate.lists),
        *("--workers", "1", "--json"),
    )
    assert result.exit_code == 0, result.output
    (rescanned,) = json.loads(result.stdout)["rescans"]
    assert rescanned["matched"] + rescanned["to_judge_again"] == 1
    hits = (gate.evidence / "rescan-findings" / f"{rescanned['id']}.jsonl").read_text()
    assert json.loads(hits.splitlines()[0])["asset_id"] == rows["k09"]["asset_id"]
    assert rescanned["recalled"] == ["00001.tar"]
