# Every target sets up what it needs. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The interpreter that builds: PYTHON if set, else the distribution's (PGO), else python3. Checked by build/find_python.sh.
PYTHON ?=
BIN := .venv/bin
TOOLS := .tools/bin
SOURCES := $(shell find cni -name '*.py') $(wildcard build/*.py build/*.c build/*.spec build/*.sh) pyproject.toml constraints.txt LICENSE
TREE := dist/spiderpool-ipam
BUILT := dist/.built

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Freeze the plugin, serve the guide's pool, give two pods addresses; leaves nothing behind
	@build/demo.sh $(TREE)

.PHONY: test
test: build ## Run every test; REQUIRE_E2E=1 makes a skipped one a failure
	$(BIN)/pytest

.PHONY: check
check: .venv/.done ## Lint, type-check, and see that `make spec` changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m cni.contracts --check

.PHONY: build
build: $(BUILT) ## Freeze plugin and operator program into dist/, tree and tarball

.PHONY: spec
spec: .venv/.done ## Publish the contracts: JSON schemas, openapi.yaml, the plugin's validators
	$(BIN)/python -m cni.contracts

.PHONY: conformance
conformance: .venv/.done ## Run the vectors against any IPAM plugin: PLUGIN=/path
	$(BIN)/python -m tests.conformance "$(PLUGIN)"

.PHONY: bench
bench: build tools ## Measure against upstream's Go plugin (PEER= for another): table, dist/bench.json, chart
	@PEER="$(PEER)" $(BIN)/python -m tests.bench

.PHONY: fuzz
fuzz: .venv/.done ## Try a million inputs of any kind (N= for another number) wherever bytes come in
	@$(BIN)/python -m tests.fuzz --runs "$(or $(N),1000000)"

.PHONY: soak
soak: build ## Have pods come and go while agent, socket, plugin and disk fail (N=10000, SEED=)
	@$(BIN)/python -m tests.soak --attachments "$(or $(N),10000)" --seed "$(or $(SEED),0)"

.PHONY: tools
tools: $(TOOLS)/.done ## Build the Go peers of the tests into .tools/: cnitool, reference plugins, upstream's plugin

.PHONY: clean
clean: ## Remove what the targets made
	rm -rf .venv .tools dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cni tests build -name __pycache__ -prune -exec rm -rf {} +

# Another PYTHON than the last time makes .venv anew.
ifneq ($(PYTHON),)
ifneq ($(PYTHON),$(shell cat .venv/.python 2>/dev/null))
.PHONY: .venv/.done
endif
endif

.venv/.done: pyproject.toml constraints.txt build/find_python.sh
	@echo "setting up .venv, which takes a minute"
	@python=$$(build/find_python.sh "$(PYTHON)") && "$$python" -m venv --clear .venv
	@echo "$(PYTHON)" >.venv/.python
	@PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(BUILT): .venv/.done $(SOURCES) build/freeze.sh
	@echo "freezing plugin and operator program"
	@build/freeze.sh
	@touch $@

$(TOOLS)/.done: build/tools.sh tests/go/peer/go.mod tests/go/peer/go.sum
	@echo "building the Go peers"
	@build/tools.sh
	@touch $@
