# Everything here works on a machine with Python 3.11 or newer, git and make. `make help` lists the targets.
# PYTHON=python3.12 chooses an interpreter; the newest one that can make a virtual environment is the default.

works = $(1) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
newest = $(shell for p in $(1); do if $(call works,$$p); then echo $$p; break; fi; done)

PYTHON ?= $(call newest,python3.14 python3.13 python3.12 python3.11 python3)
# The oldest versions we support have no wheels for the newest interpreters.
LOWEST_PYTHON ?= $(or $(call newest,python3.11 python3.12),$(PYTHON))

BIN := .venv/bin
READY := .venv/.ready
MINISTACK := .venv-ministack/.ready
LOWEST := .venv-lowest/.ready
SPARK := .venv-spark/.ready
PIP_INSTALL := -m pip install -qq --disable-pip-version-check
# The locks are complete, so pip need not resolve; what has no wheel is built with the tools in build.lock.
LOCKED := $(PIP_INSTALL) --require-hashes --no-deps --no-build-isolation
COMPILE := .venv-lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet

# Two workers, each with its own servers, suit a small machine: `make test WORKERS=8` on a larger one, 0 for none.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)
ENDPOINT ?=
TRANSPORT ?=

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check lint types floors fmt docs bench bench-spark contract property soak faults lowest spark pipeline lambda-zip lambda-bench lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## A guided tour on real data, on the embedded server: no account, no Docker
	@$(BIN)/python -m examples.flights

test: $(READY) $(MINISTACK) ## Every test
	@echo "==> tests"
	@$(PYTEST)

coverage: $(READY) $(MINISTACK) ## Every test, with branch coverage, in twice the time
	@$(PYTEST) --cov --cov-report=term

check: lint types floors docs test ## What a change must pass: lint, types, floors, docs, tests

lint: $(READY) ## ruff: rules and formatting
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy on the package, mypy and pyright on what its users write
	@echo "==> mypy"
	@$(BIN)/mypy
	@echo "==> pyright"
	@$(BIN)/pyright --pythonpath $(BIN)/python

floors: $(READY) ## import-linter: upper floors import lower ones
	@echo "==> import-linter"
	@$(BIN)/lint-imports

fmt: $(READY) ## Format, and fix what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: $(READY) ## The documentation, into site/
	@echo "==> documentation"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

BENCH ?=
bench: $(READY) ## Benchmarks against the peers, each in an environment of its own; BENCH="--quick --only get,put" for less
	@$(BIN)/python -m benchmarks $(BENCH)

bench-spark: $(SPARK) ## Spark: rows/s and CPU a row against the peers; BENCH=--quick for less, BENCH=--rate for the rate limit
	@.venv-spark/bin/python -m benchmarks.spark $(BENCH)

