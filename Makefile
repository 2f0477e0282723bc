# The one front door. `make` lists what it can do; every target does its own set-up first.

# The first Python that is new enough; `make PYTHON=python3.13 ...` insists on one.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ifeq ($(origin PYTHON),undefined)
PYTHON = $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && { echo "$$python"; break; }; done)
else
CHOSEN := --chosen
endif
BIN := .venv/bin
WORKERS ?= 2
# Set in many images. Each of the hundreds of processes that tests start would compile all of src/ anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-demo demo test check check-format check-lint check-types check-contracts check-docs \
	format dashboards bench bench-peers bench-stack reliability stack stack-up stack-down stack-status stack-logs fleet \
	test-stack compose-secrets lock clean

help: ## List what make can do
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv for development (silent when it stands)
	$(call SET_UP,dev)

setup-demo: ## Make .venv with what the demo needs, no more
	$(call SET_UP,demo)

define SET_UP
@python="$(PYTHON)"; \
if [ -z "$$python" ]; then \
	echo "setup: no Python >= 3.11 on PATH; install one, or call make PYTHON=/path/to/python3." >&2; exit 1; fi; \
if ! "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	echo "setup: PYTHON=$$python is missing or older than 3.11; name a newer one." >&2; exit 1; fi; \
"$$python" tools/setup.py $(1) $(CHOSEN)
endef

demo: setup-demo ## Watch a coding agent repair a broken repository
	@$(BIN)/python examples/demo.py

# The processes that tests start write coverage files of their own, which pytest-cov combines at the end.
test: setup ## Run all tests on two cores; with COVERAGE=1 the branch coverage of src/ must hold too
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(if $(COVERAGE),--cov --cov-report=term)

check: check-lint check-format check-types check-contracts check-docs ## Run all that needs no test run: lint, types, contracts, docs

check-lint: setup ## Lint with ruff
	@$(BIN)/ruff check --quiet .

check-format: setup ## See whether ruff would format anything
	@$(BIN)/ruff format --check --quiet . || { echo "check-format: run 'make format'" >&2; exit 1; }

check-types: setup ## Check types with mypy, strict
	@$(BIN)/mypy --no-error-summary $(wildcard src tests benchmarks reliability stack collector grafana examples tools)

check-contracts: setup ## Check the floors with import-linter
	@# Without its cache: that knows a file by its age, and an import of a module by whether it existed then.
	@report=$$($(BIN)/lint-imports --no-logo --no-cache) || { echo "$$report" >&2; exit 1; }

# tests/docs runs the examples of the docs and compares generated pages with their sources.
check-docs: setup ## Check that the docs say what the code does
	@test -d tests/docs || { echo "check-docs: there is no tests/docs yet"; exit 0; }; \
	$(BIN)/python -m pytest -q tests/docs

format: setup ## Format and repair what ruff can
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

dashboards: setup ## Write Grafana's pages, data sources and alerts anew from grafana/mixin
	@$(BIN)/python -m grafana.build

bench: setup ## Measure speed and size, write docs/benchmarks.md
	@test -d benchmarks || { echo "bench: there is no benchmarks/ yet" >&2; exit 1; }
	@$(BIN)/python -m benchmarks

reliability: setup ## Prove the promises of delivery, write docs/reliability.md; ONLY=ROW for one; goes on where it was stopped
	@$(BIN)/python -m reliability $(if $(ONLY),--only $(ONLY))

bench-peers: setup ## Measure other libraries at the same spans, in an environment of their own
	@test -x .venv-peers/bin/python || $(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		-r requirements/peers.txt
	@$(BIN)/python -m benchmarks peers

bench-stack: setup ## Measure the gateway, with the programs that `make stack` builds
	@$(BIN)/python -m benchmarks gateway

stack: setup ## Build the real Collector, Prometheus, Loki, Tempo, Alertmanager and nats-server; needs Go
	@$(BIN)/python -m stack build

# ONLY="tempo loki" means these programs alone.
stack-up: setup ## Start them on this machine, without Docker; OVERLAY=laptop for one tier
	@$(BIN)/python -m stack build --quiet
	@$(BIN)/python -m stack up $(if $(OVERLAY),--overlay $(OVERLAY)) $(ONLY)

stack-down: setup ## End what stack-up started; the data stays
	@$(BIN)/python -m stack down $(ONLY)

stack-status: setup ## See which of them run, where, and whether they are ready
	@$(BIN)/python -m stack status $(ONLY)

stack-logs: setup ## See what they wrote last; LINES=100 for more
	@$(BIN)/python -m stack logs $(if $(LINES),--lines $(LINES)) $(ONLY)

fleet: setup ## Fill the stack that runs with real runs: good, failing, stuck, killed, expensive; ONLY="good killed"
	@$(BIN)/python -m stack.fleet $(if $(ONLY),--only $(ONLY)) $(if $(STAY),--stay $(STAY))

test-stack: setup ## Prove the pipeline on the real programs
	@$(BIN)/python -m stack build --quiet
	@$(BIN)/python -m pytest -q -rs -n $(WORKERS) --dist loadscope --stack tests/stack

compose-secrets: ## Make a password for Grafana in docker-compose.yml, once, and write it into .env
	@python="$(PYTHON)"; "$${python:-python3}" tools/compose_secrets.py

# Universal, and without any registry's or machine's name. `make lock UPGRADE=--upgrade` takes newer versions.
COMPILE_PEERS = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links $(UPGRADE)
COMPILE = $(COMPILE_PEERS) pyproject.toml
lock: setup ## Write requirements/*.txt anew from pyproject.toml and requirements/*.in
	@$(COMPILE) requirements/dev.in --extra all -o requirements/dev.txt
	@$(COMPILE) requirements/demo.in --extra service -c requirements/dev.txt -o requirements/demo.txt
	@$(COMPILE) requirements/image.in --extra all -c requirements/dev.txt -o requirements/image.txt
	@$(COMPILE_PEERS) requirements/peers.in -o requirements/peers.txt

clean: ## Remove .venv and everything that was made here
	@rm -rf .venv .venv-peers .venv.lock .coverage .coverage.* htmlcov build dist
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .reliability_cache
