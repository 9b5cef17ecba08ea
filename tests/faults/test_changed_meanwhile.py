"""Whoever writes to the landing zone during a run: what was not judged is not admitted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets import storage
from ingestgate.assets.containers import folder_index
from ingestgate.assets.containers.copying import ShardCopy
from ingestgate.transforms import committing, judge, verifying
from tests.e2e import conftest
from tests.e2e.conftest import LISTED_HOST, Job
from tests.faults import zones
from tests.faults.zones import ZONES

MakeJob = Callable[..., Job]
_CHANGED = 1  # the picture whose source becomes a listed one; in the first range of its shard
#: A format, and how many ranges a shard has.
CASES = [
    *((format, "one") for format in ("webdataset", "folder", "parquet", "img2dataset", "urls")),
    ("img2dataset", "several"),
]


class Landing:
    """A landing zone of one format, and another to replace it, in which one source more is listed.

    Args:
        format: The format.
        root: Folder for both.
        patch: Undone when the other is written.
    """

    def __init__(self, format: str, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._here, self._other = root / "landing", root / "other"
        self.pattern = ZONES[format](self._here)
        url = conftest.url
        listed = f"https://{LISTED_HOST}/".ljust(len(url(_CHANGED)), "x")  # all else stays in place
        with patch.context() as changed:
            for module in (conftest, zones):
                changed.setattr(
                    module, "url", lambda seed: listed if seed == _CHANGED else url(seed)
                )
            ZONES[format](self._other)
        # Of a trio the rows alone: a tar's members are each compared with what was judged.
        self._files = "*.parquet" if format == "img2dataset" else "*"
        self.replaced = False

    @contextmanager
    def replaced_for_a_moment(self) -> Iterator[None]:
        """Has the other in its place until the block ends."""
        before = {path: path.read_bytes() for path in self._here.iterdir()}
        self.replace()
        yield
        for path, content in before.items():
            path.write_bytes(content)

    def replace(self) -> None:
        """Replaces it, once."""
        if self.replaced:
            return
        self.replaced = True
        for path in self._other.rglob(self._files):
            if path.is_file():
                path.replace(self._here / path.relative_to(self._other))
        for cached in (folder_index._listing, folder_index._index):
            cached.cache_clear()  # another worker would not have it


def admitted(gate: Job) -> dict[str, bytes]:
    return {
        str(path.relative_to(gate.output)): path.read_bytes()
        for path in gate.output.rglob("*")
        if path.is_file()
    }


@pytest.fixture(params=CASES, ids=" ".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def landing(case: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Landing:
    return Landing(case[0], tmp_path, monkeypatch)


@pytest.fixture
def ranges(case: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
    """A policy by which every shard has so many ranges."""
    path = tmp_path / "policy.yaml"
    path.write_text("range_bytes: 1\n" if case[1] == "several" else "{}\n")
    return ("--policy", str(path))


def check(gate: Job, *allowed: dict[str, bytes]) -> None:
    """What is admitted is what undisturbed runs admit; if it is not all, it is said why."""
    there = admitted(gate)
    assert there.items() <= {item for each in allowed for item in each.items()}
    if gate.results[-1].exit_code:
        assert "no longer what was judged" in gate.results[-1].output
    else:
        assert any(there == each for each in allowed)


def test_while_it_is_judged(
    job: MakeJob, landing: Landing, ranges: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(landing.pattern)
    undisturbed, after = gate.elsewhere("undisturbed"), gate.elsewhere("after")
    undisturbed.report(*ranges)
    judged = judge._judge

    def judged_and_replaced(*arguments: Any) -> Iterator[Any]:
        yield from judged(*arguments)
        landing.replace()

    with monkeypatch.context() as patch:
        patch.setattr(judge, "_judge", judged_and_replaced)
        gate.run(*ranges)
    assert landing.replaced
    after.report(*ranges)
    check(gate, admitted(undisturbed), admitted(after))


@pytest.mark.parametrize("case", [("gzipped", "one"), ("parquet", "one"), ("urls", "one")])
def test_while_a_shard_without_a_match_is_copied(
    job: MakeJob, case: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the copy that is compared, whatever the shard is again by then."""
    monkeypatch.setattr(zones, "SEEDS", (0, _CHANGED, 2))
    monkeypatch.setattr(conftest, "SAMPLES", 3)
    landing = Landing(case[0], tmp_path, monkeypatch)
    gate = job(landing.pattern)

    def copied(*arguments: Any) -> ShardCopy:
        with landing.replaced_for_a_moment():
            return ShardCopy(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(committing, "ShardCopy", copied)
        gate.run()
    assert gate.results[-1].exit_code == 1
    assert "no longer what was judged" in gate.results[-1].output
    assert admitted(gate) == {}
    gate.report()
    assert gate.census()["counts"]["admitted"] == 3


def test_while_it_is_written(
    job: MakeJob, landing: Landing, ranges: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(landing.pattern)
    undisturbed = gate.elsewhere("undisturbed")
    undisturbed.report(*ranges)
    verify = verifying.verify_range

    copied: list[Path] = []

    def verified_and_replaced(*arguments: Any) -> None:
        verify(*arguments)
        copied.extend(path for path in gate.evidence.rglob("*") if storage.is_partial(path.name))
        landing.replace()

    monkeypatch.setattr(committing, "verify_range", verified_and_replaced)
    gate.run(*ranges)
    assert landing.replaced
    check(gate, admitted(undisturbed))
    assert not copied, "pictures in the evidence, which holds their hashes alone"
    assert not list(gate.root.rglob("*.partial"))
