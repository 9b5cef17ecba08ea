"""No failure of an object store admits anything wrong, and a later run makes it good.

A store's operation may be refused; it may be done and its answer lost; and a rename is a copy and
a removal, of which only the first may be done.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ingestgate.assets import storage
from ingestgate.quarantine.audit import log_path, read_log
from tests.e2e.conftest import LISTED_MD5, WRITERS, Job
from tests.faults.checks import check_nothing_wrong
from tests.faults.conftest import chosen
from tests.faults.test_reading_faults import OTHER_MD5, list_digests
from tests.object_store import ROOT_VARIABLE, ClientError, ObjectStore

MakeJob = Callable[..., Job]
_POINTS = 3  # of about six hundred, per kind of store
_LOG = Path(log_path("")).name
_FOLDERS = ("output", "quarantine", "evidence")
KINDS = [(scheme, format) for scheme in ("teststore", "testtree") for format in WRITERS]


class StoreLayer:
    """Counts what a store is asked and has done, and lets some of it fail.

    Args:
        patch: Sets an attribute, as `pytest.MonkeyPatch.setattr` does.

    Attributes:
        operations: Each so far, and its path.
        struck: Names of those that failed.
        at: Number of the one that fails; None lets everything pass.
        for_ever: Everything after it fails too.
    """

    def __init__(self, patch: Callable[[Any, str, Any], None]) -> None:
        self.operations: list[tuple[str, str]] = []
        self.struck: list[str] = []
        self.at: int | None = None
        self.for_ever = False
        patch(ObjectStore, "_check", lambda _, operation, path: self._strikes(operation, path))

    def arm(self, at: int | None, *, for_ever: bool) -> None:
        """Starts counting anew, and sets what fails."""
        self.operations.clear()
        self.struck.clear()
        self.at, self.for_ever = at, for_ever

    def _strikes(self, operation: str, path: str) -> None:
        number = len(self.operations)
        self.operations.append((operation, path))
        if self.at is None or number < self.at or (number > self.at and not self.for_ever):
            return
        self.struck.append(operation)
        raise ClientError(f"{operation}: service unavailable")


class RemoteJob:
    """A run whose every folder lies on a store; what is there is looked at in a copy."""

    def __init__(self, local: Job, scheme: str, store: Path) -> None:
        self._local, self._store = local, store
        self._bucket = f"{scheme}://bucket"
        root = local.root.parent
        self._landing = sorted((root / "landing").iterdir())
        self._inputs = [pattern.replace(str(root), self._bucket) for pattern in local.inputs]
        self._arguments = [
            part for name in _FOLDERS for part in (f"--{name}", f"{self._bucket}/run/{name}")
        ]
        self.fresh()

    def fresh(self) -> None:
        """Leaves nothing on the store but the landing zone."""
        shutil.rmtree(self._store)
        self._store.mkdir()
        for path in self._landing:
            storage.write_bytes(f"{self._bucket}/landing/{path.name}", path.read_bytes())

    def run(self) -> Result:
        local = self._local
        return local.invoke(
            *("run", "--input", *self._inputs, *self._arguments, "--lists", local.lists),
            *("--recipient", local.recipient, "--workers", "1", "--json"),
        )

    def census(self) -> Result:
        return self._local.invoke("census", "--input", *self._inputs, *self._arguments)

    def events(self) -> list[str]:
        quarantine = f"{self._bucket}/run/quarantine"
        storage.settle(log_path(quarantine))  # as whoever writes the next line does
        return [line.event for line in read_log(quarantine)]

    def copied(self) -> Job:
        """Returns what lies on the store, on the local disk."""
        there = self._local.elsewhere("there")
        shutil.rmtree(there.root, ignore_errors=True)
        for folder in (there.output, there.quarantine, there.evidence):
            folder.mkdir(parents=True)
        for entry in storage.walk(f"{self._bucket}/run", partials=True):
            copy = there.root / entry.path.removeprefix(f"{self._bucket}/run/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(storage.read_bytes(entry.path))
        return there


@pytest.mark.parametrize(("scheme", "format"), chosen(KINDS, 3, "kinds"))
def test_every_operation_can_fail(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, format: str
) -> None:
    local = job(WRITERS[format](tmp_path / "landing"))
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(store))
    remote = RemoteJob(local, scheme, store)
    layer = StoreLayer(monkeypatch.setattr)
    assert remote.run().exit_code == 0
    operations = list(layer.operations)
    assert {name for name, _ in operations} >= {"list", "open", "upload", "rename", "renamed"}
    layer.arm(None, for_ever=False)
    expected = remote.copied().state()
    points = [(at, for_ever) for at in range(len(operations)) for for_ever in (False, True)]
    for at, for_ever in chosen(points, _POINTS, (scheme, format)):
        layer.arm(None, for_ever=False)
        remote.fresh()
        layer.arm(at, for_ever=for_ever)
        tried = remote.run()
        met, struck = list(layer.operations), list(layer.struck)
        where = (at, for_ever, *met[min(at, len(met) - 1)], tried.output)
        layer.arm(None, for_ever=False)
        assert struck, where
        assert tried.exception is None or isinstance(tried.exception, SystemExit), where
        there = remote.copied()
        check_nothing_wrong(there, expected["output"], where)
        if tried.exit_code == 0:
            assert there.state() == expected, where
        begun = remote.events()
        renamed = [path for name, path in met[:at] if name == "renamed"]
        logged = [path for path in renamed if _LOG in path and storage.is_partial(path)]
        assert len(begun) >= len(logged), where
        again = remote.run()
        assert again.exit_code == 0, (where, again.output)
        assert remote.copied().state() == expected, where
        assert remote.census().exit_code == 0, where
        # What was logged stays so.
        assert remote.events()[: len(begun)] == begun, where


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
def test_what_was_sealed_before_is_not_let_out(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A match that has been withdrawn from its list since; nothing is taken for not there."""
    local = job(WRITERS["webdataset"](tmp_path / "landing"))
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(store))
    remote = RemoteJob(local, scheme, store)
    list_digests(local, 1, LISTED_MD5, OTHER_MD5)
    assert remote.run().exit_code == 0
    assert [row["reason"] for row in remote.copied().manifest()] == ["matched"]
    list_digests(local, 2, OTHER_MD5)
    before = tmp_path / "before"
    shutil.copytree(store, before)

    def again(at: int | None) -> Result:
        shutil.rmtree(store)
        shutil.copytree(before, store)
        layer.arm(at, for_ever=False)
        result = remote.run()
        layer.arm(None, for_ever=False)
        return result

    layer = StoreLayer(monkeypatch.setattr)
    layer.arm(None, for_ever=False)
    assert remote.run().exit_code == 0
    operations = list(layer.operations)
    expected = remote.copied().state()
    assert {row["reason"] for row in remote.copied().manifest()} == {"matched", "matched_before"}
    for at in chosen(range(len(operations)), _POINTS, scheme):
        tried = again(at)
        where = (at, *operations[at], tried.output)
        assert tried.exception is None or isinstance(tried.exception, SystemExit), where
        check_nothing_wrong(remote.copied(), expected["output"], where)
        if tried.exit_code:
            assert remote.run().exit_code == 0, where
        assert remote.copied().state() == expected, where
