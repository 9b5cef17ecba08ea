"""Every command that changes something, stopped by a fault at any of its changes, then run again.

It fails in a sentence, or has done its work all the same; whatever it left harms nothing; and the
same command again ends as if there had been no fault.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.signing_keys import generate_signing_key, public_line, read_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.quarantine.keys import generate_identity
from ingestgate.quarantine.reviewers import Role, add_reviewer
from tests.e2e.conftest import LISTED_HOST, LISTED_MD5, Job, write_webdataset
from tests.faults.checks import files
from tests.faults.conftest import chosen
from tests.faults.layer import SHORT, FaultLayer

_POINTS = 2  # of some hundreds, per command


@dataclass
class Place:
    """A folder in which everything lies that a command needs; always under the same name.

    Attributes:
        root: The folder.
        gate: A run in it that has ended.
        new: Another recipient's identity file and line.
    """

    root: Path
    gate: Job
    new: tuple[str, str]

    @property
    def key(self) -> str:
        return str(self.root / "key.pem")

    @property
    def vault(self) -> tuple[str, str]:
        return ("--quarantine", str(self.gate.quarantine))

    def said(self, *command: str) -> dict[str, Any]:
        result = self.gate.invoke(*command, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found


def compiled(root: Path, version: int, *types: str) -> None:
    values = {"md5": LISTED_MD5, "domain": LISTED_HOST, "sha1": "ab" * 20}
    for name in types:
        (root / name).write_text(f"{values[name]}\n")
    compile_list(
        id="own",
        version=version,
        sources=[(name, str(root / name)) for name in types],
        to=str(root / "lists"),
        issued=datetime(2026, 1, 1, tzinfo=UTC),
        expires=datetime(2100, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run by lists without any of its sources, of which there is a newer version since."""
    root = tmp_path_factory.mktemp("commands") / "place"
    root.mkdir()
    recipient = generate_identity(str(root / "identity.txt"))
    compiled(root, 1, "md5", "sha1")
    landing = write_webdataset(root / "landing")
    gate = Job(root / "job", [landing], str(root / "lists"), str(root / "identity.txt"), recipient)
    gate.report()
    for name, role in (("key", Role.ADMINISTRATOR), ("other", Role.APPROVER)):
        line = generate_signing_key(str(root / f"{name}.pem"))
        add_reviewer(
            str(gate.quarantine), name, line, role, read_signing_key(str(root / "key.pem"))
        )
    new = generate_identity(str(root / "new.txt"))
    shutil.copytree(root, root.parent / "ready")
    return Place(root, gate, (str(root / "new.txt"), new))


def back(place: Place, state: str) -> None:
    """Puts everything back as it was at some time."""
    shutil.rmtree(place.root)
    shutil.copytree(place.root.parent / state, place.root)


class Purge:
    done = "\0"  # what it says, and is refused with, if all that it does was done before

    def prepare(self, place: Place) -> None: ...

    def command(self, place: Place) -> list[str]:
        return ["purge", "--input", *place.gate.inputs, *place.gate.folders, "--key", place.key]

    def state(self, place: Place) -> Any:
        assert place.gate.census()["exact"]
        receipts = files(place.gate.evidence / "purged")
        return files(place.root / "landing"), place.gate.state(), len(receipts)


class Destroy(Purge):
    def prepare(self, place: Place) -> None:
        (row,) = place.gate.manifest()
        other = ("--key", str(place.root / "other.pem"), "--reason", "asked for")
        order = place.said("quarantine", "destroy", *place.vault, *other, row["asset_id"])
        (place.root / "order").write_text(order["order"])

    def command(self, place: Place) -> list[str]:
        order = (place.root / "order").read_text()
        given = (*place.vault, "--key", place.key, "--approve", order)
        return ["quarantine", "destroy", *given]

    def state(self, place: Place) -> Any:
        found = place.said("quarantine", "check", *place.vault)
        assert place.gate.census()["exact"]
        receipts = list(place.gate.quarantine.glob("destroyed/*.dsse.json"))
        return found["objects"], len(receipts)


class Rewrap(Purge):
    def command(self, place: Place) -> list[str]:
        given = ("--identity", place.gate.identity, "--recipient", place.new[1])
        return ["quarantine", "rewrap", *place.vault, *given, "--key", place.key]

    def state(self, place: Place) -> Any:
        check = ("quarantine", "check", *place.vault)
        opened = place.said(*check, "--identity", place.new[0])["objects"]
        old = place.gate.invoke(*check, "--identity", place.gate.identity, "--json")
        return opened, json.loads(old.stdout)["objects"]


