# make demo, make test: nothing else is needed but Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test coverage test-slow check bench clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(STAMP) ## profile ResNet-50, plan where to cut it, prove the plan over an emulated link
	PATH="$(abspath $(BIN)):$$PATH" sh examples/demo.sh

test: $(STAMP) ## the tests
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not slow"

coverage: $(STAMP) ## the tests, and which lines and branches they reach
	$(BIN)/coverage erase
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not slow" --cov --cov-report=term

test-slow: $(STAMP) ## the tests that take longer than ten seconds each
	$(BIN)/pytest -q -m slow

check: $(STAMP) ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## the benchmarks; see benchmarks/RESULTS.md
	set -e; for each in benchmarks/*.py; do $(BIN)/python $$each; done

clean: ## remove what make has made
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "offload needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
