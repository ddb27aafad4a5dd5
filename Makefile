# Every target sets up what it needs by itself, in its own virtual environment.
# The only things it expects are make, bash and Python 3.11 or newer with venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_S ?= 60

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
INSTALL := $(PIP) --require-hashes -r

# Programs of Debian that tests and benchmarks run for real: command=package.
TEST_PROGRAMS := nginx=nginx-light node=nodejs setpriv=util-linux valgrind=valgrind prometheus=prometheus
BENCH_PROGRAMS := nginx=nginx-light wrk=wrk taskset=util-linux haproxy=haproxy valgrind=valgrind
LOCKER := uv==0.13.9
LOCK_OPTIONS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

# What must not break unseen: every branch of these is worth a test.
PURE := proxy/errors.py proxy/model proxy/http1 proxy/routing proxy/parallel proxy/analysis proxy/rollout
PURE_BRANCHES_MIN := 95

# Most tests wait for something, so two shares of them run at once. Of the first
# the branches are measured; the other is all that is not named here.
MEASURED := $(addprefix tests/,admin analysis cli control http1 model parallel rollout routing settings telemetry)
OTHERS := $(VENV)/pytest-others.log

# The path of a program in (1), installed as package (2) where that is possible.
define need
if ! PATH="$$PATH:/usr/sbin:/sbin" command -v $(1) >/dev/null; then \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo "installing $(2) for $(1)"; \
    export DEBIAN_FRONTEND=noninteractive; \
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $(2); } >/dev/null \
      || { echo "make: $(1) is missing and apt-get could not install $(2)" >&2; exit 1; }; \
  else \
    echo "make: $(1) is missing; install it first: apt-get install $(2)" >&2; exit 1; \
  fi; \
fi;
endef
needs = $(foreach pair,$(1),$(call need,$(firstword $(subst =, ,$(pair))),$(lastword $(subst =, ,$(pair)))))

.PHONY: help
help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.ready ## four rollouts on real traffic in the terminal, under two minutes
	@$(BIN)/headgate demo

.PHONY: load
load: $(VENV)/.ready-dev ## locust users against the demo, half a minute, without a browser
	$(BIN)/python benchmarks/against_demo.py

.PHONY: check
check: $(VENV)/.ready-dev ## format, lint, types, import contracts, docstrings, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict proxy tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet proxy
	$(BIN)/hadolint Dockerfile

.PHONY: test
test: $(VENV)/.ready-dev ## every test, the branches of the pure packages, the hot path's cost
	@$(call needs,$(TEST_PROGRAMS))
	$(BIN)/python -m coverage erase
	@export PATH="$$PATH:/usr/sbin:/sbin"; \
	  $(BIN)/python -m pytest $(PYTEST_ARGS) $(addprefix --ignore=,$(MEASURED)) >$(OTHERS) 2>&1 & \
	  others=$$!; trap 'kill $$others 2>/dev/null || true' EXIT; status=0; \
	  $(BIN)/python -m coverage run -m pytest $(PYTEST_ARGS) $(MEASURED) || status=$$?; \
	  echo "== the tests of real processes and sockets, which ran meanwhile"; \
	  wait $$others || status=$$?; cat $(OTHERS); exit $$status
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python .ci/pure_branches.py $(PURE_BRANCHES_MIN) $(PURE)
	$(BIN)/python benchmarks/guard.py

.PHONY: fuzz
fuzz: $(VENV)/.ready-dev ## parsers by coverage, then real origins by hostile talks; FUZZ_S=60
	@$(call needs,$(TEST_PROGRAMS))
	for target in heads chunks answers; do $(BIN)/python tests/fuzz/guided.py $$target $(FUZZ_S); done
	PATH="$$PATH:/usr/sbin:/sbin" FUZZ_EXAMPLES=$$(($(FUZZ_S) * 50)) \
	  $(BIN)/python -m pytest -q --timeout 0 tests/fuzz/test_origins.py tests/fuzz/test_chaos.py

.PHONY: bench
bench: $(VENV)/.ready-dev ## all benchmarks, short; see benchmarks/README.md
	@$(call needs,$(BENCH_PROGRAMS))
	PATH="$$PATH:/usr/sbin:/sbin" $(BIN)/python benchmarks/bench.py $(BENCH_ARGS)

.PHONY: bench-decisions
bench-decisions: $(VENV)/.ready-dev ## false alarms, misses and harm on simulated traffic, beside other rules
	$(BIN)/python benchmarks/decide.py $(BENCH_ARGS)

.PHONY: lock
lock: $(VENV)/.ready ## resolve the dependencies anew and write the lock files
	$(PIP) $(LOCKER)
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --all-extras pyproject.toml --output-file requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock
	echo 'setuptools>=77,<83' | $(BIN)/uv pip compile $(LOCK_OPTIONS) - --output-file requirements-build.lock

.PHONY: clean
clean: ## remove the environment and everything that was made
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .headgate .fuzz
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find proxy tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $(PYTHON) is older than Python 3.11; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "make: $(PYTHON) has no venv module; install it first: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What the product needs, from the lock, and the product itself (as a path: the
# finder that setuptools installs otherwise takes 12 ms and 1 MiB of each process,
# and compiled as a wheel's is, for machines where Python may not write beside it).
$(VENV)/.ready: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	$(INSTALL) requirements-build.lock
	$(INSTALL) requirements.lock
	$(PIP) --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	$(BIN)/python -m compileall -q proxy
	@touch $@

# The same and the tools.
$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	$(INSTALL) requirements-dev.lock
	@touch $@
