"""What holds at every moment, however a run ended."""

from pathlib import Path

from tests.e2e.conftest import Job


def files(root: Path) -> dict[str, bytes]:
    """Returns what is under a final name below a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not any(part.endswith(".partial") for part in path.parts)
    }


def check_nothing_wrong(gate: Job, expected: dict[str, bytes], where: object) -> None:
    """Whatever is admitted is right, and what was taken out of it lies in the vault."""
    admitted = files(gate.output)
    for name, content in admitted.items():
        assert content == expected[name], where
    rows = gate.manifest()
    for row in rows:
        assert (gate.quarantine / row["sealed_key"]).exists(), where
        assert (gate.quarantine / row["sealed_object"]).exists(), where
    sealed = {row["shard"] for row in rows}
    for row in gate.ledger():
        shard = row["shard"]
        if row["verdict"] == "quarantined" and any(
            f"{n}/".startswith(f"{shard}/") for n in admitted
        ):
            assert shard in sealed, where