contract: $(READY) $(MINISTACK) ## The contract suite; ENDPOINT=moto, ministack, embedded, aws or an http:// address, TRANSPORT=botocore
	@$(if $(TRANSPORT),CONTRACT_TRANSPORT=$(TRANSPORT)) $(if $(ENDPOINT),CONTRACT_SERVERS=$(if $(findstring ://,$(ENDPOINT)),endpoint DYNAMODB_ENDPOINT_URL=$(ENDPOINT),$(ENDPOINT))) \
	    $(PYTEST) tests/contract

property: $(READY) ## The property tests, with many more examples
	@HYPOTHESIS_PROFILE=wide $(PYTEST) -m hypothesis --timeout 1800

ROUNDS ?= 20
soak: $(READY) $(MINISTACK) ## The concurrency tests, 20 rounds of them; ROUNDS=100 for more
	@for round in $$(seq $(ROUNDS)); do \
	    echo "==> round $$round of $(ROUNDS)"; \
	    $(PYTEST) -q tests/contract/test_concurrency.py tests/contract/test_pipelines_threads.py || exit 1; \
	done

SECONDS_OF_FAULTS ?= 60
faults: $(READY) $(MINISTACK) ## Writes under random faults for a minute, then the proof that nothing was lost or doubled
	@$(BIN)/python -m tests.faults.soak --seconds $(SECONDS_OF_FAULTS) --skin $(or $(SKIN),sync) --transport $(or $(TRANSPORT),direct)

lowest: $(LOWEST) ## Unit and contract tests (on moto) with the oldest supported dependencies
	@echo "==> tests with the oldest dependencies"
	@CONTRACT_SERVERS=moto .venv-lowest/bin/python -m pytest -n $(WORKERS) -o filterwarnings=default tests/unit tests/contract

spark: $(SPARK) $(MINISTACK) ## The Spark source and sink: types and tests with pyspark itself (needs Java 17 or 21)
	@echo "==> mypy with pyspark"
	@.venv-spark/bin/mypy dynamodb_wrapper/spark
	@echo "==> tests with Spark"
	@.venv-spark/bin/python -m pytest tests/spark tests/test_docs.py -k spark

pipeline: $(SPARK) $(MINISTACK) ## A pipeline through Spark into DynamoDB, a run that fails, and both run logs (needs Java)
	@.venv-spark/bin/python -m examples.flights_pipeline

lambda-zip: $(READY) ## The Lambda example as a zip, into dist/
	@$(BIN)/python -m examples.lambda_tree_chat.package

lambda-bench: $(READY) ## Cold and warm start of the Lambda example, in fresh processes
	@$(BIN)/python -m examples.lambda_tree_chat.measure

lock: .venv-lock ## Resolve the dependencies anew (needs a package index)
	@echo "==> requirements/*.lock"
	@$(COMPILE) --upgrade --extra embedded --extra opentelemetry --extra demo --extra fastapi --extra redis --extra cli --extra parquet --group dev pyproject.toml -o requirements/dev.lock
	@$(COMPILE) --upgrade --group build -c requirements/dev.lock -o requirements/build.lock
	@$(COMPILE) --upgrade --resolution lowest-direct --extra embedded --group test pyproject.toml -o requirements/lowest.lock
	@$(COMPILE) --upgrade --no-config --extra spark --extra demo --group spark pyproject.toml -o requirements/spark.lock
	@$(COMPILE) --upgrade requirements/ministack.in -o requirements/ministack.lock

clean: ## Remove environments, caches and built things
	rm -rf .venv .venv-ministack .venv-lowest .venv-spark .venv-lock .venv-bench-* site dist .coverage .coverage.* .hypothesis .mypy_cache \
	    .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments: made anew when what they are made from changes ----------------------------------------------------

define new_venv
@$(if $(1),,$(error No Python 3.11 or newer with the venv module was found (Debian: apt install python3-venv). PYTHON=... names one))
@$(call works,$(1)) || { echo "error: $(1) is not Python 3.11 or newer with the venv module" >&2; exit 1; }
@echo "==> $(2) ($$($(1) -V))"
@$(1) -m venv --clear $(2)
endef

$(READY): pyproject.toml requirements/build.lock requirements/dev.lock
	$(call new_venv,$(PYTHON),.venv)
	@$(BIN)/python $(LOCKED) -r requirements/build.lock
	@$(BIN)/python $(LOCKED) -r requirements/dev.lock
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(LOWEST): pyproject.toml requirements/build.lock requirements/lowest.lock
	$(call new_venv,$(LOWEST_PYTHON),.venv-lowest)
	@.venv-lowest/bin/python $(LOCKED) -r requirements/build.lock
	@.venv-lowest/bin/python $(LOCKED) -r requirements/lowest.lock
	@.venv-lowest/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(SPARK): pyproject.toml requirements/build.lock requirements/spark.lock
	$(call new_venv,$(PYTHON),.venv-spark)
	@.venv-spark/bin/python $(LOCKED) -r requirements/build.lock
	@.venv-spark/bin/python $(LOCKED) -r requirements/spark.lock
	@.venv-spark/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# An environment of its own, because ministack pins botocore.
$(MINISTACK): requirements/ministack.lock
	$(call new_venv,$(PYTHON),.venv-ministack)
	@.venv-ministack/bin/python $(LOCKED) -r requirements/ministack.lock
	@touch $@

.venv-lock:
	$(call new_venv,$(PYTHON),.venv-lock)
	@$@/bin/python $(PIP_INSTALL) uv
