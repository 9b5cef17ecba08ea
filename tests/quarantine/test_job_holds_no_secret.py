"""Sealing leaves nothing behind in its process that would open what was sealed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ingestgate.quarantine.keys import generate_identity

#: Seals as a worker does, then looks at every object that is alive in the process; and again with
#: a key, and with a key's text, that is kept on purpose.
WORKER = r"""
import gc, json, logging, os, pickle, re, sys
from ingestgate.transforms.commit import CommitShard
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import RunSettings
from ingestgate.quarantine.vault import Vault
import pyrage

root, recipient = sys.argv[1:]
logging.basicConfig(level=0)
settings = RunSettings(
    Policy(), "lists", "ab", "output", root, "evidence", "", (recipient,), "", "0"
)
step = pickle.loads(pickle.dumps(CommitShard(settings)))
vault = Vault(root, step._settings.recipients)
sealed = vault.seal("ab" * 20, [("a.jpg", b"picture")])
failed = []
os.chmod(root + "/objects", 0o700)
os.rename(root + "/objects", root + "/aside")
open(root + "/objects", "w").close()
try:
    vault.seal("cd" * 20, [("a.jpg", b"picture")])
except Exception as error:  # its traceback keeps the frames, as a log of errors would
    failed.append(error)
assert failed
os.remove(root + "/objects")
os.rename(root + "/aside", root + "/objects")
def look(each, found):
    if str(type(each).__module__).startswith("pyrage") and "Identity" in type(each).__name__:
        found.append(repr(type(each)))
    if isinstance(each, bytes | bytearray):
        each = bytes(each).decode("latin-1")
    if isinstance(each, str) and re.search("AGE-SECRET-KEY-1[A-Z0-9]{58}", each):
        found.append("a secret key's text")
def search():
    found = []
    for container in gc.get_objects():
        for each in gc.get_referents(container):
            look(each, found)
    return found
said = {"found": search(), "opening": "ingestgate.quarantine.opening" in sys.modules,
        "logging": "ingestgate.quarantine.audit_writing" in sys.modules,
        "path": sealed.path, "key": sealed.key_path}
vault.kept = [pyrage.x25519.Identity.generate()]
said["found with a key"] = search()
vault.kept = ["-".join(["AGE-SECRET-KEY", "1TEXT" * 20])]
said["found with a text"] = search()
print(json.dumps(said))
"""


class Worker(NamedTuple):
    vault: Path
    told: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """What was found alive in the process, and all that it said."""
    root = tmp_path_factory.mktemp("worker")
    recipient = generate_identity(str(root / "key.txt"))
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(root / "vault"), recipient],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    return Worker(root / "vault", json.loads(done.stdout), done.stdout + done.stderr)


def test_no_secret_is_alive_after_sealing_nor_said(worker: Worker) -> None:
    assert worker.told["found"] == []
    assert worker.told["opening"] is False
    assert worker.told["logging"] is False, "the driver alone writes to the audit log"
    assert not re.search("AGE-SECRET-KEY", worker.said)


def test_no_secret_lies_in_the_vault(worker: Worker) -> None:
    files = [path for path in worker.vault.rglob("*") if path.is_file()]
    assert len(files) == 3  # one whole copy, and the key of the one that failed
    for path in files:
        assert b"AGE-SECRET-KEY" not in path.read_bytes()


@pytest.mark.parametrize(("kept", "told"), [("key", "Identity"), ("text", "a secret key's text")])
def test_the_search_finds_what_is_kept(worker: Worker, kept: str, told: str) -> None:
    found = worker.told[f"found with a {kept}"]
    assert found
    assert all(told in each for each in found)
