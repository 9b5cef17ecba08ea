# `make demo`, `make demo-review`, `make test` and `make bench` each set up what they need and run it.
PYTHON ?= python3.11
BIN := .venv/bin
BENCH := .venv-bench/bin
# One more than there are cores: some tests wait, for processes or for a disk.
JOBS ?= $(shell $(BIN)/python -c 'import os; print(len(os.sched_getaffinity(0)) + 1)')
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Kept, where the environment says otherwise: tests start many processes, and each would compile
# all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-review test faults bench check clean

demo: .venv/demo.installed
	$(BIN)/ingestgate demo

# Two people and a newer list, on what `make demo` left behind.
demo-review: .venv/demo.installed
	test -e demo/.ingestgate-demo || $(BIN)/ingestgate demo
	$(BIN)/python -m ingestgate.pipeline.demo_review

test: .venv/dev.installed check
	$(BIN)/pytest -n $(JOBS) --dist worksteal

# Every fault at every place; hours. `make test` tries a seeded few of them.
faults: .venv/dev.installed
	INGESTGATE_FAULTS=all $(BIN)/pytest -n $(JOBS) --dist worksteal tests/faults

# All benchmarks, peers beside them, on the pictures below IMAGES or the demo's; an hour and a half.
# SMALL=1 tries all of it out in minutes. Writes benchmarks/results.json and the page beside it.
bench: .venv-bench/bench.installed
	$(BENCH)/python -m benchmarks $(if $(IMAGES),--images '$(IMAGES)') $(if $(SMALL),--small)

check: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.installed: requirements/demo.txt setup.py | .venv/bin/python
	$(PIP) --require-hashes -r requirements/demo.txt
	$(PIP) --no-deps -e .
	touch $@

.venv/dev.installed: requirements/dev.txt .venv/demo.installed
	$(PIP) --require-hashes -r requirements/dev.txt
	touch $@

.venv-bench/bench.installed: requirements/bench.txt requirements/bench-alone.txt setup.py
	test -x $(BENCH)/python || $(PYTHON) -m venv .venv-bench
	$(BENCH)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/bench.txt
	$(BENCH)/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/bench-alone.txt
	$(BENCH)/python -m pip --disable-pip-version-check install --quiet --no-deps -e .
	touch $@

clean:
	rm -rf .venv .venv-bench demo build *.egg-info
