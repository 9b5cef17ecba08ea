"""Several evidence folders whose runs seal into one quarantine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import Job, write_webdataset
from tests.e2e.purge.conftest import purged

MakeJob = Callable[..., Job]


@dataclass
class Sharing(Job):
    """A job with output and evidence of its own, and a quarantine that is not."""

    @property
    def quarantine(self) -> Path:
        return self.root.parent / "quarantine"


def sharing(job: Job, name: str) -> Job:
    root = job.root.parent / name
    return Sharing(root, job.inputs, job.lists, job.identity, job.recipient)


def test_a_run_by_the_same_rules_with_other_evidence_leaves_what_the_first_sealed(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    first, second = sharing(gate, "first"), sharing(gate, "second")
    first.report()
    sealed = {path: path.read_bytes() for path in (first.quarantine / "manifest").iterdir()}
    second.report()
    for path, content in sealed.items():
        assert path.read_bytes() == content, f"{path.name}: replaced by another run's"
    assert len(list((first.quarantine / "manifest").iterdir())) == 2 * len(sealed)
    for each in (first, second):
        found = each.census()
        assert found["exact"], found["problems"]
        assert each.report("--no-resume")["counts"]["quarantined"] == 3
        assert {a["outcome"] for a in purged(each, "--dry-run")["shards"]} == {"would_purge"}
    # Each replaces its own by its own, and nobody else's.
    assert len(list((first.quarantine / "manifest").iterdir())) == 2 * len(sealed)
    vault = ["quarantine", "check", "--quarantine", str(first.quarantine)]
    assert first.invoke(*vault, "--remove-unnamed").exit_code == 0
    for each in (first, second):
        checked = first.invoke(*vault, "--evidence", str(each.evidence))
        assert checked.exit_code == 0, checked.output


def test_evidence_that_was_moved_is_still_the_same(job: MakeJob, tmp_path: Path) -> None:
    gate = sharing(job(write_webdataset(tmp_path / "landing")), "first")
    gate.report()
    names = {path.name for path in (gate.quarantine / "manifest").iterdir()}
    moved = sharing(gate, "moved")
    gate.root.rename(moved.root)
    moved.report("--no-resume")
    assert {path.name for path in (gate.quarantine / "manifest").iterdir()} == names


def test_evidence_with_a_damaged_id_is_refused(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_webdataset(tmp_path / "landing"))
    gate.report()
    path = gate.evidence / "id"
    path.write_text("")
    refused = gate.run("--no-resume")
    assert refused.exit_code == 5
    assert f"{path}: damaged; put it back, or remove it" in refused.stderr
    path.unlink()
    assert gate.report("--no-resume")["counts"]["quarantined"] == 3
    assert gate.census()["exact"]