class Rescan(Purge):
    def prepare(self, place: Place) -> None:
        compiled(place.root, 2, "md5", "sha1", "domain")

    def command(self, place: Place) -> list[str]:
        given = ["--evidence", str(place.gate.evidence), "--lists", place.gate.lists]
        return ["rescan", *given, "--key", place.key, "--workers", "1"]

    def state(self, place: Place) -> Any:
        """Recalled once or twice, what is done about it is the same."""
        notices = list((place.gate.evidence / "recalls").glob("*.dsse.json"))
        assert notices
        for path in notices:
            beside = place.gate.output / "_ingestgate" / "recalls" / path.name
            assert beside.read_bytes() == path.read_bytes()
        recall = place.gate.run("--recall")
        assert recall.exit_code == 0, recall.output
        assert place.gate.census()["exact"]
        state = place.gate.state()
        state["output"] = {k: v for k, v in state["output"].items() if k.endswith(".tar")}
        return state


class Recall(Rescan):
    done = "no open recall"

    def prepare(self, place: Place) -> None:
        super().prepare(place)
        result = place.gate.invoke(*super().command(place))
        assert result.exit_code == 0, result.output

    def command(self, place: Place) -> list[str]:
        gate = place.gate
        given = ["--input", *gate.inputs, *gate.folders, "--lists", gate.lists]
        return ["run", "--recall", *given, "--recipient", gate.recipient, "--workers", "1"]

    def state(self, place: Place) -> Any:
        assert place.gate.census()["exact"]
        closed = list((place.gate.evidence / "recalls-closed").iterdir())
        return place.gate.state()["output"].keys(), place.gate.state()["ledger"], len(closed)


class Certify(Purge):
    def command(self, place: Place) -> list[str]:
        gate = place.gate
        given = ["--output", str(gate.output), "--evidence", str(gate.evidence), *place.vault]
        return ["certify", *given, "--lists", gate.lists, "--key", place.key]

    def state(self, place: Place) -> Any:
        public = public_line(read_signing_key(place.key).public_key())
        place.said("verify", str(place.gate.output), "--key", public)
        return files(place.gate.output).keys()


class Compile(Purge):
    def command(self, place: Place) -> list[str]:
        sources = [f"{name}={place.root / name}" for name in ("md5", "sha1")]
        given = ["--id", "more", "--list-version", "7", "--issued", "2026-01-01", *sources]
        return ["lists", "compile", *given, "--to", place.gate.lists]

    def state(self, place: Place) -> Any:
        return files(Path(place.gate.lists))


class Sign(Purge):
    def command(self, place: Place) -> list[str]:
        return ["lists", "sign", "--key", place.key, f"{place.gate.lists}/own-1"]

    def state(self, place: Place) -> Any:
        return files(Path(place.gate.lists))


class Import(Purge):
    def command(self, place: Place) -> list[str]:
        store = str(place.root / "store")
        source = str(place.root / "md5")
        return ["lists", "import", "--partner", "p", "--store", store, "--type", "md5", source]

    def state(self, place: Place) -> Any:
        given = ["--id", "p", "--list-version", "1", "--store", str(place.root / "store")]
        done = place.gate.invoke(
            *("lists", "compile", *given, "--partner", "p", "--issued", "2026-01-01"),
            *("--to", str(place.root / "from-store")),
        )
        assert done.exit_code == 0, done.output
        return files(place.root / "from-store")


COMMANDS = {
    kind.__name__.lower(): kind()
    for kind in (Purge, Destroy, Rewrap, Rescan, Recall, Certify, Compile, Sign, Import)
}


@pytest.fixture
def place(ready: Place) -> Place:
    back(ready, "ready")
    return ready


@pytest.mark.parametrize("name", list(COMMANDS))
def test_stopped_at_any_change_the_same_again_completes_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind = COMMANDS[name]
    kind.prepare(place)
    prepared = f"prepared-{name}"
    shutil.copytree(place.root, place.root.parent / prepared)
    layer = FaultLayer(monkeypatch.setattr, place.root)
    calm: list[Any] = []
    operations = layer.counted(lambda: calm.append(place.gate.invoke(*kind.command(place))))
    assert calm[0].exit_code == 0, calm[0].output
    assert len(operations) > 3
    expected = kind.state(place)
    every: list[tuple[int, str, bool]] = layer.every_fault(operations, cleaning=True)
    for point, fault, for_ever in chosen(every, _POINTS, name):
        back(place, prepared)
        layer.arm(point, fault, for_ever=for_ever)
        tried = place.gate.invoke(*kind.command(place))
        layer.pass_through()
        where = (point, fault, for_ever, operations[point], tried.output)
        assert tried.exception is None or isinstance(tried.exception, SystemExit), where
        assert tried.exit_code in (0, 1, 5), where
        if tried.exit_code == 0:
            assert fault == SHORT or set(layer.struck) & {"unlink", "rmdir", "utime"}, where
        else:
            again = place.gate.invoke(*kind.command(place))
            done = again.exit_code == 0 or kind.done in again.output
            assert done, (where, again.output)
        assert kind.state(place) == expected, where
