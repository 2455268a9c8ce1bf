# Everything a newcomer needs: `make demo`, `make test`. Each sets up its own environment from the hash-pinned lock
# files in locks/ and says what it does. Needs Python 3.11 or newer and make; nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format lint types conformance bench lock clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: locks/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Mantlet needs Python 3.11 or newer; set PYTHON=python3.12, say."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) from locks/dev.lock (about a minute the first time) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r locks/dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready ## Start two real MCP servers behind the gateway and show how to call them (DEMO_ARGS=--once: and end)
	@$(BIN)/mantlet demo $(DEMO_ARGS)

test: $(VENV)/.ready ## Lint, type-check and run the tests
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/python -m pytest -m "not slow and not node"

test-all: $(VENV)/.ready ## The same with the slow suites and those that need node
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/python -m pytest

lint: $(VENV)/.ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.ready
	@$(BIN)/mypy

format: $(VENV)/.ready ## Let ruff put everything in form
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

conformance: $(VENV)/.ready ## Run the MCP conformance suite directly and through Mantlet, and compare
	@$(BIN)/python tests/conformance/run.py

bench: $(VENV)/.ready ## Measure direct against through Mantlet, interleaved
	@$(BIN)/python -m bench

lock: ## Write the lock files anew (needs uv)
	@for name in dev mcp1; do grep -v '^-e' locks/$$name.in > locks/.$$name.in; done
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra valkey --extra demo pyproject.toml locks/.dev.in -o locks/dev.lock
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header locks/.mcp1.in -o locks/mcp1.lock
	@rm -f locks/.dev.in locks/.mcp1.in

clean: ## Remove what was set up
	rm -rf $(VENV) .venv-* build dist .mypy_cache .ruff_cache .pytest_cache node_modules
