# Each target sets up all that it needs: a virtual environment in .venv, with the versions that were tested.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: quickstart test quick chaos fuzz lint style types compiled wheel docs

quickstart: .venv/installed
	$(BIN)/tailboard quickstart

# A worker for each core and one more, at most four: many tests wait for processes. A file's tests share what it set up,
# and the files of tests/bundles what they train (tests/support/workers_of_files.py).
WORKERS := $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
TESTS := $(BIN)/pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: lint compiled
	$(TESTS)

quick: lint compiled
	$(TESTS) -m "not slow"

chaos: .venv/installed-dev
	$(BIN)/pytest -m chaos -s

# The fuzzers with all their mutations; a few hundred of each are in `make test`.
fuzz: .venv/installed-dev
	TAILBOARD_FUZZ=all $(TESTS) -m fuzz

lint: style types

style: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	@mkdir -p .venv/types && ln -sfn ../.. .venv/types/tailboard  # an editable install's finder is not read by pyright
	$(BIN)/pyright

# The tests start hundreds of processes that import the package, and where PYTHONDONTWRITEBYTECODE is set each would
# compile it anew.
compiled: .venv/installed-dev
	@$(BIN)/python -m compileall -q __init__.py harness methods datasets leaderboard

# The documentation, in docs/_build; a broken link ends it.
docs: .venv/installed-dev
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

# What a cluster's nodes install: the wheel, and beside it the versions that were tested with it.
wheel: .venv/installed-dev
	rm -rf dist build
	$(BIN)/python -m build --wheel
	cp constraints.txt dist/

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || \
		{ echo "tailboard needs Python 3.11.4 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable .
	@touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable ".[dev]"
	@touch $@ .venv/installed
