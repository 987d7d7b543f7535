# Evergreen. `make help` lists what there is.

PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
export UV_PYTHON_DOWNLOADS = never
# uv leaves compiling to Python's first import; told not to, each process would compile all again.
export PYTHONDONTWRITEBYTECODE =
export PYTHONPATH = $(CURDIR)/include:$(CURDIR)/plugins

SETUP := .venv/.ready
CHECK := .venv/.ready-to-check

.PHONY: help setup demo up down airflow reproduce evidently secrets compose-build doctor check-state test test-unit test-integration test-e2e test-slow test-services test-compose check bench bench-decisions bench-monitor bench-pages bench-sample bench-serving docs lock
.DEFAULT_GOAL := help

help:  ## List the commands.
	@sed -n 's/^\([a-z0-9-]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(SETUP)  ## Make the virtual environment.

demo: export EVERGREEN_SCHEDULES ?= off
demo: $(SETUP)  ## Run the nightly loop once, from data to champion (AS_OF=2013-07-01T00:00:00Z).
	@$(BIN)/python -m evergreen_airflow demo $(if $(AS_OF),--as-of $(AS_OF))

up: $(SETUP)  ## Start Airflow, MLflow and the store on this machine.
	@$(BIN)/python -m evergreen_airflow up

down: $(SETUP)  ## Stop exactly what up or demo started; data stays in .evergreen.
	@$(BIN)/python -m evergreen_airflow down

airflow: $(SETUP)  ## Run Airflow's own command line against the stack (ARGS="dags list").
	@$(BIN)/python -m evergreen_airflow airflow $(ARGS)

reproduce: $(SETUP)  ## Fit a version again and compare (VERSION=1, MODEL=flight_delay).
	@$(BIN)/python -m evergreen_airflow reproduce --version $(VERSION) $(if $(MODEL),--model $(MODEL))

evidently: $(SETUP)  ## Open the drift reports in Evidently's dashboard (MODEL=flight_delay, PORT=8001).
	@$(BIN)/python -m evergreen_airflow evidently $(if $(MODEL),--model $(MODEL)) $(if $(PORT),--port $(PORT))

secrets: $(SETUP)  ## Write .env with random passwords for docker-compose.yaml, once.
	@$(BIN)/python -m evergreen_airflow secrets

# An image has no .git: without these two, its versions do not know their commit.
compose-build:  ## Build the images of docker-compose.yaml, which know their commit.
	@GIT_SHA=$$(git rev-parse HEAD) \
	GIT_DIRTY=$$(test -n "$$(git status --porcelain)" && echo yes || echo no) \
	docker compose build

doctor: $(SETUP)  ## Check a store for the guarantees Evergreen needs (STORE=s3://bucket/prefix, keys from AWS_*).
	@$(BIN)/python -m evergreen doctor $(STORE)

check-state: $(SETUP)  ## Check every invariant of a model (MODEL=flight_delay).
	@$(BIN)/python -m evergreen_airflow check-state $(if $(MODEL),--model $(MODEL))

PYTEST := $(BIN)/python -m pytest --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

test: $(CHECK)  ## Run every check and the tests, with a real scheduler and a real MLflow.
	@$(MAKE) --no-print-directory check
	$(PYTEST) -n 3 -m "not slow"  # one of them mostly waits for Airflow

test-unit: $(CHECK)  ## Run the tests that need no server and no network.
	$(PYTEST) -n logical -m "unit and not slow"

test-integration: $(CHECK)  ## Run the tests that need a server: MLflow, a store, a model server.
	$(PYTEST) -n logical -m "integration and not slow"

test-e2e: $(CHECK)  ## Run the tests that need Airflow's own services.
	$(PYTEST) -n 1 -m e2e

test-slow: $(CHECK)  ## Run the tests that take longest: counted error rates, a process killed after each of its writes, a history of a whole model.
	$(PYTEST) -n logical -m slow

test-services: $(CHECK)  ## Run the stacks that take longer: Celery and S3, schedules on, full-size sample, SQLite.
	$(PYTEST) -n 2 $(filter-out %/__init__.py %/conftest.py,$(wildcard tests/services/*.py))

test-compose: $(CHECK)  ## Start docker-compose.yaml on a Docker engine and run a night there (IMAGES=real).
	$(BIN)/python -m pytest tests/compose/started_stack.py

check: $(CHECK)  ## Lint, format, types and the order of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(CHECK)  ## Measure nights, backfill, growth and parsing against a plain script; writes docs/benchmarks.md.
	$(BIN)/python -m tests.bench.run

bench-pages: $(CHECK)  ## Measure the pages in Airflow with two years of nights (NIGHTS=730).
	$(BIN)/python tests/bench/pages.py

bench-serving: $(CHECK)  ## Compare the model server with mlflow models serve.
	$(BIN)/python tests/bench/serving.py

bench-decisions: $(CHECK)  ## Measure how often each decision is wrong, and write docs/decisions.md (TRIES=400, WORLDS=20, PARTS="drift").
	$(BIN)/python -m tests.bench.decisions --tries $(or $(TRIES),400) --worlds $(or $(WORLDS),20) $(PARTS)

bench-monitor: $(CHECK)  ## Monitor a year day by day and draw it (MODELS="flights police_stops bike_rentals").
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.monitored_year $(MODELS)

bench-sample: $(CHECK)  ## Measure the sample model on nine first nights of months (MONTHS="4 7").
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.sample $(MONTHS)

docs: $(CHECK)  ## Generate what is generated in docs/: the schema, and pictures of the pages.
	@$(BIN)/python -m evergreen schema > docs/model.schema.json
	$(BIN)/python -m tests.bench.pictures

lock: $(UV)  ## Resolve requirements.in again, with hashes.
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements.in -o requirements.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" tests/requirements.in -o tests/requirements.txt

$(UV):
	@test -n "$(PYTHON)" || { echo "Evergreen needs Python 3.11, 3.12 or 3.13 on the PATH."; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)

$(SETUP): requirements.txt | $(UV)
	@echo "Installing for $$($(BIN)/python --version)"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	@touch $@

$(CHECK): tests/requirements.txt $(SETUP)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r tests/requirements.txt
	@touch $@
