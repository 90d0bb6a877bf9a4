# Everything starts here: `make help`.
# Needs Python 3.11+ (PYTHON=... chooses one). Kafka tests and run-cluster also need Java 17+ and Maven.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
INSTALLED := .venv/.installed
ARGS ?=

export UV_PYTHON_DOWNLOADS := never
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export UV_CACHE_DIR ?= $(CURDIR)/.uv/cache
endif

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(INSTALLED) ## Start everything in one process, carry the examples to their recipients (ARGS=--exit: then stop)
	@$(BIN)/firstnotice up --examples $(ARGS)

.PHONY: run-cluster
run-cluster: $(INSTALLED) ## The same on Kafka and PostgreSQL, one process per service, without Docker
	@$(BIN)/firstnotice up --cluster --examples $(ARGS)

.PHONY: test
test: $(INSTALLED) ## Run every test there is (ARGS="-k name" chooses)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: faults
faults: $(INSTALLED) ## A long fault campaign (SEED=n repeats one; MINUTES=10 in each mode; MODE=embedded or kafka)
	@$(BIN)/python -m tests.faults.campaign --minutes $(or $(MINUTES),10) --mode $(or $(MODE),both) \
	  $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: lint
lint: $(INSTALLED) ## ruff, mypy, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check
check: lint ## What to run before each commit: lint and fast tests, in less than a minute
	$(BIN)/python -m pytest -q -n 2 --hypothesis-profile=part --durations=10 tests/unit tests/architecture

.PHONY: bench
bench: $(INSTALLED) ## Measure (at most 10 minutes); results go to benchmarks/results/
	@$(BIN)/python -m benchmarks.run $(ARGS)

.PHONY: bench-full
bench-full: $(INSTALLED) ## Measure growth too (hours)
	@$(BIN)/python -m benchmarks.run --full $(ARGS)

.PHONY: specs
specs: $(INSTALLED) ## Write contracts/asyncapi.yaml, contracts/openapi/ and docs/settings.md anew from the code
	@$(BIN)/python -m launcher.specifications

.PHONY: lock
lock: ## Resolve pyproject.toml into requirements.lock (ARGS=--upgrade: to the newest versions)
	@$(find_uv); $$uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --group dev --custom-compile-command "make lock" $(ARGS) pyproject.toml -o requirements.lock

.PHONY: clean
clean: ## Remove what make installed and what tools cached (never var/, where the data is)
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- installing --

# Sets $python to the first Python that is new enough (a name on the PATH may be a shim with nothing behind it).
define find_python
for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 none; do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; \
[ $$python != none ] || { echo "firstnotice needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python3" >&2; exit 1; }
endef

# Sets $uv: the one on the PATH, else one of our own. `--target` also works where the system's Python is externally
# managed (PEP 668) and has pip but not the venv module.
define find_uv
uv=uv; $$uv --version >/dev/null 2>&1 || { uv=.uv/bin/uv; $$uv --version >/dev/null 2>&1 || { $(find_python); \
  echo "Fetching uv into .uv"; rm -rf .uv; \
  { "$$python" -m venv .uv && .uv/bin/python -m pip install --quiet uv; } >/dev/null 2>&1 || { rm -rf .uv; \
    "$$python" -m pip install --quiet --target .uv uv; } || \
  { echo "uv could not be fetched: install uv, or Python's venv or pip (Debian: python3-venv), and check the network" >&2; exit 1; }; }; }
endef

$(INSTALLED): requirements.lock pyproject.toml
	@$(find_python); $(find_uv); set -e; \
	echo "Installing into .venv (once; under a minute)"; \
	rm -rf .venv; \
	$$uv venv --quiet --python "$$python" .venv; \
	$$uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock; \
	$$uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	touch $@
