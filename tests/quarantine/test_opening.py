"""The job cannot open its vault: no code that a worker runs reaches what holds secret keys."""

import grimp
import pytest

OPENING = "ingestgate.quarantine.opening"
#: What only people use, with a secret key.
PEOPLES = {OPENING, "ingestgate.quarantine.rewrapping"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("ingestgate", cache_dir=None)


def test_only_the_command_line_imports_it(graph: grimp.ImportGraph) -> None:
    importers = {
        module for each in PEOPLES for module in graph.find_modules_that_directly_import(each)
    } - PEOPLES
    assert importers
    assert all(
        module.startswith("ingestgate.pipeline.") and ("cli" in module or "command" in module)
        for module in importers
    ), importers


def test_nothing_a_worker_runs_reaches_it(graph: grimp.ImportGraph) -> None:
    reachers = graph.find_upstream_modules  # what a module imports, in any number of steps
    rooms = ("assets", "fingerprints", "blocklists", "transforms", "quarantine")
    worker = {
        module
        for module in graph.modules
        if module.split(".")[1:2] and module.split(".")[1] in rooms and module not in PEOPLES
    }
    assert len(worker) > 5
    assert [module for module in sorted(worker) if OPENING in reachers(module)] == []


def test_the_job_itself_reaches_it_only_through_the_command_line(graph: grimp.ImportGraph) -> None:
    job = {
        module
        for module in graph.modules
        if module.startswith("ingestgate.pipeline.")
        and "cli" not in module
        and "command" not in module
    }
    offenders = {m for m in job if OPENING in graph.find_upstream_modules(m)}
    # Package modules (`__init__`, `__main__`) only start the command line.
    assert {m for m in offenders if not m.endswith("__main__")} == set()


def test_secret_keys_are_decoded_nowhere_else(graph: grimp.ImportGraph) -> None:
    import importlib.util
    from pathlib import Path

    for module in graph.modules - {OPENING}:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text("utf-8")
        assert "Identity.from_" not in source, module
        assert "pyrage.decrypt" not in source, module
