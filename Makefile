# `make demo`, `make demo-review` and `make test` each set up what they need in .venv and run it.
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo demo-review test faults check clean

demo: .venv/demo.installed
	$(BIN)/ingestgate demo

# Two people and a newer list, on what `make demo` left behind.
demo-review: .venv/demo.installed
	test -e demo/.ingestgate-demo || $(BIN)/ingestgate demo
	$(BIN)/python -m ingestgate.pipeline.demo_review

test: .venv/dev.installed check
	$(BIN)/pytest -n auto --dist worksteal

# Every fault at every place; hours. `make test` tries a seeded few of them.
faults: .venv/dev.installed
	INGESTGATE_FAULTS=all $(BIN)/pytest -n auto --dist worksteal tests/faults

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

clean:
	rm -rf .venv demo build *.egg-info
