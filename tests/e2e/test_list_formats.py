"""Every partner format from its documented sample to a quarantined asset, by the command line."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestgate.blocklists.entries import Entry
from ingestgate.blocklists.signals import SignalType
from ingestgate.blocklists.store import stored_entries
from tests.e2e.conftest import Job

ROOT = Path(__file__).parents[2]
SAMPLES = "tests/blocklists/samples"
PAGE = (ROOT / "docs" / "list-formats.md").read_text("utf-8")
IMPORTS = re.findall(rf"^ingestgate (lists import --store .* {SAMPLES}/\S+)$", PAGE, re.MULTILINE)
#: What the sample of hashed expressions is known to hold; hashes cannot be read back.
HASHED = "https://orchard.example/anything.jpg"


def asset(signal: SignalType, entry: Entry) -> dict[str, str]:
    """Returns a row of a manifest that points at an asset which the entry is about."""
    if signal.name == "domain":
        host = entry.value.decode()
        below = host.startswith("*.")
        return {"url": f"https://{'x.' if below else ''}{host.lstrip('*.=')}/picture.jpg"}
    if signal.name == "url":
        return {"url": f"https://{entry.value.decode()}"}
    return {"url": HASHED} if signal.name == "expression" else {signal.name: entry.value.hex()}


@pytest.mark.parametrize("command", IMPORTS, ids=lambda command: command.rpartition("/")[2])
def test_a_partners_files_become_a_signed_list_that_a_run_quarantines_by(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    shutil.copytree(ROOT / SAMPLES, tmp_path / SAMPLES)
    monkeypatch.chdir(tmp_path)
    gate = job(str(tmp_path / "landing" / "*.jsonl"))
    arguments = shlex.split(command)
    partner = arguments[arguments.index("--partner") + 1]
    done = gate.invoke(*arguments)
    assert done.exit_code == 0, done.output
    done = gate.invoke(
        *("lists", "compile", "--id", "sample", "--list-version", "1", "--store", "store"),
        *("--partner", partner, "--expires", "2100-01-01", "--to", "lists"),
    )
    assert done.exit_code == 0, done.output
    key = gate.invoke("keys", "signing", "--to", "key.pem").stdout.strip()
    done = gate.invoke("lists", "sign", "--key", "key.pem", "lists/sample-1")
    assert done.exit_code == 0, done.output
    Path("policy.yaml").write_text(json.dumps({"trust": {"keys": {"partner": key}}}))

    listed = [
        (entry.entry_id, asset(signal, entry))
        for signal, entries in stored_entries("store", partner)
        for entry in entries
        if signal.name != "expression" or not entry.value.hex().startswith("5c18")
    ]
    rows = [{"key": str(number), **row} for number, (_, row) in enumerate(listed)]
    rows.append({"key": "clean", "url": "https://fine.example/picture.jpg"})
    Path("landing").mkdir()
    Path("landing/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    gate.lists = "lists"
    report = gate.report("--policy", "policy.yaml", "--format", "url-manifest")
    assert report["lists"][0]["signed_by"] == ["partner"]
    assert report["counts"] == {"admitted": 1, "quarantined": len(listed), "unscannable": 0}
    by = {
        (row["position"], finding["entry_id"])
        for row in gate.ledger()
        for finding in row["findings"]
    }
    assert {(number, entry_id) for number, (entry_id, _) in enumerate(listed)} <= by
    for row in gate.manifest():
        assert {found["list_id"] for found in row["findings"]} == {"sample"}
    # Nothing that is listed is said by anything that was called.
    said = "".join(result.output for result in gate.results)
    assert not [value for _, row in listed for value in row.values() if value in said]
