# Every target sets up what it needs. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The interpreter that builds: PYTHON if set, else the distribution's (PGO), else python3. Checked by build/find_python.sh.
PYTHON ?=
BIN := .venv/bin
TOOLS := .tools/bin
LAB_TOOLS := .tools/lab
SOURCES := $(shell find cni -name '*.py') $(wildcard build/*.py build/*.[ch] build/*.spec build/*.sh build/image/*) pyproject.toml constraints.txt LICENSE
TREE := dist/spiderpool-ipam
BUILT := dist/.built
# Two workers for each core, because most tests wait most of the time. loadgroup hands out the tests one by one.
PYTEST := $(BIN)/pytest --numprocesses=$(shell expr 2 \* $$(nproc)) --dist=loadgroup
# Two pips at once would damage .venv.
.NOTPARALLEL:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Freeze the plugin, serve the guide's pool, give two pods addresses; leaves nothing behind
	@build/demo.sh $(TREE)

.PHONY: test
test: build .venv/.test ## Run the tests that take less than five minutes together, on all cores
	$(PYTEST) -m "not slow"

.PHONY: test-all
test-all: build .venv/.test .venv/.test-all .venv/.fuzz ## Run every test, on all cores; REQUIRE_E2E=1 makes a skipped one a failure
	$(PYTEST)

.PHONY: check
check: .venv/.freeze .venv/.test .venv/.lint ## Lint, type-check, and see that `make spec` changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m cni.contracts --check
	$(BIN)/python -m cni.doctor.pages --check
	$(BIN)/python build/monitoring/dashboard.py --check
	$(BIN)/python build/pages.py --check

.PHONY: build
build: $(BUILT) ## Freeze plugin and operator program into dist/, tree and tarball

.PHONY: release
ifeq ($(ARCH),)
release: ## Make a release of the last commit twice, and compare; KEY= signs it. ARCH=arm64 makes that tarball alone, of what is here
	@build/release.sh "$(KEY)"
else
# In a Debian 12 of its own, which is emulated for another architecture. A file gets its name once it is whole.
# It is always built, because the date in it is the last commit's, and a commit changes no file.
release:
	$(if $(KEY),$(error KEY= signs a whole release, and ARCH= makes one tarball of it: give only one of them))
	@rm -f dist/spiderpool-ipam-*-linux-$(ARCH).* "dist/$(ARCH)/$(BUILT)"
	@python3 build/debian_root.py "$(ARCH)" "dist/$(ARCH)" env REQUIRE_IMAGE=1 make build
	@cd dist/$(ARCH)/dist && for tarball in spiderpool-ipam-*-linux-$(ARCH).tar.gz; do \
	    cp ../packages "../../$${tarball%.tar.gz}.packages"; \
	    cp "$$tarball.sha256" ../..; \
	    cp "$$tarball" "../../$$tarball.partial"; \
	    mv "../../$$tarball.partial" "../../$$tarball"; \
	done
endif

# Of all architectures, if not of those in ARCHES only. Their tarballs have to be in dist/. COMMIT is for its labels.
.PHONY: image
image: ## Make the container image of the tarballs in dist/, an OCI layout; ARCHES=amd64 makes it of one alone
	@python3 build/oci.py dist "$(COMMIT)" $(or $(ARCHES),amd64 arm64)

.PHONY: spec
spec: .venv/.lint ## Publish what is generated: JSON schemas, openapi.yaml, the plugin's validators, pages, the dashboard
	$(BIN)/python -m cni.contracts
	$(BIN)/python -m cni.doctor.pages
	$(BIN)/python build/monitoring/dashboard.py
	$(BIN)/python build/pages.py

.PHONY: pictures
pictures: .venv/.runtime ## Draw docs/pictures/*.svg out of their sources; needs graphviz and fonts-noto-cjk
	$(BIN)/python build/pictures.py

.PHONY: kubernetes
kubernetes: tools .venv/.runtime ## Render the kustomizations of build/kubernetes from the chart in build/chart
	$(BIN)/python build/chart/render.py

.PHONY: conformance
conformance: .venv/.runtime ## Run the vectors against any IPAM plugin: PLUGIN=/path
	$(BIN)/python -m tests.conformance "$(PLUGIN)"

.PHONY: bench
bench: build tools .venv/.test ## Measure against upstream's Go plugin (PEER= for another): table, dist/bench.json, chart
	@PEER="$(PEER)" $(BIN)/python -m tests.bench

.PHONY: soak
soak: build .venv/.test ## Have pods come and go while agent, socket, plugin and disk fail (N=10000, SEED=)
	@$(BIN)/python -m tests.soak --attachments "$(or $(N),10000)" --seed "$(or $(SEED),0)"

# A kubeconfig counts only if it is given to make, because the environment may have that of a cluster in use.
.PHONY: lab
lab: $(LAB_TOOLS)/.done tools build .venv/.test ## Run the guide with Calico's own parts: KEEP=1 leaves it up, BREAK=name or all breaks it, RACE=1 has pods race
	@$(BIN)/python -m tests.lab $(if $(KEEP),--keep) $(if $(RACE),--race) $(if $(BREAK),--break $(BREAK)) $(if $(AGENT),--agent $(AGENT)) $(if $(findstring command,$(origin KUBECONFIG)),--kubeconfig "$(KUBECONFIG)")

.PHONY: fuzz
fuzz: .venv/.test .venv/.fuzz ## Try a million inputs of any kind (N= for another number) wherever bytes come in
	@$(BIN)/python -m tests.fuzz --runs "$(or $(N),1000000)"

.PHONY: tools
tools: $(TOOLS)/.done ## Put the peers of the tests into .tools/: cnitool, reference plugins, upstream's plugin, helm, Prometheus

.PHONY: lab-tools
lab-tools: $(LAB_TOOLS)/.done ## Build the programs of the lab into .tools/lab/: Calico's, upstream's agent, BIRD

.PHONY: clean
clean: ## Remove what the targets made
	rm -rf .venv .tools dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cni tests build -name __pycache__ -prune -exec rm -rf {} +

# .venv holds the runtime dependencies, and each set of tools (an extra of pyproject.toml) once a target needs it.
# It is made anew when PYTHON differs from the last time, and when its sources change.
ifneq ($(PYTHON),)
ifneq ($(PYTHON),$(shell cat .venv/.python 2>/dev/null))
.PHONY: .venv/.python
endif
endif

.venv/.python: pyproject.toml constraints.txt build/find_python.sh
	@python=$$(build/find_python.sh "$(PYTHON)") && "$$python" -m venv --clear .venv
	@echo "$(PYTHON)" >$@

INSTALL := PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable
SETS := freeze test test-all fuzz lint

.venv/.runtime: .venv/.python
	@echo "installing the runtime dependencies into .venv"
	@$(INSTALL) .
	@touch $@

$(SETS:%=.venv/.%): .venv/.%: .venv/.python
	@echo "installing into .venv: the runtime dependencies, and what pyproject.toml lists under $*"
	@$(INSTALL) '.[$*]'
	@touch $@

$(BUILT): .venv/.freeze $(SOURCES) build/freeze.sh
	@echo "freezing plugin and operator program"
	@build/freeze.sh
	@touch $@

$(TOOLS)/.done: build/tools.sh tests/go/peer/go.mod tests/go/peer/go.sum
	@echo "building the Go peers"
	@build/tools.sh
	@touch $@

$(LAB_TOOLS)/.done: build/lab_tools.sh $(wildcard tests/go/calico/go.* tests/go/peer/go.*)
	@echo "building the programs of the lab, which takes minutes out of empty caches"
	@build/lab_tools.sh
	@touch $@
